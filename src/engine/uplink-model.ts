/**
 * What our uplink carries, learnt from acknowledgements: how many pieces to keep in flight and how many accepted requests to
 * keep ready behind them.
 *
 * A piece is in flight from the moment the driver is told to send it until the receiver says `have` (or rejects it). Kernel and
 * network queues hold megabytes, so "the transport took it" says nothing. Like BBR (Cardwell et al., ACM Queue 2016) the model keeps
 * the highest recent delivery rate and the round-trip time; their product is what fills the pipe, and two pieces more
 * keep it from running dry and let the estimate grow. A shared slow uplink thus holds about three pieces, so that a
 * choice is never stale by more, while a fast one holds hundreds.
 */

/** A piece on its way. */
export interface Flight {
  readonly slot: number
  readonly piece: number
  readonly bytes: number
  readonly startMs: number
  /** Delivered bytes and the time of the last delivery when it was started. */
  readonly deliveredBytes: number
  readonly deliveredMs: number
  isServed: boolean
  /** Waits behind a receiver slower than us: no longer counts as filling the uplink. */
  isStalled: boolean
}

const RATE_WINDOW_MS = 4000
/** Half a window ends no sooner than after so many acknowledgements, or this long: a slow link has one in several seconds. */
const RATE_WINDOW_ACKS = 4
const MAX_RATE_WINDOW_MS = 120_000
/** Pieces in flight before anything is known. */
const FIRST_WINDOW = 2
/** Offers and requests behind them then: whom we ask first may be busy with its start (a fleet on few processors: 4 s until it answered). */
const FIRST_READY = 4
const MAX_WINDOW = 1024
/** Pieces in flight beyond what fills the pipe: one to keep it from running dry, one for a receiver whose downlink is taken. */
const SPARE_PIECES = 2
/** What a receiver takes to hash, write and batch its `have`, ms. */
const RECEIVER_MS = 10
/**
 * Shortest time that the window covers, in ms: hashing, disk and event loops of both ends work on different pieces at once, so the
 * shortest acknowledgement of a lone piece underestimates what fills a fast link. Slower links do not notice: one piece takes longer.
 */
const MIN_PIPE_MS = 40
/**
 * Where a piece takes this long, in ms, pieces follow each other instead of sharing the uplink: of three side by side each takes three times as
 * long until somebody can pass it on. Below it what event loops and handshakes take outweighs that (8 nodes at 10 Mbit/s, 210 ms: 1.15 with, 1.11
 * without).
 */
export const SLOW_PIECE_MS = 300
/** Estimates still rise while an uplink is being learnt, so they must say more then. */
const STARTING_RATIO = 3
/**
 * How long before the one under way should have left the next begins: a share of a piece's time, or of what answers take, as its acknowledgement comes
 * that much later.
 */
const OVERLAP_OF_PIECE = 0.125
const OVERLAP_OF_ANSWER = 1.25
/** Event loops and disks of both ends take their time too. */
const MIN_OVERLAP_MS = 80

export class UplinkModel {
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
  /** When the uplink last began or ended a piece, as far as we know: from then on it works on those under way. */
  #busySinceMs: number

  constructor(nowMs: number) {
    this.#deliveredMs = nowMs
    this.#rateSinceMs = nowMs
    this.#busySinceMs = nowMs
  }

  /** Bytes per millisecond that the uplink delivered lately; 0 when unknown. */
  get rate(): number {
    return Math.max(this.#rateNow, this.#rateBefore)
  }

  start(slot: number, piece: number, bytes: number, inFlight: number, nowMs: number): Flight {
    if (inFlight === 0) {
      this.#deliveredMs = nowMs
      this.#busySinceMs = nowMs
    }
    return {
      slot,
      piece,
      bytes,
      startMs: nowMs,
      deliveredBytes: this.#deliveredBytes,
      deliveredMs: this.#deliveredMs,
      isServed: false,
      isStalled: false
    }
  }

  /**
   * The receiver, `rttMs` away, has the piece. `isSample`: it says how fast our uplink is. Those that don't still count for the end of a window: an
   * estimate five times too high made every flight look stalled, so that none corrected it, and seventeen pieces stood in the queue.
   */
  acknowledged(flight: Flight, isSample: boolean, rttMs: number, nowMs: number): void {
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
    } else if (++this.#flatAcks > 2 * this.windowPieces(flight.bytes, rttMs)) {
      this.#isStarting = false
    }
  }

  #renewWindow(nowMs: number): void {
    const halfMs = this.#rateAcks >= RATE_WINDOW_ACKS ? RATE_WINDOW_MS / 2 : MAX_RATE_WINDOW_MS / 2
    if (nowMs - this.#rateSinceMs > halfMs) {
      this.#rateBefore = this.#rateNow
      this.#rateNow = 0
      this.#rateSinceMs = nowMs
      this.#rateAcks = 0
    }
    this.#rateAcks++
  }

  /**
   * Pieces of `pieceBytes` to keep in flight to receivers `rttMs` away. Counted from the round trip, not from the measured times to
   * acknowledgement: those contain our own queue, and a window that feeds on itself only grows.
   */
  windowPieces(pieceBytes: number, rttMs: number): number {
    if (this.rate === 0) return FIRST_WINDOW
    const pipeMs = Math.max(this.pieceMs(pieceBytes) + 1.25 * rttMs + RECEIVER_MS, MIN_PIPE_MS)
    const pipe = (this.rate * pipeMs) / pieceBytes
    return Math.max(2, Math.min(MAX_WINDOW, Math.floor(this.#isStarting && pipe > 2 ? 2 * pipe : pipe + SPARE_PIECES)))
  }

  /**
   * From when on one more may begin beside `inFlight` others, on the clock of `start`. Answers take `answerMs` (0: unknown). Each acknowledgement
   * counts anew, so an estimate that is somewhat wrong adds nothing up; and when none comes for long, as from slow receivers, more begin.
   */
  nextStartMs(pieceBytes: number, inFlight: number, answerMs: number): number {
    if (inFlight === 0 || this.rate === 0) return 0
    const pieceMs = this.pieceMs(pieceBytes)
    if (pieceMs < (this.#isStarting ? STARTING_RATIO : 1) * SLOW_PIECE_MS) return 0
    // The first answers come from peers that are busy with their start: they say little of those that follow.
    const lateMs = this.#isStarting ? Math.min(answerMs, pieceMs / 2) : answerMs
    const overlapMs = Math.max(MIN_OVERLAP_MS, OVERLAP_OF_PIECE * pieceMs, OVERLAP_OF_ANSWER * lateMs)
    return this.#busySinceMs + inFlight * pieceMs - overlapMs
  }

  /** Requests to keep accepted behind those in flight, so that an offer's round trip of `offerMs` never idles the uplink. */
  readyPieces(pieceBytes: number, offerMs: number): number {
    if (this.rate === 0) return FIRST_READY
    const pipe = (this.rate * Math.max(offerMs, MIN_PIPE_MS / 2)) / pieceBytes
    return Math.min(MAX_WINDOW, Math.ceil(1.25 * (this.#isStarting && pipe > 1 ? 2 * pipe : pipe)) + 1)
  }

  /** How long one piece occupies the uplink, in ms; 0 when unknown. */
  pieceMs(pieceBytes: number): number {
    return this.rate === 0 ? 0 : pieceBytes / this.rate
  }
}
