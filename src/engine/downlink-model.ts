/**
 * How many pieces a leecher lets come at once, learnt from how they come.
 *
 * When downlinks are no wider than uplinks, several uploaders that each choose the same needy leecher fill its downlink's queue while
 * other leechers get nothing and the uploaders' windows stand still. So a leecher takes offers only up to what its downlink delivers
 * in the time that a piece takes at best (Little's law), and a few more: a wide downlink raises the limit by those with every round, a
 * narrow one stays at a few pieces. Where an answer takes about as long as a piece (both wait in an uplink's queue), turning an offer
 * down leaves its sender's uplink idle for that long: there a downlink that has shown that it carries much more than what comes takes many more.
 */

import { SLOW_PIECE_MS } from './uplink-model.ts'

const RATE_WINDOW_MS = 6000
const SERVICE_WINDOW_MS = 20_000
/** Pieces on top: uploaders hold accepted requests ready, and the estimate needs room to grow. */
const READY_PIECES = 3
/**
 * The same where a piece comes each {@link SLOW_PIECE_MS} or more seldom and answers take {@link QUICK_ANSWER} of that or less: uploaders hold less ready
 * then, and more would share the downlink.
 */
const READY_PIECES_SLOW = 2
const QUICK_ANSWER = 0.15
/** The same where a burst came at {@link WIDE_RATIO} times the usual rate or more, and answers take {@link SLOW_ANSWER} of a piece's time or more. */
const READY_PIECES_WIDE = 12
const WIDE_RATIO = 2
const SLOW_ANSWER = 0.35
/**
 * Shortest time that the limit covers, in ms, as the uplink's window (uplink-model.ts): event loops, hashing and disk of both ends work on different
 * pieces at once. Without it 4 to 8 pieces were under way on loopback where the sender's window was 25, and the link stood idle half of the time.
 */
const MIN_PIPE_MS = 40
/** Arrivals over which the usual rate is taken, and that of a burst. */
const USUAL_ARRIVALS = 16
const BURST_ARRIVALS = 4
const BURST_WINDOW_MS = 60_000

export class DownlinkModel {
  #receivedBytes = 0
  // Best of this and the previous half window.
  #rateNow = 0
  #rateBefore = 0
  #rateSinceMs: number
  #serviceNow = Number.POSITIVE_INFINITY
  #serviceBefore = Number.POSITIVE_INFINITY
  #serviceSinceMs: number
  #typicalMs = 0
  /** When the last pieces came, and all bytes received by then; oldest first. */
  readonly #arrivals: { readonly ms: number; readonly bytes: number }[] = []
  // Best rate of a burst of this and the previous half window.
  #burstNow = 0
  #burstBefore = 0
  #burstSinceMs: number

  constructor(nowMs: number) {
    this.#rateSinceMs = nowMs
    this.#serviceSinceMs = nowMs
    this.#burstSinceMs = nowMs
  }

  /** What pieces usually take from request to arrival, in ms; 0 when unknown. */
  get typicalMs(): number {
    return this.#typicalMs
  }

  /** All bytes received so far: note it when requesting a piece. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** A piece arrived `serviceMs` after its request, when `bytesBefore` had been received. */
  record(bytes: number, bytesBefore: number, serviceMs: number, nowMs: number): void {
    this.#receivedBytes += bytes
    this.#typicalMs = this.#typicalMs === 0 ? serviceMs : this.#typicalMs + (serviceMs - this.#typicalMs) / 16
    if (nowMs - this.#rateSinceMs > RATE_WINDOW_MS / 2) {
      this.#rateBefore = this.#rateNow
      this.#rateNow = 0
      this.#rateSinceMs = nowMs
    }
    if (nowMs - this.#serviceSinceMs > SERVICE_WINDOW_MS / 2) {
      this.#serviceBefore = this.#serviceNow
      this.#serviceNow = Number.POSITIVE_INFINITY
      this.#serviceSinceMs = nowMs
    }
    this.#rateNow = Math.max(this.#rateNow, (this.#receivedBytes - bytesBefore) / serviceMs)
    this.#serviceNow = Math.min(this.#serviceNow, serviceMs)
    if (nowMs - this.#burstSinceMs > BURST_WINDOW_MS / 2) {
      this.#burstBefore = this.#burstNow
      this.#burstNow = 0
      this.#burstSinceMs = nowMs
    }
    const arrivals = this.#arrivals
    if (arrivals.length > USUAL_ARRIVALS) arrivals.shift()
    arrivals.push({ ms: nowMs, bytes: this.#receivedBytes })
    if (arrivals.length > BURST_ARRIVALS) this.#burstNow = Math.max(this.#burstNow, this.#rateOver(BURST_ARRIVALS))
  }

  /** Bytes per ms over the last so many arrivals. */
  #rateOver(count: number): number {
    const last = this.#arrivals.at(-1)
    const first = this.#arrivals.at(-1 - count)
    if (last === undefined || first === undefined) return 0
    return (last.bytes - first.bytes) / Math.max(last.ms - first.ms, 1)
  }

  /** Pieces on top of what the downlink brings. */
  #readyPieces(pieceBytes: number, answerMs: number): number {
    const usual = this.#rateOver(this.#arrivals.length - 1)
    const answer = (usual * answerMs) / pieceBytes
    const isSlow = usual > 0 && pieceBytes / usual >= SLOW_PIECE_MS
    if (answer < QUICK_ANSWER) return isSlow ? READY_PIECES_SLOW : READY_PIECES
    const isRefusalDear = answer >= SLOW_ANSWER && Math.max(this.#burstNow, this.#burstBefore) >= WIDE_RATIO * usual
    return isRefusalDear ? READY_PIECES_WIDE : READY_PIECES
  }

  /** Pieces of `pieceBytes` that may be on their way, when peers answer offers after `answerMs` usually (0: unknown). */
  limitPieces(pieceBytes: number, answerMs: number): number {
    const rate = Math.max(this.#rateNow, this.#rateBefore)
    const serviceMs = Math.min(this.#serviceNow, this.#serviceBefore)
    if (rate === 0) return READY_PIECES + 1
    return Math.floor((rate * Math.max(serviceMs, MIN_PIPE_MS)) / pieceBytes) + this.#readyPieces(pieceBytes, answerMs)
  }
}
