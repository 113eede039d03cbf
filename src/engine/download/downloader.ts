/**
 * The downloading half: which offers to take, and what became of what we asked for.
 *
 * Uploaders choose and we say yes or no: no to what we have, expect elsewhere, or cannot take now. What
 * nobody offers is asked for by pull.ts. A sender that has delivered is believed for longer than one that has
 * not: requests to the latter hold nothing up (demand.ts), are not told to others, and give way to any other
 * offer once their trial is over.
 *
 * Invariants: those of request-ledger.ts; pieces expected and being verified stay within `maxPendingPieces`
 * and `maxPendingBytes`, but for one unproven request per neighbour. Used by swarm.ts.
 */

import type { Random } from '../../util/random.ts'
import type { RateBudget } from '../../util/rate-budget.ts'
import type { RejectReason } from '../../wire/messages.ts'
import type { Neighbour } from '../neighbour.ts'
import { HAVE, MISSING, type SwarmState, VERIFYING } from '../state.ts'
import { DEMAND, PATIENCE, READER } from '../tunables.ts'
import { Demand } from './demand.ts'
import { DownlinkModel } from './downlink-model.ts'
import { NearClaims } from './near.ts'
import { endgameLateMs, lateMs, starvedMs, timeoutMs } from './patience.ts'
import { Puller } from './pull.ts'
import { Readers } from './readers.ts'
import { RequestLedger } from './request-ledger.ts'
import { ToldExpectations } from './told-expectations.ts'

interface Held {
  readonly neighbour: Neighbour
  readonly piece: number
  readonly atMs: number
}

type Answer = 'request' | 'held' | 'crossed' | RejectReason

export class Downloader {
  readonly #state: SwarmState
  readonly #model: DownlinkModel
  readonly #ledger: RequestLedger
  readonly #readers: Readers
  readonly #demand: Demand
  readonly #near: NearClaims
  readonly #puller: Puller
  readonly #budgets: readonly RateBudget[]
  /**
   * Offers that only a limit or the sender's credit keeps us from taking, oldest first. Turning them down
   * would make the uploader back off.
   */
  #held: Held[] = []
  readonly #told: ToldExpectations
  /** Neighbours that let a request time out lately. */
  readonly #timedOut = new Set<Neighbour>()
  #lastPieceMs: number
  #wakeMs = Number.POSITIVE_INFINITY
  bytesDownloaded = 0
  bytesWasted = 0

  constructor(state: SwarmState, random: Random, budgets: readonly RateBudget[], nowMs: number) {
    this.#state = state
    this.#budgets = budgets
    this.#lastPieceMs = nowMs
    this.#model = new DownlinkModel(nowMs)
    this.#ledger = new RequestLedger(state, budgets)
    this.#readers = new Readers(state)
    this.#demand = new Demand(state, budgets, this.#model, this.#ledger, this.#readers)
    this.#near = new NearClaims(state)
    this.#told = new ToldExpectations(state, this.#ledger)
    const parts = { state, random, budgets, model: this.#model, ledger: this.#ledger, readers: this.#readers }
    this.#puller = new Puller({ ...parts, demand: this.#demand })
  }

  get pendingPieces(): number {
    return this.#ledger.pending.size
  }

  get capacity(): number {
    return this.#demand.capacity
  }

  get wakeMs(): number {
    return Math.min(this.#wakeMs, this.#puller.wakeMs)
  }

  get lastPieceMs(): number {
    return this.#lastPieceMs
  }

  get readers(): Readers {
    return this.#readers
  }

  /** Whether a neighbour was asked for the piece. */
  isExpected(piece: number): boolean {
    return this.#ledger.isExpected(piece)
  }

  /** A neighbour fetches these from afar. */
  handleTaking(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    this.#near.record(neighbour, pieces, nowMs)
  }

  handleOffer(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    const state = this.#state
    neighbour.download.lastOfferMs = nowMs
    let answers: Map<Answer, number[]> | undefined
    for (const piece of pieces) {
      state.table.recordHave(neighbour.slot, piece)
      const answer = this.#answer(neighbour, piece, nowMs)
      if (answer === 'crossed') continue
      if (answer === 'request') this.#request(neighbour, piece, nowMs)
      else if (answer === 'held') {
        this.#held.push({ neighbour, piece, atMs: nowMs })
        continue
      }
      answers ??= new Map()
      const list = answers.get(answer)
      if (list === undefined) answers.set(answer, [piece])
      else list.push(piece)
    }
    if (answers === undefined) return
    for (const [answer, list] of answers) {
      if (answer === 'request') {
        state.send(neighbour, { type: 'request', pieces: list, urgent: false })
        this.#near.tell(neighbour, list)
      } else state.send(neighbour, { type: 'reject', pieces: list, reason: answer as RejectReason })
    }
  }

  /** The neighbour turned down a request of ours. */
  handleReject(neighbour: Neighbour, piece: number, reason: RejectReason, nowMs: number): void {
    const wasAsked = this.#ledger.recordAnswered(neighbour, piece)
    const { download } = neighbour
    if (reason === 'missing') {
      // It said that it has the piece: an honest loss costs a little trust, a made-up bitfield soon all of
      // it.
      if (wasAsked && this.#state.table.slotHolds(neighbour.slot, piece)) neighbour.strikes++
      this.#state.table.recordLacks(neighbour.slot, piece)
    } else if (reason === 'full' || reason === 'choked') {
      download.chokedUntilMs = nowMs + (reason === 'full' ? PATIENCE.FULL_MS : PATIENCE.CHOKED_MS)
      download.credit = Math.max(DEMAND.TRIAL_CREDIT, download.credit >> 1)
    }
    if (!wasAsked) return
    this.#ledger.release(neighbour, piece)
    // With another reason it says nothing that keeps us from asking the same peer again, for ever.
    if (reason === 'missing' || reason === 'full' || reason === 'choked') this.#orphan(piece)
  }

  /** A piece arrived. False when it was never asked of this peer. */
  handlePiece(neighbour: Neighbour, piece: number, bytes: number, nowMs: number): boolean {
    const state = this.#state
    const askedMs = this.#ledger.askedMs(neighbour, piece)
    if (!this.#ledger.recordAnswered(neighbour, piece)) {
      this.bytesWasted += bytes
      state.emit({ type: 'dropPiece', peer: neighbour.key, piece, reason: 'not requested' })
      return false
    }
    for (const budget of this.#budgets) budget.spend(bytes, nowMs)
    this.#recordArrival(neighbour, piece, bytes, askedMs, nowMs)
    if (state.status[piece] !== MISSING) {
      this.#ledger.release(neighbour, piece)
      this.bytesWasted += bytes
      state.emit({ type: 'dropPiece', peer: neighbour.key, piece, reason: 'not needed' })
      return true
    }
    this.bytesDownloaded += bytes
    this.#lastPieceMs = nowMs
    this.#ledger.withdraw(piece, neighbour)
    this.#near.forget(piece)
    state.status[piece] = VERIFYING
    state.verifying++
    state.table.removeMissing(piece)
    state.emit({ type: 'acceptPiece', peer: neighbour.key, piece })
    return true
  }

  #recordArrival(neighbour: Neighbour, piece: number, bytes: number, askedMs: number, nowMs: number): void {
    const { download } = neighbour
    neighbour.usefulMs = nowMs
    download.bytesDownloaded += bytes
    download.recentBytes += bytes
    download.lastPieceMs = nowMs
    download.timeoutsInRow = 0
    if (!download.isProven) this.#state.marks.unproven.delete(neighbour.slot)
    download.pieces++
    download.credit = Math.min(DEMAND.MAX_CREDIT, download.credit + DEMAND.CREDIT_PER_PIECE)
    const arrival = this.#ledger.arrivalOf(neighbour, piece, nowMs)
    if (arrival === undefined) {
      // What we gave up on shows best how long pieces take here.
      this.#model.recordLate(bytes, nowMs - askedMs)
      return
    }
    const { elapsedMs, bytesBefore, isPulled } = arrival
    this.#model.record(bytes, bytesBefore, elapsedMs, nowMs)
    download.serviceMs = download.serviceMs === 0 ? elapsedMs : download.serviceMs + (elapsedMs - download.serviceMs) / 8
    if (isPulled) this.#puller.recordArrival(neighbour)
  }

  /** The accepted piece was wrong or could not be kept: it is missing again. */
  handleUnverified(piece: number): void {
    const state = this.#state
    if (state.status[piece] !== VERIFYING) return
    state.status[piece] = MISSING
    state.verifying--
    if (state.wants(piece)) state.table.addMissing(piece)
    const bytes = state.geometry.pieceBytes(piece)
    this.bytesDownloaded -= bytes
    this.bytesWasted += bytes
    this.#orphan(piece)
  }

  handleJoined({ slot }: Neighbour): void {
    this.#state.marks.unproven.add(slot)
  }

  handleLeft(neighbour: Neighbour): void {
    for (const piece of this.#ledger.forget(neighbour)) this.#orphan(piece)
  }

  handleReaderMoved(reader: string, first: number, last: number, nowMs: number): void {
    // What is on its way for nobody to read would only stand in its way on the downlink. (What comes all the
    // same is kept.)
    if (!this.#readers.move(reader, first, last, nowMs) || !this.#readers.isBehind) return
    for (const piece of this.#ledger.pending) if (!this.#readers.want(piece)) this.#ledger.withdraw(piece)
  }

  /** Those who let a request time out since the last call. */
  takeTimedOut(): Neighbour[] {
    return [...this.#timedOut].filter(neighbour => this.#timedOut.delete(neighbour))
  }

  /** What we expect by now from senders that have delivered before, and have not told yet. */
  takeUntold(): number[] {
    return this.#told.takeUntold()
  }

  /** A piece came that no peer sent. */
  recordProgress(nowMs: number): void {
    this.#lastPieceMs = nowMs
  }

  /** Withdraws every request: paused, leaving, or the store cannot keep more. */
  cancelAll(): void {
    for (const piece of this.#ledger.pending) this.#ledger.withdraw(piece)
  }

  /** The piece came from elsewhere. */
  cancelPiece(piece: number): void {
    this.#near.forget(piece)
    this.#ledger.withdraw(piece)
  }

  /** Withdraws requests of pieces no longer wanted. */
  cancelUnwanted(): void {
    for (const piece of this.#ledger.pending) if (!this.#state.wants(piece)) this.#ledger.withdraw(piece)
  }

  /** Requests what must be requested without an offer. Cheap when there is nothing to do. */
  advance(nowMs: number): void {
    const state = this.#state
    this.#wakeMs = Number.POSITIVE_INFINITY
    this.#puller.wakeMs = Number.POSITIVE_INFINITY
    if (state.isComplete || state.isPaused || state.isLeaving || state.storeFault !== undefined) return
    if (this.#readers.size > 0) this.#puller.pullForReaders(nowMs)
    if (this.#held.length > 0) this.#takeHeld(nowMs)
    this.#told.retract()
    this.#puller.advance(nowMs)
  }

  /** Gives up on late requests and pulls when nobody offers; several times a second. */
  housekeep(nowMs: number): void {
    const state = this.#state
    if (state.isPaused || state.isLeaving || state.storeFault !== undefined) return
    this.#findLate(nowMs)
    if (state.isComplete || !state.options.offers) return
    this.#puller.pullFromRequestOnly(nowMs)
    if (this.#demand.countLikely(1, nowMs) > 0) return
    const quietMs = nowMs - this.#lastPieceMs
    for (const piece of this.#near.takeDeferred(quietMs, this.#model.typicalMs)) {
      if (state.status[piece] === MISSING) this.#orphan(piece)
    }
    this.#puller.pullStarved(quietMs, starvedMs(state.neighbourOf.size, this.#demand.pace, state.options), nowMs)
  }

  /** Keeps a peer that only answers requests busy as its pieces arrive. */
  pullNext(neighbour: Neighbour, nowMs: number): void {
    const { isComplete, isPaused, isLeaving, storeFault } = this.#state
    if (isComplete || isPaused || isLeaving || storeFault !== undefined) return
    this.#puller.pullNext(neighbour, nowMs)
  }

  assertInvariants(): void {
    this.#ledger.assertInvariants()
    const most = this.capacity + READER.AHEAD_PIECES + this.#state.neighbourOf.size
    if (this.#ledger.pending.size > most) throw new Error('too many pieces are pending')
  }

  #answer(neighbour: Neighbour, piece: number, nowMs: number): Answer {
    const state = this.#state
    // Our request, which crossed the offer, is the answer.
    if (this.#ledger.isExpectedFrom(neighbour, piece)) return 'crossed'
    const status = state.status[piece]
    if (status === HAVE) return 'have'
    if (status === VERIFYING || !state.wants(piece)) return 'expected'
    const holder = this.#whyNotFree(neighbour, piece, nowMs)
    if (holder !== undefined) return holder
    if (this.#near.comesFromNear(neighbour, piece, this.#model.typicalMs, nowMs)) return 'expected'
    if (this.#readers.isBehind && !this.#readers.want(piece)) return 'full'
    if (!this.#demand.hasRoom(piece, nowMs)) return 'full'
    if (!this.#near.isImport(neighbour) && this.#demand.isDownlinkFull(neighbour, nowMs)) return 'full'
    const hasCredit = neighbour.download.pending < neighbour.download.credit
    const maySpend = this.#demand.maySpend(nowMs)
    if (hasCredit && maySpend) return 'request'
    if (!neighbour.download.isProven && !hasCredit) return 'full'
    return this.#held.length < (maySpend ? DEMAND.MAX_HELD : DEMAND.MAX_HELD_BY_LIMIT) ? 'held' : 'full'
  }

  /** Why the piece may not be taken from this neighbour now: somebody else sends it, or is about to. */
  #whyNotFree(neighbour: Neighbour, piece: number, nowMs: number): RejectReason | undefined {
    const sender = this.#ledger.senderOf(piece)
    if (sender === undefined) return this.#puller.isFree(piece, nowMs) ? undefined : 'expected'
    if (this.#ledger.hasSecond(piece)) return 'expected'
    const elapsedMs = nowMs - this.#ledger.sinceMs(piece)
    // What we asked for without an offer gives way to one, unless it is only a claim.
    const isBelieved = neighbour.download.isProven || !sender.download.isProven
    const givesWay = this.#ledger.isPulled(piece) && !this.#readers.want(piece) && isBelieved
    if (givesWay || elapsedMs >= lateMs(sender.download, this.#demand.pace)) return undefined
    return this.#isEndgame && this.#demand.isUnproven(piece, nowMs) ? undefined : 'expected'
  }

  #request(neighbour: Neighbour, piece: number, nowMs: number): void {
    // An earlier sender that has not sent it gives way.
    this.#ledger.withdraw(piece)
    this.#ledger.recordRequest(neighbour, piece, false, this.#model.receivedBytes, nowMs)
    // What we ask for without an offer gives way to one, so others need not know.
    this.#told.recordTaken(piece)
  }

  /**
   * Takes offers that were held back, as far as limits and credit allow by now; turns down those that are
   * moot or waited too long.
   */
  #takeHeld(nowMs: number): void {
    const held = this.#held
    this.#held = []
    for (const [index, entry] of held.entries()) {
      const { neighbour, piece, atMs } = entry
      if (this.#state.neighbours[neighbour.slot] !== neighbour) continue
      if (nowMs >= atMs + DEMAND.HELD_MS) {
        this.#state.send(neighbour, { type: 'reject', pieces: [piece], reason: 'full' })
      } else if (!this.#demand.maySpend(nowMs)) {
        this.#held.push(...held.slice(index))
        this.#wakeMs = Math.min(this.#wakeMs, this.#demand.spendableMs(nowMs), atMs + DEMAND.HELD_MS)
        return
      } else if (neighbour.download.pending >= neighbour.download.credit) {
        this.#held.push(entry)
        this.#wakeMs = Math.min(this.#wakeMs, atMs + DEMAND.HELD_MS)
      } else this.handleOffer(neighbour, [piece], nowMs)
    }
  }

  /** Everything missing is on its way: what a slow or unproven sender holds is worth asking of another. */
  get #isEndgame(): boolean {
    const { verifying, wantedMissing } = this.#state
    return this.#ledger.pending.size + verifying >= wantedMissing
  }

  /** Asks others for what is late, and gives up what timed out. */
  #findLate(nowMs: number): void {
    const state = this.#state
    const { pace } = this.#demand
    const isEndgame = this.#isEndgame
    const endgameMs = isEndgame ? endgameLateMs(pace) : Number.POSITIVE_INFINITY
    for (const piece of this.#ledger.pending) {
      const sender = this.#ledger.senderOf(piece) as Neighbour
      const { download } = sender
      const elapsedMs = nowMs - this.#ledger.sinceMs(piece)
      if (elapsedMs >= timeoutMs(download, pace, state.options)) {
        download.timeoutsInRow++
        this.#timedOut.add(sender)
        download.credit = DEMAND.TRIAL_CREDIT
        download.chokedUntilMs = nowMs + PATIENCE.TIMED_OUT_MS
        this.#ledger.withdrawFirst(piece)
        this.#orphan(piece)
        continue
      }
      if (this.#ledger.hasSecond(piece)) continue
      const isUnproven = isEndgame && this.#demand.isUnproven(piece, nowMs)
      if (isUnproven && this.#puller.replaceSender(piece, nowMs)) continue
      if (elapsedMs >= Math.min(endgameMs, lateMs(download, pace))) this.#puller.askSecond(piece, nowMs)
    }
  }

  /** Notes that nobody sends the piece any more, if so. */
  #orphan(piece: number): void {
    if (this.#ledger.isExpected(piece)) return
    this.#puller.recordOrphan(piece)
    this.#told.recordFailed(piece)
  }
}
