/**
 * The content's origin: an uplink of its own that sends one piece after another to all that ask; what was
 * cancelled before its turn costs nothing.
 */

import type { Geometry } from '../content/geometry.ts'
import type { Disk } from './disk.ts'
import type { Engines } from './engines.ts'
import type { SimulationOptions } from './options.ts'
import type { SimPeer } from './peer.ts'
import type { Schedule } from './schedule.ts'

/** From asking the origin to its first byte, on top of the round trip: a server that looks for the object. */
const ANSWER_MS = 20
/** The most that a node asks for ahead. */
const WINDOW_BYTES = 64 * 1024 ** 2
/** Asked of the origin, whose turn for it has not been found yet. */
const ASKED = Number.POSITIVE_INFINITY

interface Parts {
  readonly schedule: Schedule
  readonly engines: Engines
  readonly disk: Disk
  readonly geometry: Geometry
}

export class Origin {
  /** Payload bytes that it sent. */
  bytesSent = 0
  readonly #parts: Parts
  readonly #options: SimulationOptions
  #freeMs = 0

  constructor(options: SimulationOptions, parts: Parts) {
    this.#options = options
    this.#parts = parts
  }

  handleJoined(peer: SimPeer): void {
    if (this.#options.originRate === 0 || peer.isSeeder) return
    const { engines } = this.#parts
    engines.hand(peer, { type: 'originChanged', state: 'open', self: peer.key, windowBytes: WINDOW_BYTES, isSequential: false })
  }

  ask(peer: SimPeer, pieces: readonly number[]): void {
    const { schedule } = this.#parts
    const askedMs = schedule.nowMs
    for (const piece of pieces) {
      peer.fromOrigin.set(piece, ASKED)
      schedule.at(askedMs, () => this.#takeTurn(peer, piece, askedMs))
    }
  }

  cancel(peer: SimPeer, pieces: readonly number[]): void {
    const { schedule, geometry } = this.#parts
    for (const piece of pieces) {
      // What is on its way comes in vain.
      if ((peer.fromOrigin.get(piece) ?? ASKED) <= schedule.nowMs) this.bytesSent += geometry.pieceBytes(piece)
      peer.fromOrigin.delete(piece)
    }
  }

  #takeTurn(peer: SimPeer, piece: number, askedMs: number): void {
    if (peer.fromOrigin.get(piece) !== ASKED) return // cancelled meanwhile
    const { schedule, geometry } = this.#parts
    const { machine } = peer
    const bytes = geometry.pieceBytes(piece)
    const rate = this.#options.originRate / 1000
    const startMs = Math.max(this.#freeMs, askedMs + 2 * this.#options.latencyMs + ANSWER_MS)
    this.#freeMs = startMs + bytes / rate
    peer.fromOrigin.set(piece, startMs)
    const doneMs = Math.max(this.#freeMs, Math.max(machine.downFreeMs, startMs) + bytes / machine.downlink)
    machine.downFreeMs = doneMs
    schedule.on(machine, doneMs, () => this.#handleArrived(peer, piece, startMs))
  }

  #handleArrived(peer: SimPeer, piece: number, startMs: number): void {
    if (!peer.isUp || peer.fromOrigin.get(piece) !== startMs) return
    const { engines, disk, geometry } = this.#parts
    const bytes = geometry.pieceBytes(piece)
    peer.fromOrigin.delete(piece)
    this.bytesSent += bytes
    engines.handPiece(peer, { type: 'originReceived', piece }, () => {
      peer.bytesReceived += bytes
      disk.verify(peer, piece, undefined)
    })
  }
}
