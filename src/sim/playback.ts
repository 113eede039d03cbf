/**
 * Somebody who plays the content from its beginning: asks for a window of pieces ahead, as the node's readers
 * do, and notes where it stands still.
 */

import type { Geometry } from '../content/geometry.ts'
import type { Engines } from './engines.ts'
import type { SimPeer } from './peer.ts'
import type { Schedule } from './schedule.ts'

/** What a reader asks for ahead of where it is; how often it looks whether it can go on. */
const READ_AHEAD_BYTES = 8 * 1024 ** 2
const READER_LOOK_MS = 1

/** Times in ms. */
export class Playback {
  readonly askedMs: number
  /** When the first piece was there. */
  startedMs: number | undefined
  /** Times that the next piece was not there when its turn came, and how long that lasted in all. */
  stalls = 0
  stalledMs = 0
  isOver = false
  readonly #peer: SimPeer
  /** Bytes per ms, once the first piece is there. */
  readonly #rate: number
  readonly #geometry: Geometry
  readonly #schedule: Schedule
  readonly #engines: Engines
  readonly #ahead: number
  #waitingSinceMs: number

  constructor(peer: SimPeer, rate: number, geometry: Geometry, schedule: Schedule, engines: Engines) {
    this.#peer = peer
    this.#rate = rate
    this.#geometry = geometry
    this.#schedule = schedule
    this.#engines = engines
    this.askedMs = schedule.nowMs
    this.#ahead = Math.max(4, Math.ceil(READ_AHEAD_BYTES / geometry.pieceLength))
    this.#waitingSinceMs = schedule.nowMs
  }

  /** Goes on to the piece. */
  step(piece: number): void {
    const { pieceCount } = this.#geometry
    if (piece === pieceCount) {
      this.isOver = true
      return
    }
    const last = Math.min(pieceCount - 1, piece + this.#ahead - 1)
    const deadlineMs = this.#schedule.nowMs
    this.#engines.hand(this.#peer, { type: 'readerMoved', reader: 'playback', first: piece, last, deadlineMs })
    this.#look(piece)
  }

  #look(piece: number): void {
    const peer = this.#peer
    const { nowMs } = this.#schedule
    if (!peer.verified.get(piece)) {
      this.#schedule.on(peer.machine, nowMs + READER_LOOK_MS, () => this.#look(piece))
      return
    }
    const waitedMs = nowMs - this.#waitingSinceMs
    if (this.startedMs === undefined) this.startedMs = nowMs
    else if (waitedMs > 0) {
      this.stalls++
      this.stalledMs += waitedMs
    }
    const doneMs = nowMs + this.#geometry.pieceBytes(piece) / this.#rate
    this.#waitingSinceMs = doneMs
    this.#schedule.on(peer.machine, doneMs, () => this.step(piece + 1))
  }
}
