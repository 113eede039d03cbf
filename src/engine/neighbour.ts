/**
 * What we keep about one connected peer. Plain state; the rules live in uploader.ts, downloader.ts and peer-set.ts.
 *
 * What every choice asks of all neighbours is kept a second time as one bit each in {@link NeighbourMarks}: to look at thirty objects for
 * it was 8 % of all that a large simulation spent.
 */

import { SlotSet } from './slot-set.ts'
import type { PeerKey } from './types.ts'

/** A peer that ignores this many offers in a row gets no more: it only requests. */
const MAX_OFFERS_IGNORED = 8

/** Slots of neighbours that... */
export class NeighbourMarks {
  /** ...may be offered to at all: their bitfield is known and they answer offers. */
  readonly listening = new SlotSet()
  /** ...something is offered to, waits for or is on its way to. */
  readonly uploadedTo = new SlotSet()
  /** ...something was requested of. */
  readonly askedOf = new SlotSet()
  /** ...said `full`, perhaps long ago. */
  readonly full = new SlotSet()
  /** ...let the last request time out. */
  readonly failing = new SlotSet()

  clear(slot: number): void {
    for (const set of [this.listening, this.uploadedTo, this.askedOf, this.full, this.failing]) set.delete(slot)
  }
}

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
  #marks: NeighbourMarks
  #isKnown = false

  // As the one we upload to.
  #offered = 0
  #queued = 0
  #inFlight = 0
  /** Pieces that it asked for without an offer, with the time of asking. */
  wishes: Map<number, number> = NO_WISHES
  /** When a wish of it was last served for its age alone. */
  agedMs = Number.NEGATIVE_INFINITY
  #fullUntilMs = 0
  fullBackoffMs = 0
  #offersIgnored = 0
  /** Takes pieces slower than we send: one at a time. */
  isSlow = false
  bytesUploaded = 0
  /** Pieces of which it got the first copy from us and that have not turned up at others yet. */
  unspread = 0
  /** The same, of which we had to give a second copy before that happened, since one of its first copies last turned up elsewhere. */
  unspreadInVain = 0
  /** Since when it has something that we lack (looked at only in an open swarm); Infinity: it has not. */
  usefulSinceMs = Number.POSITIVE_INFINITY

  // As the one we download from.
  #pending = 0
  /** Typical time from request to arrival, in ms; 0 until known. */
  serviceMs = 0
  /** Requests that it may hold at once when it does not offer; grows as it delivers. */
  pullDepth = 1
  lastOfferMs = Number.NEGATIVE_INFINITY
  lastPieceMs = Number.NEGATIVE_INFINITY
  /** No unasked requests before this time (it said `full` or `choked`). */
  chokedUntilMs = 0
  #timeoutsInRow = 0
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
    nowMs: number,
    marks: NeighbourMarks
  ) {
    this.#marks = marks
    this.key = key
    this.slot = slot
    this.initiator = initiator
    this.labels = labels
    this.distance = distance
    this.rttMs = rttMs
    this.joinedMs = nowMs
  }

  /** Its bitfield arrived. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  set isKnown(isKnown: boolean) {
    this.#isKnown = isKnown
    this.#marks.listening.mark(this.slot, this.listens)
  }

  /** Offers in a row that it never answered. */
  get offersIgnored(): number {
    return this.#offersIgnored
  }

  set offersIgnored(count: number) {
    this.#offersIgnored = count
    this.#marks.listening.mark(this.slot, this.listens)
  }

  /** Whether it may be offered to at all. */
  get listens(): boolean {
    return this.#isKnown && this.#offersIgnored < MAX_OFFERS_IGNORED
  }

  /** Offers without an answer. */
  get offered(): number {
    return this.#offered
  }

  set offered(count: number) {
    this.#offered = count
    this.#marks.uploadedTo.mark(this.slot, this.uploading > 0)
  }

  /** Requests waiting. */
  get queued(): number {
    return this.#queued
  }

  set queued(count: number) {
    this.#queued = count
    this.#marks.uploadedTo.mark(this.slot, this.uploading > 0)
  }

  /** Pieces on their way to it. */
  get inFlight(): number {
    return this.#inFlight
  }

  set inFlight(count: number) {
    this.#inFlight = count
    this.#marks.uploadedTo.mark(this.slot, this.uploading > 0)
  }

  /** Pieces that are offered to it, wait for it or are on their way to it. */
  get uploading(): number {
    return this.#offered + this.#queued + this.#inFlight
  }

  /** Pieces requested of it. */
  get pending(): number {
    return this.#pending
  }

  set pending(count: number) {
    this.#pending = count
    this.#marks.askedOf.mark(this.slot, count > 0)
  }

  /** Requests in a row that it let time out. */
  get timeoutsInRow(): number {
    return this.#timeoutsInRow
  }

  set timeoutsInRow(count: number) {
    this.#timeoutsInRow = count
    this.#marks.failing.mark(this.slot, count > 0)
  }

  /** It said `full`: no offers before this time. */
  get fullUntilMs(): number {
    return this.#fullUntilMs
  }

  set fullUntilMs(ms: number) {
    this.#fullUntilMs = ms
    this.#marks.full.mark(this.slot, ms > 0)
  }

  /** It is no neighbour any more: its slot may become another's. */
  leave(): void {
    this.#marks.clear(this.slot)
    this.#marks = new NeighbourMarks()
  }
}
