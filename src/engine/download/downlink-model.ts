/**
 * How many pieces a leecher lets come at once, learnt from how they come.
 *
 * When downlinks are no wider than uplinks, several uploaders that each choose the same needy leecher fill
 * its downlink's queue while other leechers get nothing and the uploaders' windows stand still. So a leecher
 * takes offers only up to what its downlink delivers in the time that a piece takes at best (Little's law),
 * and a few more: a wide downlink raises the limit by those with every round, a narrow one stays at a few
 * pieces. Where an answer takes about as long as a piece (both wait in an uplink's queue), turning an offer
 * down leaves its sender's uplink idle for that long: there a downlink that has shown that it carries much
 * more than what comes takes many more.
 */

import { DOWNLINK, UPLINK } from '../tunables.ts'

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

  /** A piece arrived `serviceMs` after its request, and meanwhile we had given it up. */
  recordLate(bytes: number, serviceMs: number): void {
    this.#receivedBytes += bytes
    this.#typicalMs = this.#typicalMs === 0 ? serviceMs : this.#typicalMs + (serviceMs - this.#typicalMs) / 16
  }

  /** A piece arrived `serviceMs` after its request, when `bytesBefore` had been received. */
  record(bytes: number, bytesBefore: number, serviceMs: number, nowMs: number): void {
    this.#receivedBytes += bytes
    this.#typicalMs = this.#typicalMs === 0 ? serviceMs : this.#typicalMs + (serviceMs - this.#typicalMs) / 16
    if (nowMs - this.#rateSinceMs > DOWNLINK.RATE_WINDOW_MS / 2) {
      this.#rateBefore = this.#rateNow
      this.#rateNow = 0
      this.#rateSinceMs = nowMs
    }
    if (nowMs - this.#serviceSinceMs > DOWNLINK.SERVICE_WINDOW_MS / 2) {
      this.#serviceBefore = this.#serviceNow
      this.#serviceNow = Number.POSITIVE_INFINITY
      this.#serviceSinceMs = nowMs
    }
    this.#rateNow = Math.max(this.#rateNow, (this.#receivedBytes - bytesBefore) / serviceMs)
    this.#serviceNow = Math.min(this.#serviceNow, serviceMs)
    if (nowMs - this.#burstSinceMs > DOWNLINK.BURST_WINDOW_MS / 2) {
      this.#burstBefore = this.#burstNow
      this.#burstNow = 0
      this.#burstSinceMs = nowMs
    }
    const arrivals = this.#arrivals
    if (arrivals.length > DOWNLINK.USUAL_ARRIVALS) arrivals.shift()
    arrivals.push({ ms: nowMs, bytes: this.#receivedBytes })
    if (arrivals.length > DOWNLINK.BURST_ARRIVALS)
      this.#burstNow = Math.max(this.#burstNow, this.#rateOver(DOWNLINK.BURST_ARRIVALS))
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
    const isSlow = usual > 0 && pieceBytes / usual >= UPLINK.SLOW_PIECE_MS
    if (answer < DOWNLINK.QUICK_ANSWER) return isSlow ? DOWNLINK.READY_PIECES_SLOW : DOWNLINK.READY_PIECES
    const isRefusalDear =
      answer >= DOWNLINK.SLOW_ANSWER && Math.max(this.#burstNow, this.#burstBefore) >= DOWNLINK.WIDE_RATIO * usual
    return isRefusalDear ? DOWNLINK.READY_PIECES_WIDE : DOWNLINK.READY_PIECES
  }

  /** What our downlink needs for `bytes` at the best rate of late, ms; 0 while that is unknown. */
  drainMs(bytes: number): number {
    const rate = Math.max(this.#rateNow, this.#rateBefore)
    return rate === 0 ? 0 : bytes / rate
  }

  /**
   * Pieces of `pieceBytes` that may be on their way, when peers answer offers after `answerMs` usually (0:
   * unknown).
   */
  limitPieces(pieceBytes: number, answerMs: number): number {
    const rate = Math.max(this.#rateNow, this.#rateBefore)
    const serviceMs = Math.min(this.#serviceNow, this.#serviceBefore)
    if (rate === 0) return DOWNLINK.READY_PIECES + 1
    return Math.floor((rate * Math.max(serviceMs, DOWNLINK.MIN_PIPE_MS)) / pieceBytes) + this.#readyPieces(pieceBytes, answerMs)
  }
}
