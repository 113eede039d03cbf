/**
 * What one neighbour owes us and how it has delivered so far. Written by download/request-ledger.ts
 * (`pending`) and download/downloader.ts.
 */

import type { NeighbourMarks } from '../marks.ts'
import { DEMAND, NEAR, ORIGIN } from '../tunables.ts'

export class DownloadAccount {
  readonly #slot: number
  #marks: NeighbourMarks
  #pending = 0
  #timeoutsInRow = 0
  /** Requests that it may hold at once: grows as it delivers, shrinks when it is late. */
  credit: number = DEMAND.TRIAL_CREDIT
  /** Pieces that it delivered. */
  pieces = 0
  /** Typical time from request to arrival, in ms; 0 until known. */
  serviceMs = 0
  /** Pieces that it sent after we requested them without an offer. */
  pulledPieces = 0
  lastOfferMs = Number.NEGATIVE_INFINITY
  lastPieceMs = Number.NEGATIVE_INFINITY
  /** No unasked requests before this time: it said `full` or `choked`, or let one time out. */
  chokedUntilMs = 0
  /** Offers from afar that we may still turn down because this near peer has or fetches the piece. */
  nearCredit: number = NEAR.TRIAL_CREDIT
  /** Times that its `have` counts as news although it never delivered. */
  newsCredit: number = ORIGIN.TRIAL_NEWS
  bytesDownloaded = 0
  /** Bytes it sent us, decayed to about the last ten seconds: the measure of tit-for-tat. */
  recentBytes = 0

  constructor(slot: number, marks: NeighbourMarks) {
    this.#slot = slot
    this.#marks = marks
  }

  /** Pieces requested of it and not here. */
  get pending(): number {
    return this.#pending
  }

  set pending(count: number) {
    this.#pending = count
    this.#marks.askedOf.mark(this.#slot, count > 0)
  }

  /** Requests in a row that it let time out. */
  get timeoutsInRow(): number {
    return this.#timeoutsInRow
  }

  set timeoutsInRow(count: number) {
    this.#timeoutsInRow = count
    this.#marks.failing.mark(this.#slot, count > 0)
  }

  /** It delivered at least one piece. */
  get isProven(): boolean {
    return this.pieces > 0
  }

  leave(marks: NeighbourMarks): void {
    this.#marks = marks
  }
}
