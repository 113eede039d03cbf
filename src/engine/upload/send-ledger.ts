/**
 * The book of what we send: offers without an answer, requests that wait, pieces on their way. The only
 * writer of these, and of the counts of them in each neighbour's account. Decides nothing.
 *
 * Invariants: a piece is offered to, waits for or flies to a neighbour, never two of these; counts equal
 * entries; offers and flights are kept oldest first; `countedOffers` and `countedFlights` are those that
 * still tell something about our uplink (not overdue, not held up).
 */

import type { Neighbour } from '../neighbour.ts'
import type { SwarmState } from '../state.ts'
import type { Flight } from './uplink-model.ts'

/** Slots per piece in the keys of offers and flights. */
const KEY_STRIDE = 2048

export interface Offer {
  readonly slot: number
  readonly piece: number
  readonly atMs: number
  /** Unanswered for so long that it no longer keeps the uplink from others. */
  isOverdue: boolean
}

export class SendLedger {
  readonly #state: SwarmState
  readonly #offers = new Map<number, Offer>()
  readonly #flights = new Map<number, Flight>()
  #order = 0
  #ready = 0
  #waiting = 0
  #wishers = 0
  #urgentFlights = 0
  countedOffers = 0
  countedFlights = 0

  constructor(state: SwarmState) {
    this.#state = state
  }

  /** Offers and flights, oldest first. */
  get offers(): ReadonlyMap<number, Offer> {
    return this.#offers
  }

  get flights(): ReadonlyMap<number, Flight> {
    return this.#flights
  }

  /** Accepted offers that wait; all requests that wait. */
  get readyCount(): number {
    return this.#ready
  }

  get waitingCount(): number {
    return this.#waiting
  }

  /** Neighbours with requests that no offer preceded. */
  get wishers(): number {
    return this.#wishers
  }

  get urgentFlights(): number {
    return this.#urgentFlights
  }

  offerOf(neighbour: Neighbour, piece: number): Offer | undefined {
    return this.#offers.get(piece * KEY_STRIDE + neighbour.slot)
  }

  flightOf(neighbour: Neighbour, piece: number): Flight | undefined {
    return this.#flights.get(piece * KEY_STRIDE + neighbour.slot)
  }

  recordOffer(neighbour: Neighbour, piece: number, nowMs: number): void {
    this.#offers.set(piece * KEY_STRIDE + neighbour.slot, { slot: neighbour.slot, piece, atMs: nowMs, isOverdue: false })
    this.countedOffers++
    neighbour.upload.offered++
    this.#state.table.recordExpects(neighbour.slot, piece)
  }

  recordOverdue(neighbour: Neighbour, offer: Offer): void {
    offer.isOverdue = true
    neighbour.upload.overdue++
    this.countedOffers--
  }

  endOffer(neighbour: Neighbour, offer: Offer): void {
    this.#offers.delete(offer.piece * KEY_STRIDE + offer.slot)
    if (offer.isOverdue) neighbour.upload.overdue--
    else this.countedOffers--
    neighbour.upload.offered--
  }

  /** A request that may be served when its turn comes. Ends its offer and its wish. */
  recordWaiting(neighbour: Neighbour, piece: number, isUrgent: boolean): void {
    this.endWish(neighbour, piece)
    const offer = this.offerOf(neighbour, piece)
    if (offer !== undefined) this.endOffer(neighbour, offer)
    neighbour.upload.queue(piece, this.#order++, isUrgent)
    if (!isUrgent) this.#ready++
    this.#waiting++
    this.#state.table.recordExpects(neighbour.slot, piece)
  }

  endWaiting(neighbour: Neighbour, piece: number): boolean {
    const { upload } = neighbour
    const wasReady = upload.ready.has(piece)
    if (!upload.unqueue(piece)) return false
    if (wasReady) this.#ready--
    this.#waiting--
    return true
  }

  recordWish(neighbour: Neighbour, piece: number, nowMs: number): void {
    const { upload } = neighbour
    if (upload.wishes.size === 0) this.#wishers++
    upload.wish(piece, nowMs)
  }

  endWish(neighbour: Neighbour, piece: number): boolean {
    const { upload } = neighbour
    const wasWished = upload.unwish(piece)
    if (wasWished && upload.wishes.size === 0) this.#wishers--
    return wasWished
  }

  recordFlight(neighbour: Neighbour, flight: Flight): void {
    this.#flights.set(flight.piece * KEY_STRIDE + flight.slot, flight)
    neighbour.upload.inFlight++
    if (!flight.isHeldUp) this.countedFlights++
    if (flight.isUrgent) this.#urgentFlights++
    this.#state.table.recordExpects(flight.slot, flight.piece)
  }

  /** The receiver, not our uplink, holds it up: it no longer fills the uplink's window. */
  recordHeldUp(flight: Flight): void {
    if (flight.isHeldUp) return
    flight.isHeldUp = true
    this.countedFlights--
  }

  endFlight(neighbour: Neighbour, flight: Flight): void {
    this.#flights.delete(flight.piece * KEY_STRIDE + flight.slot)
    neighbour.upload.inFlight--
    if (!flight.isHeldUp) this.countedFlights--
    if (flight.isUrgent) this.#urgentFlights--
  }

  /** Ends everything with this neighbour. */
  forget(neighbour: Neighbour): void {
    for (const offer of this.#offers.values()) if (offer.slot === neighbour.slot) this.endOffer(neighbour, offer)
    for (const flight of this.#flights.values()) if (flight.slot === neighbour.slot) this.endFlight(neighbour, flight)
    this.endRequests(neighbour)
  }

  /** Ends what the neighbour asked for and has not begun; returns the pieces. */
  endRequests(neighbour: Neighbour): number[] {
    const { upload } = neighbour
    const pieces = [...upload.wishes.keys(), ...upload.urgent.keys(), ...upload.ready.keys()]
    this.#ready -= upload.ready.size
    this.#waiting -= upload.queued
    if (upload.wishes.size > 0) this.#wishers--
    upload.clear()
    return pieces
  }

  /** Whether any offer, request or flight of the piece to this neighbour stands. */
  has(neighbour: Neighbour, piece: number): boolean {
    const key = piece * KEY_STRIDE + neighbour.slot
    return this.#offers.has(key) || this.#flights.has(key) || neighbour.upload.isQueued(piece)
  }

  assertInvariants(): void {
    const offered = new Map<number, number>()
    const inFlight = new Map<number, number>()
    let counted = { offers: 0, flights: 0, urgent: 0, ready: 0, waiting: 0, wishers: 0 }
    for (const { slot, isOverdue } of this.#offers.values()) {
      offered.set(slot, (offered.get(slot) ?? 0) + 1)
      if (!isOverdue) counted.offers++
    }
    for (const { slot, isHeldUp, isUrgent } of this.#flights.values()) {
      inFlight.set(slot, (inFlight.get(slot) ?? 0) + 1)
      if (!isHeldUp) counted.flights++
      if (isUrgent) counted.urgent++
    }
    const { marks, neighbours } = this.#state
    for (const neighbour of neighbours) {
      if (neighbour === undefined) continue
      const { slot, upload } = neighbour
      if ((offered.get(slot) ?? 0) !== upload.offered || (inFlight.get(slot) ?? 0) !== upload.inFlight) {
        throw new Error(`uploads to ${neighbour.key} are counted wrongly`)
      }
      if (marks.uploadedTo.has(slot) !== upload.underWay > 0 || marks.waiting.has(slot) !== upload.queued > 0) {
        throw new Error(`${neighbour.key} is marked wrongly`)
      }
      counted = {
        ...counted,
        ready: counted.ready + upload.ready.size,
        waiting: counted.waiting + upload.queued,
        wishers: counted.wishers + (upload.wishes.size > 0 ? 1 : 0)
      }
    }
    const kept = {
      offers: this.countedOffers,
      flights: this.countedFlights,
      urgent: this.#urgentFlights,
      ready: this.#ready,
      waiting: this.#waiting,
      wishers: this.#wishers
    }
    for (const [name, count] of Object.entries(counted)) {
      if (kept[name as keyof typeof kept] !== count) throw new Error(`the book of sends counts its ${name} wrongly`)
    }
  }
}
