/**
 * What we owe one neighbour: offers, waiting requests, pieces under way, how fast it drains them, and its
 * place in the shares.
 *
 * Written by upload/send-ledger.ts (counts and queues), upload/share.ts (`tag`) and upload/uploader.ts (the
 * rest).
 */

import type { NeighbourMarks } from '../marks.ts'

/** Shared by all neighbours that have no such entry, which is nearly everybody; never filled. */
const NONE = new Map<number, number>()

export class UploadAccount {
  readonly #slot: number
  #marks: NeighbourMarks
  #offered = 0
  #inFlight = 0
  #urgent = NONE
  #ready = NONE
  #wishes = NONE
  #fullUntilMs = 0
  /** Current wait after `full`, in ms. */
  fullBackoffMs = 0
  /** Offers in a row that ran out unanswered. */
  offersIgnored = 0
  /** Offers that have stood unanswered for so long that they are overdue. */
  overdue = 0
  /** When a wish of it was last granted for its age alone. */
  agedMs = Number.NEGATIVE_INFINITY
  /** Bytes per ms at which it acknowledges; 0 until the first acknowledgement. */
  drainRate = 0
  drainedBytes = 0
  drainedMs = 0
  /** Virtual time until which it has had its share: upload/share.ts. */
  tag = 0
  bytesUploaded = 0

  constructor(slot: number, marks: NeighbourMarks) {
    this.#slot = slot
    this.#marks = marks
  }

  /** Offers without an answer. */
  get offered(): number {
    return this.#offered
  }

  set offered(count: number) {
    this.#offered = count
    this.#markUploads()
  }

  /** Pieces on their way to it. */
  get inFlight(): number {
    return this.#inFlight
  }

  set inFlight(count: number) {
    this.#inFlight = count
    this.#markUploads()
  }

  /** Requests that a reader there waits for, and accepted offers: piece to order of arrival. */
  get urgent(): ReadonlyMap<number, number> {
    return this.#urgent
  }

  get ready(): ReadonlyMap<number, number> {
    return this.#ready
  }

  /** Pieces requested without an offer, and when. */
  get wishes(): ReadonlyMap<number, number> {
    return this.#wishes
  }

  get queued(): number {
    return this.#urgent.size + this.#ready.size
  }

  /** Offers, waiting requests and pieces on their way. */
  get underWay(): number {
    return this.#offered + this.queued + this.#inFlight
  }

  /** It said `full`: no offers before this time. */
  get fullUntilMs(): number {
    return this.#fullUntilMs
  }

  set fullUntilMs(ms: number) {
    this.#fullUntilMs = ms
    this.#marks.full.mark(this.#slot, ms > 0)
  }

  /** Its pieces were overtaken or came too late: it takes them slower than our uplink sends them. */
  get isSlow(): boolean {
    return this.#marks.slow.has(this.#slot)
  }

  set isSlow(isSlow: boolean) {
    this.#marks.slow.mark(this.#slot, isSlow)
  }

  queue(piece: number, order: number, isUrgent: boolean): void {
    if (isUrgent) {
      if (this.#urgent === NONE) this.#urgent = new Map()
      this.#urgent.set(piece, order)
    } else {
      if (this.#ready === NONE) this.#ready = new Map()
      this.#ready.set(piece, order)
    }
    this.#markUploads()
  }

  unqueue(piece: number): boolean {
    const wasQueued = this.#urgent.delete(piece) || this.#ready.delete(piece)
    if (wasQueued) this.#markUploads()
    return wasQueued
  }

  isQueued(piece: number): boolean {
    return this.#urgent.has(piece) || this.#ready.has(piece)
  }

  wish(piece: number, nowMs: number): void {
    if (this.#wishes === NONE) this.#wishes = new Map()
    if (!this.#wishes.has(piece)) this.#wishes.set(piece, nowMs)
  }

  unwish(piece: number): boolean {
    return this.#wishes.delete(piece)
  }

  /** Empties queues and wishes. */
  clear(): void {
    this.#urgent = NONE
    this.#ready = NONE
    this.#wishes = NONE
    this.#markUploads()
  }

  leave(marks: NeighbourMarks): void {
    this.#marks = marks
  }

  #markUploads(): void {
    this.#marks.uploadedTo.mark(this.#slot, this.underWay > 0)
    this.#marks.waiting.mark(this.#slot, this.queued > 0)
  }
}
