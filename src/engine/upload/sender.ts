/**
 * Starts the pieces that were requested when the uplink has room, and tells a full uplink from a slow
 * receiver.
 *
 * Order: urgent requests while they take a bounded part of what we send, then accepted offers as they were
 * accepted, then other urgent requests of neighbours within their share, then those of the others. A flight
 * that its receiver holds up (overtaken by later ones to others, or far later than our uplink explains)
 * leaves the uplink's window and marks its receiver slow; from then on that neighbour's own window bounds it
 * (drain.ts). Used by uploader.ts.
 */

import type { Neighbour } from '../neighbour.ts'
import { lowestBit } from '../slot-set.ts'
import { HAVE } from '../state.ts'
import { UPLINK, UPLOAD } from '../tunables.ts'
import { recordDrained, windowOf } from './drain.ts'
import type { UploadParts } from './parts.ts'
import type { Flight } from './uplink-model.ts'

interface Next {
  readonly neighbour: Neighbour
  readonly piece: number
  readonly isUrgent: boolean
}

export class Sender {
  readonly #parts: UploadParts
  /** No flight counts as held up before this time. */
  #holdUpMs = 0
  /** When {@link advance} has something to do although nothing arrives. */
  wakeMs = Number.POSITIVE_INFINITY

  constructor(parts: UploadParts) {
    this.#parts = parts
  }

  handleServed(flight: Flight, nowMs: number): void {
    flight.servedMs = nowMs
    if (this.#parts.model.rate === 0) this.#holdUpMs = 0
  }

  /** The receiver has the piece. */
  acknowledge(neighbour: Neighbour, flight: Flight, nowMs: number): void {
    const { ledger, model } = this.#parts
    const { upload } = neighbour
    // A receiver that holds us up says nothing about our uplink, unless all of them do; nor one that got the
    // piece elsewhere first.
    const isSample = flight.servedMs > 0 && (!flight.isHeldUp || ledger.countedFlights === 0)
    const isInTime = recordDrained(upload, flight, model.pieceMs, neighbour.rttMs ?? model.rttMs, nowMs)
    model.acknowledged(flight, isSample, nowMs)
    if (isInTime) upload.isSlow = false
    // It kept a piece, so there is room again; waiting for the back-off cost a small file more than its
    // transfer.
    upload.fullUntilMs = 0
    for (const other of ledger.flights.values()) {
      if (other === flight) break // oldest first
      if (other.slot !== flight.slot && ++other.overtaken >= UPLOAD.MAX_OVERTAKEN) this.#noteOvertaken(other, nowMs)
    }
    ledger.endFlight(neighbour, flight)
  }

  /** Starts what the uplink has room for. True when fewer requests wait afterwards. */
  advance(nowMs: number): boolean {
    const { state, ledger, model } = this.#parts
    this.wakeMs = Number.POSITIVE_INFINITY
    const waiting = ledger.waitingCount
    if (waiting === 0 && ledger.wishers === 0) return false
    const window = model.windowPieces
    if (ledger.countedFlights >= window || state.options.maxUploadSlots > 0 || model.rate === 0) this.#findHeldUp(window, nowMs)
    if (ledger.countedFlights < window) this.#grantAged(window, nowMs)
    while (ledger.waitingCount > 0) {
      const startMs = Math.max(model.nextStartMs(ledger.countedFlights, state.answerMs), this.#firstLeftMs)
      const isOpen = ledger.countedFlights < window
      const isFree = isOpen && nowMs >= startMs
      if (isOpen && !isFree) this.wakeMs = Math.min(this.wakeMs, startMs)
      // A reader waits for urgent ones: they go before pieces that are waiting for the uplink below us.
      if (!isFree && ledger.urgentFlights >= UPLOAD.URGENT_FLIGHTS) break
      if (!this.#maySpend(nowMs)) break
      const next = this.#takeNext(isFree, isFree && ledger.countedFlights < window / 2)
      if (next === undefined) break
      this.#start(next, nowMs)
    }
    return ledger.waitingCount < waiting
  }

  #maySpend(nowMs: number): boolean {
    for (const budget of this.#parts.budgets) {
      if (budget.canSpend(nowMs)) continue
      this.wakeMs = Math.min(this.wakeMs, budget.readyMs(nowMs))
      return false
    }
    return true
  }

  #start({ neighbour, piece, isUrgent }: Next, nowMs: number): void {
    const { state, budgets, ledger, model, share } = this.#parts
    const { upload, slot } = neighbour
    const bytes = state.geometry.pieceBytes(piece)
    for (const budget of budgets) budget.spend(bytes, nowMs)
    model.noteRoundTrip(neighbour.rttMs)
    const flight = model.start(slot, piece, bytes, isUrgent, ledger.countedFlights, nowMs)
    if (upload.inFlight === 0) upload.drainedMs = nowMs
    flight.drainedBytes = upload.drainedBytes
    flight.drainedMs = upload.drainedMs
    flight.isHeldUp = upload.isSlow
    ledger.recordFlight(neighbour, flight)
    share.charge(neighbour, isUrgent)
    state.emit({ type: 'servePiece', peer: neighbour.key, piece, isUrgent })
  }

  /**
   * The request whose turn it is, removed from its queue. Not `isFree`: only an urgent one may go. `isIdle`:
   * also an urgent one of a neighbour that is beyond its share; else what others ask for next would stand
   * behind a whole window of them.
   */
  #takeNext(isFree: boolean, isIdle: boolean): Next | undefined {
    const { state, share } = this.#parts
    const { table, marks, neighbours } = state
    let best: Next | undefined
    let bestRank = Number.POSITIVE_INFINITY
    let bestOrder = Number.POSITIVE_INFINITY
    for (let word = 0; word < table.words; word++) {
      for (let rest = marks.waiting.word(word); rest !== 0; rest &= rest - 1) {
        const neighbour = neighbours[word * 32 + lowestBit(rest)] as Neighbour
        const { upload } = neighbour
        this.#dropMoot(neighbour)
        if (upload.queued === 0 || !this.#maySendTo(neighbour)) continue
        const isFirst = upload.urgent.size > 0 && share.maySendUrgentFirst
        if (!isFirst && !isFree) continue
        const isUrgent = isFirst || (upload.urgent.size > 0 && (upload.ready.size === 0 || share.maySend(upload)))
        const rank = isFirst ? 0 : !isUrgent ? 1 : share.maySend(upload) ? 2 : 3
        if (rank === 3 && !isIdle) continue
        const [piece, order] = (isUrgent ? upload.urgent : upload.ready).entries().next().value as [number, number]
        if (rank > bestRank || (rank === bestRank && order > bestOrder)) continue
        best = { neighbour, piece, isUrgent }
        bestRank = rank
        bestOrder = order
      }
    }
    if (best !== undefined) this.#parts.ledger.endWaiting(best.neighbour, best.piece)
    return best
  }

  /** Removes first requests that nobody needs served any more. */
  #dropMoot(neighbour: Neighbour): void {
    const { state, ledger } = this.#parts
    for (const queue of [neighbour.upload.urgent, neighbour.upload.ready]) {
      for (const piece of queue.keys()) {
        if (state.status[piece] === HAVE && !state.table.slotHolds(neighbour.slot, piece)) break
        ledger.endWaiting(neighbour, piece)
      }
    }
  }

  #maySendTo({ upload, rttMs }: Neighbour): boolean {
    const { state, model } = this.#parts
    if (upload.inFlight >= windowOf(upload, rttMs ?? model.rttMs, state.geometry.pieceLength)) return false
    const { maxUploadSlots } = state.options
    return maxUploadSlots === 0 || upload.inFlight > 0 || this.#servedPeers() < maxUploadSlots
  }

  /** Receivers whose pieces fill our uplink; one that is itself slow holds no slot. */
  #servedPeers(): number {
    const slots = new Set<number>()
    for (const flight of this.#parts.ledger.flights.values()) if (!flight.isHeldUp) slots.add(flight.slot)
    return slots.size
  }

  /**
   * Grants wishes that waited long enough: the oldest of each neighbour, and one in the time that a round of
   * all takes. Were it more, a few neighbours that ask for much would leave no room to offer anything to
   * others.
   */
  #grantAged(window: number, nowMs: number): void {
    const { state, ledger, model, share } = this.#parts
    if (ledger.wishers === 0) return
    const { pieceMs } = model
    const roundMs = Math.max(UPLOAD.PATIENCE_MS, state.neighbourOf.size * pieceMs)
    const patienceMs = pieceMs === 0 ? Math.max(UPLOAD.FIRST_PATIENCE_MS, 2 * state.firstPieceMs) : roundMs
    for (const neighbour of state.neighbours) {
      if (neighbour === undefined) continue
      const { upload } = neighbour
      if (upload.wishes.size === 0 || nowMs - upload.agedMs < roundMs || !share.maySend(upload)) continue
      if (ledger.readyCount >= 2 * window) return
      const [piece, atMs] = upload.wishes.entries().next().value as [number, number]
      if (nowMs - atMs < patienceMs) continue
      upload.agedMs = nowMs
      ledger.recordWaiting(neighbour, piece, false)
    }
  }

  /**
   * Before anything is known of the uplink: until when a piece that the transport is still taking goes alone.
   * On a slow uplink a second one makes both late, and nobody has anything to pass on yet. For a bounded
   * time, as it may be the receiver that is slow.
   */
  get #firstLeftMs(): number {
    const { state, ledger, model } = this.#parts
    if (model.rate > 0) return 0
    const aloneMs = Math.max(UPLINK.FIRST_ALONE_MS, state.firstPieceMs)
    let leftMs = 0
    for (const { servedMs, isHeldUp, startMs } of ledger.flights.values()) {
      if (servedMs === 0 && !isHeldUp) leftMs = Math.max(leftMs, startMs + aloneMs)
    }
    return leftMs
  }

  /** Takes flights out of the window that their receivers, not our uplink, hold up. */
  #findHeldUp(window: number, nowMs: number): void {
    const { state, ledger, model } = this.#parts
    if (nowMs < this.#holdUpMs) {
      this.wakeMs = Math.min(this.wakeMs, this.#holdUpMs)
      return
    }
    this.#holdUpMs = 0
    const isUnknown = model.rate === 0
    // While nothing came back each flight that we gave up on may yet be under way, and slows down what begins
    // now.
    const givenUp = 1 + ledger.flights.size - ledger.countedFlights
    const unknownMs = Math.max(UPLINK.FIRST_HOLD_UP_MS, 4 * state.firstPieceMs) * givenUp
    const ackMs = (UPLOAD.FIRST_ACK_RTTS * model.rttMs + UPLOAD.FIRST_ACK_MS) * givenUp
    const knownMs = 3 * (model.rttMs + (window + 1) * model.pieceMs) + 100
    for (const flight of ledger.flights.values()) {
      if (flight.isHeldUp) continue
      const { startMs, servedMs } = flight
      // A piece that the transport took and nobody acknowledges is the receiver's affair, as long as we know
      // no better.
      const lateMs = isUnknown ? Math.min(startMs + unknownMs, servedMs > 0 ? servedMs + ackMs : Infinity) : startMs + knownMs
      if (nowMs < lateMs) {
        this.#holdUpMs = this.#holdUpMs === 0 ? lateMs : Math.min(this.#holdUpMs, lateMs)
        this.wakeMs = Math.min(this.wakeMs, lateMs)
        if (!isUnknown) return // oldest first
        continue
      }
      this.#holdUp(state.neighbours[flight.slot] as Neighbour, flight)
    }
  }

  /** Later pieces to others arrived first: its receiver, not our uplink, holds it up. */
  #noteOvertaken(flight: Flight, nowMs: number): void {
    const neighbour = this.#parts.state.neighbours[flight.slot] as Neighbour
    if (nowMs - flight.startMs < 2 * (neighbour.rttMs ?? this.#parts.model.rttMs) + UPLOAD.OVERTAKEN_MS) return
    this.#holdUp(neighbour, flight)
  }

  #holdUp(neighbour: Neighbour, flight: Flight): void {
    this.#parts.ledger.recordHeldUp(flight)
    neighbour.upload.isSlow = true
  }
}
