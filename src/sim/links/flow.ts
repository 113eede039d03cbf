/**
 * One direction of a TCP connection in the queued model: what waits to be sent in order, and the congestion
 * window that bounds what is under way. Slow start from ten packets, again after a pause; it ends when the
 * round trip grows (HyStart) or something is lost.
 *
 * Invariant: `underWay` is what was sent and neither acknowledged nor lost.
 */

import type { Message } from '../../wire/messages.ts'
import type { PeerStream } from '../peer-stream.ts'

/** A packet's payload, and the window that a connection begins with (RFC 6928). */
const PACKET_BYTES = 1448
const FIRST_WINDOW_BYTES = 10 * PACKET_BYTES
/** What Linux lets a receiver hold for a connection by itself. */
const MOST_WINDOW_BYTES = 3 * 1024 ** 2
/**
 * The round trip must have grown by an eighth, within these bounds, before slow start ends; and never below
 * sixteen packets.
 */
const LEAST_GROWTH_MS = 4
const MOST_GROWTH_MS = 16
const LEAST_HYSTART_BYTES = 16 * PACKET_BYTES
/** A connection that sent nothing for so long begins again with the first window. */
const LEAST_RESTART_MS = 200

/** A piece or a message on its way. */
export interface Item {
  readonly bytes: number
  /** Undefined: a message. */
  readonly piece: number | undefined
  readonly message: Message | undefined
  readonly isUrgent: boolean
  /** Bytes that left, and that arrived. */
  sent: number
  arrived: number
  /** Its last byte left once. */
  isServed: boolean
}

export class Flow {
  readonly stream: PeerStream
  readonly waiting: Item[] = []
  /** Items of which something left, in their order; the receiver reads them in it. */
  readonly underWayItems: Item[] = []
  underWay = 0
  #window = FIRST_WINDOW_BYTES
  #threshold = Number.POSITIVE_INFINITY
  #leastRttMs = Number.POSITIVE_INFINITY
  #sentMs = Number.NEGATIVE_INFINITY
  #reducedMs = Number.NEGATIVE_INFINITY

  constructor(stream: PeerStream) {
    this.stream = stream
  }

  get isReady(): boolean {
    return this.waiting.length > 0 && this.underWay < this.#window
  }

  add(item: Item): void {
    let index = this.waiting.length
    if (item.isUrgent) {
      // Before the pieces that are not urgent and have not begun.
      while (index > 0 && this.#mayPass(this.waiting[index - 1] as Item)) index--
    }
    this.waiting.splice(index, 0, item)
  }

  #mayPass({ piece, isUrgent, sent }: Item): boolean {
    return piece !== undefined && !isUrgent && sent === 0
  }

  recordSent(bytes: number, nowMs: number): void {
    const restartMs = Math.max(LEAST_RESTART_MS, 2 * (Number.isFinite(this.#leastRttMs) ? this.#leastRttMs : 0))
    if (this.underWay === 0 && nowMs - this.#sentMs > restartMs) this.#window = Math.min(this.#window, FIRST_WINDOW_BYTES)
    this.underWay += bytes
    this.#sentMs = nowMs
  }

  recordAcknowledged(bytes: number, rttMs: number): void {
    this.underWay -= bytes
    this.#leastRttMs = Math.min(this.#leastRttMs, rttMs)
    const growthMs = Math.min(MOST_GROWTH_MS, Math.max(LEAST_GROWTH_MS, this.#leastRttMs / 8))
    const isSlowStart = this.#window < this.#threshold
    if (isSlowStart && rttMs > this.#leastRttMs + growthMs && this.#window >= LEAST_HYSTART_BYTES) this.#threshold = this.#window
    const growth = isSlowStart ? bytes : (bytes * PACKET_BYTES) / this.#window
    this.#window = Math.min(MOST_WINDOW_BYTES, this.#window + growth)
  }

  /** The bytes never arrived; they must be sent again. */
  recordLost(item: Item, bytes: number, nowMs: number): void {
    this.underWay -= bytes
    item.sent -= bytes
    if (this.waiting[0] !== item) this.waiting.unshift(item)
    if (nowMs - this.#reducedMs < this.#leastRttMs) return
    this.#reducedMs = nowMs
    this.#window = Math.max(FIRST_WINDOW_BYTES, 0.7 * this.#window)
    this.#threshold = this.#window
  }
}
