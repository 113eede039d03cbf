/**
 * What we keep about one connected peer. Plain state; the rules live in uploader.ts, downloader.ts and peer-set.ts.
 */

import type { PeerKey } from './types.ts'

/** Shared by all that never asked without an offer, which is nearly everybody; never filled. */
export const NO_WISHES = new Map<number, number>()

export class Neighbour {
  readonly key: PeerKey
  /** Its column in the {@link PieceTable}. */
  readonly slot: number
  readonly initiator: boolean
  readonly labels: Readonly<Record<string, string>>
  /** How far it stands from us by its labels: see locality.ts. */
  readonly distance: number
  readonly joinedMs: number
  /** Measured by the driver, or by how fast it answers offers; undefined until known. */
  rttMs: number | undefined
  /** Its bitfield arrived. */
  isKnown = false

  // As the one we upload to.
  /** Offers without an answer, requests waiting, pieces on their way. */
  offered = 0
  queued = 0
  inFlight = 0
  /** Pieces that it asked for without an offer, with the time of asking. */
  wishes: Map<number, number> = NO_WISHES
  /** When a wish of it was last served for its age alone. */
  agedMs = Number.NEGATIVE_INFINITY
  /** It said `full`: no offers before this time. */
  fullUntilMs = 0
  fullBackoffMs = 0
  /** Offers in a row that it never answered. */
  offersIgnored = 0
  /** Takes pieces slower than we send: one at a time. */
  isSlow = false
  bytesUploaded = 0
  /** Pieces of which it got the first copy from us, and how many of those turned up at others. */
  firstCopies = 0
  copiesSpread = 0
  /** Since when it has something that we lack (looked at only in an open swarm); Infinity: it has not. */
  usefulSinceMs = Number.POSITIVE_INFINITY

  // As the one we download from.
  /** Pieces requested of it. */
  pending = 0
  /** Typical time from request to arrival, in ms; 0 until known. */
  serviceMs = 0
  /** Requests that it may hold at once when it does not offer; grows as it delivers. */
  pullDepth = 1
  lastOfferMs = Number.NEGATIVE_INFINITY
  lastPieceMs = Number.NEGATIVE_INFINITY
  /** No unasked requests before this time (it said `full` or `choked`). */
  chokedUntilMs = 0
  timeoutsInRow = 0
  bytesDownloaded = 0
  /** Of those, bytes of pieces that it sent after we requested them without an offer. */
  pulledPieces = 0
  /** Bytes it sent us, decayed to about the last ten seconds: the measure of tit-for-tat. */
  recentBytes = 0

  /** Protocol faults that one alone does not end the stream. */
  strikes = 0

  constructor(
    key: PeerKey,
    slot: number,
    initiator: boolean,
    labels: Readonly<Record<string, string>>,
    distance: number,
    rttMs: number | undefined,
    nowMs: number
  ) {
    this.key = key
    this.slot = slot
    this.initiator = initiator
    this.labels = labels
    this.distance = distance
    this.rttMs = rttMs
    this.joinedMs = nowMs
  }

  /** Pieces that are offered to it, wait for it or are on their way to it. */
  get uploading(): number {
    return this.offered + this.queued + this.inFlight
  }
}
