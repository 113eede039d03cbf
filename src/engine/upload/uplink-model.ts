/**
 * What our uplink carries, learnt from acknowledgements: how many pieces to keep in flight and how many
 * accepted requests to keep ready behind them.
 *
 * A piece is in flight from the moment the driver is told to send it until the receiver says `have` (or
 * rejects it). Kernel and network queues hold megabytes, so "the transport took it" says nothing. Like BBR
 * (Cardwell et al., ACM Queue 2016) the model keeps the highest recent delivery rate and the round-trip time;
 * their product is what fills the pipe, and two pieces more keep it from running dry and let the estimate
 * grow. A shared slow uplink thus holds about three pieces, so that a choice is never stale by more, while a
 * fast one holds hundreds.
 */

import { UPLINK } from '../tunables.ts'

/** A piece on its way. */
export interface Flight {
  readonly slot: number
  readonly piece: number
  readonly bytes: number
  readonly isUrgent: boolean
  readonly startMs: number
  /** Flights that filled the uplink when it started. */
  readonly ahead: number
  /** Bytes that the uplink had delivered when it started, and the time of the last delivery. */
  readonly deliveredBytes: number
  readonly deliveredMs: number
  /** The same of its receiver alone. */
  drainedBytes: number
  drainedMs: number
  /** When the transport had taken it; 0: not yet. */
  servedMs: number
  /** Later flights to others that were acknowledged before it. */
  overtaken: number
  /** Its receiver is slower than us: it does not count as filling the uplink. */
  isHeldUp: boolean
}

export class UplinkModel {
  readonly #pieceBytes: number
  /** Typical round trip to receivers of late, in ms. */
  rttMs: number = UPLINK.UNKNOWN_RTT_MS
  #deliveredBytes = 0
  #deliveredMs: number
  // Highest delivery rate (bytes per ms) of this and the previous half window.
  #rateNow = 0
  #rateBefore = 0
  #rateSinceMs: number
  #rateAcks = 0
  #isStarting = true
  #bestRate = 0
  #flatAcks = 0
  /**
   * When the uplink last began or ended a piece, as far as we know: from then on it works on those under way.
   */
  #busySinceMs: number

  constructor(pieceBytes: number, nowMs: number) {
    this.#pieceBytes = pieceBytes
    this.#deliveredMs = nowMs
    this.#rateSinceMs = nowMs
    this.#busySinceMs = nowMs
  }

  /** Bytes per millisecond that the uplink delivered lately; 0 when unknown. */
  get rate(): number {
    return Math.max(this.#rateNow, this.#rateBefore)
  }

  noteRoundTrip(rttMs: number | undefined): void {
    this.rttMs += ((rttMs ?? UPLINK.UNKNOWN_RTT_MS) - this.rttMs) / 16
  }

  start(slot: number, piece: number, bytes: number, isUrgent: boolean, inFlight: number, nowMs: number): Flight {
    if (inFlight === 0) {
      this.#deliveredMs = nowMs
      this.#busySinceMs = nowMs
    }
    return {
      slot,
      piece,
      bytes,
      isUrgent,
      startMs: nowMs,
      ahead: inFlight,
      deliveredBytes: this.#deliveredBytes,
      deliveredMs: this.#deliveredMs,
      drainedBytes: 0,
      drainedMs: nowMs,
      servedMs: 0,
      overtaken: 0,
      isHeldUp: false
    }
  }

  /**
   * The receiver has the piece. `isSample`: it says how fast our uplink is. Those that don't still count for
   * the end of a window: an estimate five times too high made every flight look stalled, so that none
   * corrected it, and seventeen pieces stood in the queue.
   */
  acknowledged(flight: Flight, isSample: boolean, nowMs: number): void {
    this.#renewWindow(nowMs)
    this.#busySinceMs = nowMs
    if (!isSample) return
    this.#deliveredBytes += flight.bytes
    this.#deliveredMs = nowMs
    const elapsed = Math.max(nowMs - flight.deliveredMs, 0.2)
    const sample = (this.#deliveredBytes - flight.deliveredBytes) / elapsed
    if (sample > this.#rateNow) this.#rateNow = sample
    if (!this.#isStarting) return
    if (this.rate > this.#bestRate * 1.25) {
      this.#bestRate = this.rate
      this.#flatAcks = 0
    } else if (++this.#flatAcks > 2 * this.windowPieces) {
      this.#isStarting = false
    }
  }

  #renewWindow(nowMs: number): void {
    const halfMs = this.#rateAcks >= UPLINK.RATE_WINDOW_ACKS ? UPLINK.RATE_WINDOW_MS / 2 : UPLINK.MAX_RATE_WINDOW_MS / 2
    if (nowMs - this.#rateSinceMs > halfMs) {
      this.#rateBefore = this.#rateNow
      this.#rateNow = 0
      this.#rateSinceMs = nowMs
      this.#rateAcks = 0
    }
    this.#rateAcks++
  }

  /**
   * Pieces to keep in flight. Counted from the round trip, not from the measured times to
   * acknowledgement: those contain our own queue, and a window that feeds on itself only grows.
   */
  get windowPieces(): number {
    if (this.rate === 0) return UPLINK.FIRST_WINDOW
    const pipeMs = Math.max(this.pieceMs + 1.25 * this.rttMs + UPLINK.RECEIVER_MS, UPLINK.MIN_PIPE_MS)
    const pipe = (this.rate * pipeMs) / this.#pieceBytes
    return Math.max(
      2,
      Math.min(UPLINK.MAX_WINDOW, Math.floor(this.#isStarting && pipe > 2 ? 2 * pipe : pipe + UPLINK.SPARE_PIECES))
    )
  }

  /**
   * From when on one more may begin beside `inFlight` others, on the clock of `start`. Answers take
   * `answerMs` (0: unknown). Counting restarts with each acknowledgement, so an estimate that is somewhat
   * wrong does not add up. When none comes for long, as from slow receivers, more begin.
   */
  nextStartMs(inFlight: number, answerMs: number): number {
    if (inFlight === 0 || this.rate === 0) return 0
    const { pieceMs } = this
    if (pieceMs < (this.#isStarting ? UPLINK.STARTING_RATIO : 1) * UPLINK.SLOW_PIECE_MS) return 0
    // The first answers come from peers that are busy with their start: they say little of those that follow.
    const lateMs = this.#isStarting ? Math.min(answerMs, pieceMs / 2) : answerMs
    const overlapMs = Math.max(UPLINK.MIN_OVERLAP_MS, UPLINK.OVERLAP_OF_PIECE * pieceMs, UPLINK.OVERLAP_OF_ANSWER * lateMs)
    return this.#busySinceMs + inFlight * pieceMs - overlapMs
  }

  /**
   * Requests to keep accepted behind those in flight, so that an offer's round trip of `offerMs` never idles
   * the uplink.
   */
  readyPieces(offerMs: number): number {
    if (this.rate === 0) return UPLINK.FIRST_READY
    const pipe = (this.rate * Math.max(offerMs, UPLINK.MIN_PIPE_MS / 2)) / this.#pieceBytes
    return Math.min(UPLINK.MAX_WINDOW, Math.ceil(1.25 * (this.#isStarting && pipe > 1 ? 2 * pipe : pipe)) + 1)
  }

  /** How long one piece occupies the uplink, in ms; 0 when unknown. */
  get pieceMs(): number {
    return this.rate === 0 ? 0 : this.#pieceBytes / this.rate
  }
}
