/**
 * Offers pieces just before the uplink will be free for them: when, how many, to whom.
 *
 * An offer that stays unanswered for longer than answers take no longer keeps the uplink from others, and its
 * neighbour is offered nothing more until it speaks. Used by uploader.ts.
 */

import type { RejectReason } from '../../wire/messages.ts'
import type { Neighbour } from '../neighbour.ts'
import { lowestBit } from '../slot-set.ts'
import { OFFER, UPLINK } from '../tunables.ts'
import { type Choice, Chooser } from './choose.ts'
import { windowOf } from './drain.ts'
import type { UploadParts } from './parts.ts'
import type { Offer } from './send-ledger.ts'

/**
 * Who may be chosen, in this order: neighbours with nothing under way in either direction (an offer or its
 * answer would wait behind a whole piece on the same connection), then any; first those within their share of
 * the uplink, then the others.
 */
const PASSES = [
  { isQuiet: true, isFair: true },
  { isQuiet: false, isFair: true },
  { isQuiet: true, isFair: false },
  { isQuiet: false, isFair: false }
] as const

export class Offerer {
  readonly #parts: UploadParts
  readonly #chooser: Chooser
  /** Offers turned down since the last that was taken. */
  #refused = 0
  /** Share of late answers that said `full`. */
  #fullShare = 0
  /** No offer is overdue before this time. */
  #overdueMs = Number.POSITIVE_INFINITY
  /** When {@link advance} has something to do although nothing arrives. */
  wakeMs = Number.POSITIVE_INFINITY

  constructor(parts: UploadParts) {
    this.#parts = parts
    this.#chooser = new Chooser(parts.state, parts.ledger, parts.random)
  }

  handleAccepted(neighbour: Neighbour, offer: Offer, nowMs: number): void {
    this.#endAnswered(neighbour, offer, false, nowMs)
    neighbour.upload.fullBackoffMs = 0
    this.#refused = 0
  }

  handleRefused(neighbour: Neighbour, offer: Offer, reason: RejectReason, nowMs: number): void {
    this.#endAnswered(neighbour, offer, reason === 'full', nowMs)
    this.#refused++
  }

  /** The neighbour spoke: once it has answered all that was overdue it may be offered something again. */
  listenTo(neighbour: Neighbour): void {
    neighbour.upload.offersIgnored = 0
    if (neighbour.isKnown && neighbour.upload.overdue === 0) this.#parts.state.marks.listening.add(neighbour.slot)
  }

  /** Forgets offers that nobody answers; several times a second. */
  housekeep(nowMs: number): void {
    const { state, ledger, model } = this.#parts
    const timeoutMs = Math.max(
      OFFER.TIMEOUT_MS,
      model.rate === 0 ? 4 * state.firstPieceMs : 0,
      8 * state.answerMs,
      12 * model.pieceMs
    )
    for (const offer of ledger.offers.values()) {
      if (nowMs - offer.atMs < timeoutMs) break // oldest first
      const neighbour = state.neighbours[offer.slot] as Neighbour
      ledger.endOffer(neighbour, offer)
      state.table.recordExpectsNot(offer.slot, offer.piece)
      if (++neighbour.upload.offersIgnored < OFFER.MAX_IGNORED && neighbour.upload.overdue === 0)
        state.marks.listening.add(offer.slot)
    }
  }

  /** Offers pieces until enough accepted requests and unanswered offers stand behind the flights. */
  advance(nowMs: number): void {
    const { state, ledger, model, budgets } = this.#parts
    this.wakeMs = Number.POSITIVE_INFINITY
    if (!state.options.offers || state.isLeaving || state.table.own.size === 0) return
    if (nowMs >= this.#overdueMs) this.#findOverdue(nowMs)
    const isLate = this.#offersLate
    const ready = isLate && this.#refused <= OFFER.MAX_REFUSED_ALONE ? 1 : model.readyPieces(this.#offerMs)
    const room = ready - ledger.countedOffers - this.#sendable
    if (room <= 0) {
      if (ledger.countedOffers > 0) this.wakeMs = Math.min(this.wakeMs, this.#overdueMs)
      return
    }
    if (isLate) {
      const leadMs = Math.max(OFFER.LEAD_ANSWERS * this.#offerMs, OFFER.LEAD_OF_PIECE * model.pieceMs)
      // Urgent ones take turns that offers were too late for; did we wait for theirs to end, nothing would
      // ever be offered.
      const inFlight = Math.max(0, ledger.countedFlights - ledger.urgentFlights)
      const offerMs = model.nextStartMs(inFlight, state.answerMs) - leadMs
      if (nowMs < offerMs) {
        this.wakeMs = Math.min(this.wakeMs, offerMs)
        return
      }
    }
    for (const budget of budgets) if (!budget.canSpend(nowMs)) return
    this.#fill(room, nowMs)
    if (ledger.countedOffers > 0) this.wakeMs = Math.min(this.wakeMs, this.#overdueMs)
  }

  /** Accepted offers that wait for our uplink, and not for a neighbour that takes no more now. */
  get #sendable(): number {
    const { state, ledger, model } = this.#parts
    if (ledger.readyCount === 0) return 0
    let count = 0
    for (let word = 0; word < state.table.words; word++) {
      for (let rest = state.marks.waiting.word(word); rest !== 0; rest &= rest - 1) {
        const { upload, rttMs } = state.neighbours[word * 32 + lowestBit(rest)] as Neighbour
        if (upload.inFlight < windowOf(upload, rttMs ?? model.rttMs, state.geometry.pieceLength)) count += upload.ready.size
      }
    }
    return count
  }

  /** Makes up to `room` choices. */
  #fill(room: number, nowMs: number): void {
    const { state, ledger } = this.#parts
    let pass = 0
    const isAny = this.#findEligible(true, nowMs)
    if (!isAny && ledger.wishers === 0) {
      if (!this.#findEligible(false, nowMs)) return
      pass = 1
    }
    let batches: Map<Neighbour, number[]> | undefined
    for (let made = 0; made < room; ) {
      const { isQuiet, isFair } = PASSES[pass] as (typeof PASSES)[number]
      const choice = this.#chooser.choose(neighbour => !isFair || this.#isDue(neighbour), nowMs)
      if (choice === undefined || (!isFair && this.#isSparing(nowMs))) {
        if (++pass === PASSES.length) break
        this.#findEligible((PASSES[pass] as (typeof PASSES)[number]).isQuiet, nowMs)
        continue
      }
      const { neighbour, piece } = choice
      if (isFair && !this.#isDue(neighbour)) {
        this.#chooser.exclude(neighbour.slot)
        continue
      }
      made++
      if (choice.isWish || neighbour.upload.wishes.has(piece)) {
        ledger.recordWaiting(neighbour, piece, false)
        continue
      }
      this.#offer(choice, nowMs)
      batches ??= new Map()
      const batch = batches.get(neighbour)
      if (batch === undefined) batches.set(neighbour, [piece])
      else batch.push(piece)
      if (isQuiet || !this.#hasRoom(neighbour)) this.#chooser.exclude(neighbour.slot)
    }
    if (batches === undefined) return
    for (const [neighbour, pieces] of batches) state.send(neighbour, { type: 'offer', pieces })
  }

  #offer({ neighbour, piece }: Choice, nowMs: number): void {
    this.#parts.ledger.recordOffer(neighbour, piece, nowMs)
    if (this.#parts.ledger.countedOffers === 1) this.#overdueMs = nowMs + this.#patienceMs
  }

  /**
   * The neediest may get more than others, as it can pass on the least; one that passes nothing on gets its
   * small share.
   */
  #isDue(neighbour: Neighbour): boolean {
    return !this.#parts.state.marks.light.has(neighbour.slot) || this.#parts.share.mayOffer(neighbour)
  }

  /**
   * What is left for those beyond their share goes only when the uplink would idle, as long as others that
   * were just served or asked are merely busy for a moment. Others that take nothing, or slowly, are not
   * waited for.
   */
  #isSparing(nowMs: number): boolean {
    const { ledger, state, model } = this.#parts
    if (ledger.countedFlights + ledger.countedOffers + this.#sendable === 0) return false
    const { table, marks, neighbours } = state
    const sinceMs = nowMs - Math.max(OFFER.SPARING_MS, OFFER.SPARING_PIECES * model.pieceMs)
    for (let word = 0; word < table.words; word++) {
      const lacking = marks.listening.word(word) & ~table.complete.word(word)
      for (let rest = lacking & ~marks.light.word(word) & ~marks.slow.word(word); rest !== 0; rest &= rest - 1) {
        if ((neighbours[word * 32 + lowestBit(rest)] as Neighbour).usefulMs >= sinceMs) return true
      }
    }
    return false
  }

  /** Whether the neighbour's account takes one more offer. */
  #hasRoom({ upload, rttMs }: Neighbour): boolean {
    const { state, model } = this.#parts
    if (upload.queued + upload.offered >= state.options.maxQueuedPerPeer) return false
    if (!upload.isSlow && upload.drainRate > 0) return true
    // One ready behind those on their way keeps it busy.
    return upload.underWay <= windowOf(upload, rttMs ?? model.rttMs, state.geometry.pieceLength)
  }

  /**
   * Finds the slots that may be offered to; false when there is none. `isQuiet`: that have nothing under way.
   */
  #findEligible(isQuiet: boolean, nowMs: number): boolean {
    const { table, neighbours, marks } = this.#parts.state
    let any = 0
    for (let word = 0; word < table.words; word++) {
      let eligible = marks.listening.word(word) & ~table.complete.word(word)
      for (let full = eligible & marks.full.word(word); full !== 0; full &= full - 1) {
        const { upload } = neighbours[word * 32 + lowestBit(full)] as Neighbour
        if (upload.fullUntilMs > nowMs) {
          this.wakeMs = Math.min(this.wakeMs, upload.fullUntilMs)
          eligible &= ~(full & -full)
        } else upload.fullUntilMs = 0
      }
      for (let busy = eligible & marks.uploadedTo.word(word); busy !== 0; busy &= busy - 1) {
        if (!this.#hasRoom(neighbours[word * 32 + lowestBit(busy)] as Neighbour)) eligible &= ~(busy & -busy)
      }
      if (isQuiet) eligible &= ~(marks.uploadedTo.word(word) | marks.askedOf.word(word))
      this.#chooser.eligible[word] = eligible
      any |= eligible
    }
    return any !== 0
  }

  /**
   * How long an offer is under way: as measured, but no longer than the path and a few pieces before it
   * explain. One behind our own pieces to the same peer takes as long as these, and more of them ready would
   * make it longer yet: a node came to hold fourteen.
   */
  get #offerMs(): number {
    const { state, model } = this.#parts
    return Math.min(state.answerMs, model.rttMs + OFFER.MAX_PIECES_BEFORE_ANSWER * model.pieceMs)
  }

  /**
   * Whether pieces follow each other and answers are quick enough that an offer can wait until its turn is
   * near.
   */
  get #offersLate(): boolean {
    const { pieceMs } = this.#parts.model
    if (pieceMs < UPLINK.SLOW_PIECE_MS && (pieceMs < OFFER.MIN_LATE_PIECE_MS || this.#fullShare > OFFER.MAX_FULL_SHARE)) {
      return false
    }
    return this.#offerMs < OFFER.SHORT_ANSWER * pieceMs
  }

  /** How long an offer may stand before it is overdue. */
  get #patienceMs(): number {
    const { state, model } = this.#parts
    if (state.answerMs === 0) return OFFER.FIRST_PATIENCE_MS + 4 * model.rttMs
    return Math.max(OFFER.MIN_PATIENCE_MS, OFFER.PATIENCE_ANSWERS * state.answerMs)
  }

  #findOverdue(nowMs: number): void {
    const { state, ledger } = this.#parts
    const patienceMs = this.#patienceMs
    this.#overdueMs = Number.POSITIVE_INFINITY
    for (const offer of ledger.offers.values()) {
      if (offer.isOverdue) continue
      if (nowMs < offer.atMs + patienceMs) {
        this.#overdueMs = offer.atMs + patienceMs
        return // oldest first
      }
      ledger.recordOverdue(state.neighbours[offer.slot] as Neighbour, offer)
      state.marks.listening.delete(offer.slot)
    }
  }

  #endAnswered(neighbour: Neighbour, offer: Offer, isFull: boolean, nowMs: number): void {
    const { state, ledger } = this.#parts
    this.#fullShare += ((isFull ? 1 : 0) - this.#fullShare) / OFFER.SHARE_ANSWERS
    const elapsedMs = nowMs - offer.atMs
    // One that holds its answers back says little about the others.
    const sampleMs =
      state.answerMs === 0 ? elapsedMs : Math.min(elapsedMs, OFFER.PATIENCE_ANSWERS * state.answerMs + OFFER.MIN_PATIENCE_MS)
    state.answerMs += (sampleMs - state.answerMs) / (state.answerMs === 0 ? 1 : 8)
    if (neighbour.rttMs === undefined || elapsedMs < neighbour.rttMs) neighbour.rttMs = elapsedMs
    ledger.endOffer(neighbour, offer)
    this.listenTo(neighbour)
  }
}
