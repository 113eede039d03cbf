/**
 * What becomes of a piece that the engine took: it is hashed and written, which takes time, and then the peer
 * has it or knows that it is corrupt.
 */

import type { Geometry } from '../content/geometry.ts'
import type { Random } from '../util/random.ts'
import type { Engines } from './engines.ts'
import type { SimPeer } from './peer.ts'
import type { Schedule } from './schedule.ts'

/** Hashing and writing a piece, ms per MiB (about 500 MB/s). */
const VERIFY_MS_PER_MIB = 2

export class Disk {
  readonly #schedule: Schedule
  readonly #engines: Engines
  readonly #geometry: Geometry
  readonly #random: Random
  readonly #verifyMs: number
  readonly #recordCompleted: (peer: SimPeer) => void

  constructor(
    schedule: Schedule,
    engines: Engines,
    geometry: Geometry,
    random: Random,
    recordCompleted: (peer: SimPeer) => void
  ) {
    this.#schedule = schedule
    this.#engines = engines
    this.#geometry = geometry
    this.#random = random
    this.#verifyMs = (VERIFY_MS_PER_MIB * geometry.pieceLength) / 1024 ** 2
    this.#recordCompleted = recordCompleted
  }

  /** `from`: the peer that sent it; undefined: the origin. */
  verify(peer: SimPeer, piece: number, from: SimPeer | undefined): void {
    const { machine } = peer
    let doneMs = this.#schedule.nowMs + this.#verifyMs * this.#random.nextBetween(0.8, 1.2)
    if (machine.diskRate !== undefined) {
      doneMs = Math.max(doneMs, machine.diskFreeMs) + this.#geometry.pieceBytes(piece) / machine.diskRate
      machine.diskFreeMs = doneMs
    }
    this.#schedule.on(machine, doneMs, () => this.#handleVerified(peer, piece, from))
  }

  #handleVerified(peer: SimPeer, piece: number, from: SimPeer | undefined): void {
    if (!peer.isUp) return
    if (from?.role === 'corrupter') {
      peer.bytesWasted += this.#geometry.pieceBytes(piece)
      this.#engines.hand(peer, { type: 'pieceCorrupt', piece, peer: from.key })
      return
    }
    peer.verified.set(piece)
    if (peer.verified.isFull && peer.completedMs === undefined) {
      peer.completedMs = this.#schedule.nowMs
      this.#recordCompleted(peer)
    }
    const input = { type: 'pieceVerified', piece } as const
    this.#engines.hand(peer, from === undefined ? input : { ...input, peer: from.key })
  }
}
