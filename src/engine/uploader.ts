/**
 * The uploading half: which piece to offer to whom, what waits to be sent, and what is on its way.
 *
 * Only the uploader knows its uplink, so it chooses: the piece that the fewest neighbours hold or expect, and among the neighbours
 * lacking it the one with the fewest pieces. It offers just enough ahead that the uplink never idles, sends only what was
 * requested, and keeps only as much in flight as the uplink carries. Requests without an offer are served too: urgent ones (a reader
 * waits) first, others as if they had been offered, and in any case after {@link PATIENCE_MS}.
 *
 * Bounds: offers and queue by the uplink model's window, wishes by `maxQueuedPerPeer`, flights by the window plus {@link URGENT_PIECES}
 * and one stalled flight per slow neighbour. Used by swarm.ts.
 */

import type { Random } from '../util/random.ts'
import { MAX_PIECES_PER_MESSAGE, type RejectReason } from '../wire/messages.ts'
import { type Neighbour, NO_WISHES } from './neighbour.ts'
import type { RateBudget } from './rate-budget.ts'
import { HAVE, type SwarmState } from './state.ts'
import type { PeerKey } from './types.ts'
import { type Flight, SLOW_PIECE_MS, UplinkModel } from './uplink-model.ts'

/** A request without an offer is served after this long at the latest (or one round of all neighbours, if longer). */
const PATIENCE_MS = 1000
/** The same before we know how long a piece takes. */
const FIRST_PATIENCE_MS = 3000
const OFFER_TIMEOUT_MS = 4000
/** A sent piece is forgotten when its receiver says nothing for so long. */
const FLIGHT_TIMEOUT_MS = 60_000
/** Urgent pieces in flight whatever the window: behind a full one they would wait until a slow receiver has taken something. */
const URGENT_PIECES = 4
/** Of a limit's rate: an uplink that delivers more than this is held back by the limit. */
const LIMIT_SHARE = 0.8
const UNKNOWN_RTT_MS = 20
/**
 * Longest time that the first piece has the uplink for itself; where it may take longer on the slowest link that we plan for, that long. (After two seconds at
 * 0.5 Mbit/s everybody's first two pieces shared the uplink, and each of a fleet's first doublings took 7.3 s in place of 4.4.)
 */
const FIRST_ALONE_MS = 2000
/** Pieces looked at for one choice, so that a choice costs a bounded time. */
const MAX_LOOKS = 512
/**
 * Where a piece takes long beside an answer, the choice waits until its turn is near: so many answers ahead, as every second offer is turned down, or
 * that share of a piece's time. Chosen a piece's time earlier it is the rarest no more when it leaves, and nobody else sends it meanwhile: 60 nodes at
 * 0.5 Mbit/s lagged thirteen pieces behind their seeder in place of ten, with twice as many offers.
 */
const LEAD_ANSWERS = 4
const LEAD_OF_PIECE = 0.1
/** How long an offer may take beside a piece for that. */
const SHORT_ANSWER = 0.35
/** Pieces shorter than that, in ms, are chosen early: event loops take as long. */
const MIN_LATE_PIECE_MS = 50
/**
 * Below {@link SLOW_PIECE_MS} also where more than this share of offers is answered with `full`: downlinks are as narrow as uplinks there, many must be asked
 * until one has room (8 real nodes at 20 Mbit/s both ways: 1.46 and 1.53 T* late, 1.42 and 1.45 early).
 */
const MAX_FULL_SHARE = 0.4
/** Answers over which that share is taken. */
const SHARE_ANSWERS = 32
/** Offers turned down in a row after which more than one stand out again. */
const MAX_REFUSED_ALONE = 1
/** Offers that have waited for longer than that, and at least this long, do not count as standing out; so many of them at most. */
const OVERDUE_OFFER_MS = 1000
const MAX_OVERDUE_OFFERS = 8
/** Pieces that an offer and its answer may have to wait for. */
const MAX_PIECES_BEFORE_ANSWER = 3
const FIRST_FULL_BACKOFF_MS = 50
const MAX_FULL_BACKOFF_MS = 100
/** Slots per piece in the keys of offers and flights. */
const KEY_STRIDE = 2048

/** Who may be offered to: first those with nothing under way in either direction, in an open swarm those who contribute. */
interface Eligibility {
  readonly isQuiet: boolean
  readonly isContributor: boolean
}
const ELIGIBILITY: readonly Eligibility[] = [
  { isQuiet: true, isContributor: false },
  { isQuiet: false, isContributor: false }
]
/** In an open swarm, and everywhere while we seed. */
const ELIGIBILITY_WATCHED: readonly Eligibility[] = [
  { isQuiet: true, isContributor: true },
  { isQuiet: false, isContributor: true },
  ...ELIGIBILITY
]
/** A leecher that has what we lack and offers nothing for so long, or so many of our pieces, contributes nothing. */
const CONTRIBUTION_MS = 5000
const CONTRIBUTION_PIECES = 60
/**
 * First copies at one neighbour that may be waiting to turn up elsewhere, by policy. In a swarm of friends the bound is wide: it is for those who
 * cannot pass anything on, such as a peer that all others banned, whom the seeder alone never receives from and would serve first as the neediest.
 */
const MAX_UNSPREAD = { contributors: 1, cooperative: 3 } as const
/** Peers that left with more than {@link MAX_UNSPREAD} outstanding, remembered for when they come back. */
const MAX_REMEMBERED = 1024
const USEFUL_MS = 1000
const MAX_FIRST_COPIES = 65_536

interface Offered {
  readonly slot: number
  readonly piece: number
  readonly atMs: number
}
interface Queued {
  readonly slot: number
  readonly piece: number
  readonly isUrgent: boolean
}

export class Uploader {
  readonly #state: SwarmState
  readonly #random: Random
  readonly #budgets: readonly RateBudget[]
  readonly #model: UplinkModel
  readonly #offers = new Map<number, Offered>()
  /** No offer that stands was made before this time. */
  #oldestOfferMs = Number.POSITIVE_INFINITY
  readonly #urgent: Queued[] = []
  readonly #ready: Queued[] = []
  readonly #flights = new Map<number, Flight>()
  /** Those of {@link #flights} that a reader waits for. */
  readonly #urgentFlights = new Set<number>()
  /** Flights that count as filling the uplink. */
  #counted = 0
  /** Typical round trip to the receivers of late, in ms. */
  #rttMs = UNKNOWN_RTT_MS
  /** Offers turned down since the last that was taken. */
  #refused = 0
  /** Share of answers to offers of late that said `full`. */
  #fullShare = 0
  #wishers = 0
  #usefulMs = 0
  /** Seeding: who holds the only copy that we gave of a piece. */
  readonly #firstHolders = new Map<number, Neighbour>()
  /** First copies that never turned up elsewhere, of peers that left. */
  readonly #unspreadOf = new Map<PeerKey, number>()
  /** No flight counts as stalled before this time. */
  #stallMs = 0
  /** Earliest time at which a flight may count as stalled, or the budget allows more. */
  #wakeMs = Number.POSITIVE_INFINITY
  readonly #eligible: number[] = []
  bytesUploaded = 0
  /** Pieces acknowledged or taken by the transport. */
  piecesUploaded = 0

  constructor(state: SwarmState, random: Random, budgets: readonly RateBudget[], nowMs: number) {
    this.#state = state
    this.#random = random
    this.#budgets = budgets
    this.#model = new UplinkModel(nowMs)
  }

  get offersOut(): number {
    return this.#offers.size
  }

  get queueLength(): number {
    return this.#ready.length + this.#urgent.length
  }

  get inFlight(): number {
    return this.#flights.size
  }

  /**
   * Whether a piece takes our uplink so long that what is said behind it comes late. Where a limit of ours is what makes it slow nothing waits
   * below us.
   */
  get isUplinkSlow(): boolean {
    const isLimited = this.#budgets.some(
      ({ bytesPerSecond }) => bytesPerSecond > 0 && this.#model.rate * 1000 > LIMIT_SHARE * bytesPerSecond
    )
    return !isLimited && this.pieceMs >= SLOW_PIECE_MS
  }

  /** How long a piece occupies our uplink, in ms; 0 while unknown. */
  get pieceMs(): number {
    return this.#model.pieceMs(this.#state.geometry.pieceLength)
  }

  get windowPieces(): number {
    return this.#model.windowPieces(this.#state.geometry.pieceLength, this.#rttMs)
  }

  /** When {@link advance} should be called although nothing arrives. */
  get wakeMs(): number {
    return this.#wakeMs
  }

  handleRequest(neighbour: Neighbour, pieces: readonly number[], urgent: boolean, nowMs: number): void {
    const { state } = this.#parts
    const full: number[] = []
    const missing: number[] = []
    const choked: number[] = []
    for (const piece of pieces) {
      const key = piece * KEY_STRIDE + neighbour.slot
      const offer = this.#offers.get(key)
      if (offer !== undefined) {
        this.#answered(neighbour, offer, false, nowMs)
        this.#refused = 0
      }
      if (state.status[piece] !== HAVE) missing.push(piece)
      else if (state.isPaused || state.isLeaving) choked.push(piece)
      else if (this.#flights.has(key) || this.#isQueued(neighbour.slot, piece)) continue
      else if (neighbour.queued + neighbour.wishes.size >= state.options.maxQueuedPerPeer) full.push(piece)
      else {
        // Whoever requests a piece does not have it, whatever we believed.
        state.table.recordLacks(neighbour.slot, piece)
        if (urgent) this.#enqueue(this.#urgent, neighbour, piece)
        else if (offer !== undefined || !state.options.offers) this.#enqueue(this.#ready, neighbour, piece)
        else this.#wish(neighbour, piece, nowMs)
        continue
      }
      if (offer !== undefined) state.table.recordExpectsNot(neighbour.slot, piece)
    }
    this.#reject(neighbour, full, 'full')
    this.#reject(neighbour, missing, 'missing')
    this.#reject(neighbour, choked, 'choked')
  }

  /** The neighbour turned down an offer, or refused a piece that was sent. True when this concerned the uploading half. */
  handleReject(neighbour: Neighbour, piece: number, reason: RejectReason, nowMs: number): boolean {
    const { table } = this.#state
    const key = piece * KEY_STRIDE + neighbour.slot
    const offer = this.#offers.get(key)
    if (offer !== undefined) {
      this.#answered(neighbour, offer, reason === 'full', nowMs)
      this.#refused++
      if (reason === 'have') table.recordHave(neighbour.slot, piece)
      else if (reason !== 'expected') {
        table.recordExpectsNot(neighbour.slot, piece)
        // The pieces of one answer are turned down together: they count as one.
        if (neighbour.fullUntilMs <= nowMs) {
          neighbour.fullBackoffMs = Math.min(MAX_FULL_BACKOFF_MS, Math.max(FIRST_FULL_BACKOFF_MS, neighbour.fullBackoffMs * 2))
        }
        neighbour.fullUntilMs = nowMs + neighbour.fullBackoffMs
      }
      return true
    }
    const flight = this.#flights.get(key)
    if (flight === undefined) return false
    this.#endFlight(neighbour, flight)
    table.recordExpectsNot(neighbour.slot, piece)
    neighbour.fullUntilMs = nowMs + MAX_FULL_BACKOFF_MS
    return true
  }

  /**
   * The neighbour now has the piece: the acknowledgement of one that we sent, or the end of one that we would have. True when that
   * may let something else go ahead; most of what neighbours say does not.
   */
  handleHave(neighbour: Neighbour, piece: number, nowMs: number): boolean {
    if (this.#state.have.isFull) this.#recordSpread(neighbour, piece, this.#flights.has(piece * KEY_STRIDE + neighbour.slot))
    if (neighbour.offered === 0 && neighbour.inFlight === 0 && neighbour.wishes.size === 0) return false
    const key = piece * KEY_STRIDE + neighbour.slot
    const flight = this.#flights.get(key)
    if (flight !== undefined) {
      // A receiver that holds us up says nothing about our uplink, unless all of them do; nor one that got the piece elsewhere first.
      const isSample = flight.isServed && (!flight.isStalled || this.#counted === 0)
      this.#model.acknowledged(flight, isSample, this.#rttMs, nowMs)
      if (flight.isStalled) {
        // It was slow only if it stays so: one late piece (a lost packet, a hiccup) is forgiven by one in time.
      } else neighbour.isSlow = false
      // It kept a piece, so there is room again; waiting for the back-off cost a small file more than its transfer.
      neighbour.fullUntilMs = 0
      this.#endFlight(neighbour, flight)
      return true
    }
    // A queued request for it is skipped when its turn comes.
    const offer = this.#offers.get(key)
    if (offer !== undefined) this.#dropOffer(neighbour, offer)
    this.#forgetWish(neighbour, piece)
    return offer !== undefined
  }

  handleCancel(neighbour: Neighbour, piece: number): void {
    const key = piece * KEY_STRIDE + neighbour.slot
    this.#forgetWish(neighbour, piece)
    this.#unqueue(neighbour, piece)
    const flight = this.#flights.get(key)
    if (flight === undefined && !this.#offers.has(key)) this.#state.table.recordExpectsNot(neighbour.slot, piece)
    if (flight !== undefined && !flight.isServed) {
      this.#state.emit({ type: 'cancelServe', peer: neighbour.key, piece })
    }
  }

  /** The transport took the piece (`bytes` 0: it did not). `neighbour` undefined when it left meanwhile. */
  handleServed(neighbour: Neighbour | undefined, piece: number, bytes: number): void {
    this.bytesUploaded += bytes
    if (bytes > 0) this.piecesUploaded++
    if (neighbour === undefined) return
    neighbour.bytesUploaded += bytes
    const flight = this.#flights.get(piece * KEY_STRIDE + neighbour.slot)
    if (flight === undefined) return
    flight.isServed = true
    if (bytes > 0) return
    this.#endFlight(neighbour, flight)
    this.#state.table.recordExpectsNot(neighbour.slot, piece)
  }

  handleJoined(neighbour: Neighbour): void {
    neighbour.unspreadInVain = this.#unspreadOf.get(neighbour.key) ?? 0
  }

  handleLeft(neighbour: Neighbour): void {
    const unspread = neighbour.unspread + neighbour.unspreadInVain
    this.#unspreadOf.delete(neighbour.key)
    if (unspread > MAX_UNSPREAD[this.#state.options.policy]) {
      if (this.#unspreadOf.size >= MAX_REMEMBERED) this.#unspreadOf.delete(this.#unspreadOf.keys().next().value as PeerKey)
      this.#unspreadOf.set(neighbour.key, unspread)
    }
    for (const [piece, first] of this.#firstHolders) if (first === neighbour) this.#firstHolders.delete(piece)
    for (const offer of [...this.#offers.values()]) if (offer.slot === neighbour.slot) this.#dropOffer(neighbour, offer)
    for (const flight of [...this.#flights.values()]) if (flight.slot === neighbour.slot) this.#endFlight(neighbour, flight)
    this.#removeWhere(entry => entry.slot === neighbour.slot)
    if (neighbour.wishes.size > 0) this.#wishers--
    neighbour.wishes.clear()
  }

  /** We lost a piece: nobody can be served it. */
  handleLost(piece: number): void {
    const rejected = new Set<Neighbour>()
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      const wished = this.#forgetWish(neighbour, piece)
      if (wished || this.#isQueued(neighbour.slot, piece)) rejected.add(neighbour)
      this.#state.table.recordExpectsNot(neighbour.slot, piece)
    }
    this.#removeWhere(entry => entry.piece === piece)
    for (const neighbour of rejected) this.#reject(neighbour, [piece], 'missing')
  }

  /** Turns down everything that waits: paused or leaving. What is on its way may finish. */
  rejectAll(): void {
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      const pieces = [...neighbour.wishes.keys()]
      for (const { slot, piece } of this.#waiting()) if (slot === neighbour.slot) pieces.push(piece)
      for (const piece of pieces) this.#state.table.recordExpectsNot(neighbour.slot, piece)
      this.#reject(neighbour, pieces, 'choked')
      if (neighbour.wishes.size > 0) this.#wishers--
      neighbour.wishes.clear()
    }
    this.#removeWhere(() => true)
  }

  /** Starts what the uplink has room for and offers what should come next. Cheap when there is nothing to do. */
  advance(nowMs: number): void {
    const { state } = this.#parts
    if (state.isPaused) return
    this.#wakeMs = Number.POSITIVE_INFINITY
    this.#offer(nowMs)
    // Serving makes room in the queue.
    if (this.#serve(nowMs)) this.#offer(nowMs)
  }

  /** Forgets offers and flights that nobody answers; several times a second. */
  housekeep(nowMs: number): void {
    const { table, neighbours, options } = this.#state
    if (options.policy === 'contributors' && nowMs >= this.#usefulMs) {
      this.#usefulMs = nowMs + USEFUL_MS
      this.#findUseful(nowMs)
    }
    const offerTimeoutMs = Math.max(
      OFFER_TIMEOUT_MS,
      this.#model.rate === 0 ? 4 * this.#state.firstPieceMs : 0,
      8 * this.#state.answerMs,
      12 * this.pieceMs
    )
    for (const offer of this.#offers.values()) {
      if (nowMs - offer.atMs < offerTimeoutMs) break // oldest first
      const neighbour = neighbours[offer.slot] as Neighbour
      neighbour.offersIgnored++
      this.#dropOffer(neighbour, offer)
      table.recordExpectsNot(offer.slot, offer.piece)
    }
    for (const flight of this.#flights.values()) {
      if (nowMs - flight.startMs < FLIGHT_TIMEOUT_MS) break
      if (!flight.isServed) continue
      this.#endFlight(neighbours[flight.slot] as Neighbour, flight)
      table.recordExpectsNot(flight.slot, flight.piece)
    }
  }

  /** Forgets what neighbours said they expect from others: it may never have come. */
  forgetExpectations(): void {
    const { table, geometry, neighbours } = this.#state
    const mine = new Set<number>()
    for (const key of this.#offers.keys()) mine.add(key)
    for (const key of this.#flights.keys()) mine.add(key)
    for (const { slot, piece } of this.#waiting()) mine.add(piece * KEY_STRIDE + slot)
    for (const neighbour of neighbours) {
      if (neighbour === undefined || table.expected[neighbour.slot] === 0) continue
      for (let piece = 0; piece < geometry.pieceCount; piece++) {
        if (table.slotExpects(neighbour.slot, piece) && !mine.has(piece * KEY_STRIDE + neighbour.slot)) {
          table.recordExpectsNot(neighbour.slot, piece)
        }
      }
    }
  }

  assertInvariants(): void {
    let counted = 0
    const offered = new Map<number, number>()
    const queued = new Map<number, number>()
    const inFlight = new Map<number, number>()
    for (const { slot } of this.#offers.values()) offered.set(slot, (offered.get(slot) ?? 0) + 1)
    for (const { slot } of this.#waiting()) queued.set(slot, (queued.get(slot) ?? 0) + 1)
    for (const flight of this.#flights.values()) {
      inFlight.set(flight.slot, (inFlight.get(flight.slot) ?? 0) + 1)
      if (!flight.isStalled) counted++
    }
    if (counted !== this.#counted) throw new Error('flights are counted wrongly')
    let wishers = 0
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      const { slot } = neighbour
      if (
        (offered.get(slot) ?? 0) !== neighbour.offered ||
        (queued.get(slot) ?? 0) !== neighbour.queued ||
        (inFlight.get(slot) ?? 0) !== neighbour.inFlight
      ) {
        throw new Error(`uploads to ${neighbour.key} are counted wrongly`)
      }
      const { marks } = this.#state
      if (
        marks.listening.has(slot) !== neighbour.listens ||
        marks.uploadedTo.has(slot) !== neighbour.uploading > 0 ||
        marks.askedOf.has(slot) !== neighbour.pending > 0 ||
        marks.failing.has(slot) !== neighbour.timeoutsInRow > 0
      ) {
        throw new Error(`${neighbour.key} is marked wrongly`)
      }
      if (neighbour.wishes.size > 0) wishers++
      if (neighbour.queued + neighbour.wishes.size > this.#state.options.maxQueuedPerPeer + 1024) {
        throw new Error(`too many requests of ${neighbour.key} wait`)
      }
    }
    if (wishers !== this.#wishers) throw new Error('wishers are counted wrongly')
  }

  get #parts(): { state: SwarmState; model: UplinkModel } {
    return { state: this.#state, model: this.#model }
  }

  /** True when the queue is shorter by it. */
  #serve(nowMs: number): boolean {
    const { state, model } = this.#parts
    const { geometry, neighbours, options } = state
    const waiting = this.queueLength
    if (waiting === 0 && this.#wishers === 0) return false
    const window = model.windowPieces(geometry.pieceLength, this.#rttMs)
    if (this.#counted >= window || options.maxUploadSlots > 0) this.#findStalled(nowMs, window)
    if (this.#counted < window) this.#serveAged(nowMs, window)
    for (;;) {
      const startMs = Math.max(model.nextStartMs(geometry.pieceLength, this.#counted, state.answerMs), this.#firstLeftMs)
      const isFree = this.#counted < window && nowMs >= startMs
      // A reader waits for urgent ones: they go before pieces that are waiting for the uplink below us.
      if (!isFree && (this.#urgent.length === 0 || this.#urgentFlights.size >= URGENT_PIECES)) {
        if (this.#counted < window && this.queueLength > 0) this.#wakeMs = Math.min(this.#wakeMs, startMs)
        return this.queueLength < waiting
      }
      for (const budget of this.#budgets) {
        if (budget.canSpend(nowMs)) continue
        this.#wakeMs = Math.min(this.#wakeMs, budget.readyMs(nowMs))
        return this.queueLength < waiting
      }
      const entry = this.#takeNext(isFree ? [this.#urgent, this.#ready] : [this.#urgent], options.maxUploadSlots)
      if (entry === undefined) return this.queueLength < waiting
      const neighbour = neighbours[entry.slot] as Neighbour
      const bytes = geometry.pieceBytes(entry.piece)
      for (const budget of this.#budgets) budget.spend(bytes, nowMs)
      this.#rttMs += ((neighbour.rttMs ?? UNKNOWN_RTT_MS) - this.#rttMs) / 16
      const flight = model.start(entry.slot, entry.piece, bytes, this.#counted, nowMs)
      this.#flights.set(entry.piece * KEY_STRIDE + entry.slot, flight)
      if (entry.isUrgent) this.#urgentFlights.add(entry.piece * KEY_STRIDE + entry.slot)
      neighbour.inFlight++
      this.#counted++
      state.table.recordExpects(entry.slot, entry.piece)
      state.emit({ type: 'servePiece', peer: neighbour.key, piece: entry.piece, isUrgent: entry.isUrgent })
    }
  }

  /**
   * Before anything is known of the uplink: until when a piece that the transport is still taking goes alone. On a slow uplink the next one beside it
   * makes both late, and nobody has anything to pass on yet. For a bounded time, as it may be the receiver who is slow.
   */
  get #firstLeftMs(): number {
    if (this.#model.rate > 0) return 0
    const aloneMs = Math.max(FIRST_ALONE_MS, this.#state.firstPieceMs)
    let leftMs = 0
    for (const { isServed, isStalled, startMs } of this.#flights.values()) {
      if (!isServed && !isStalled) leftMs = Math.max(leftMs, startMs + aloneMs)
    }
    return leftMs
  }

  /** The next request whose neighbour may be sent to, removed from its queue. */
  #takeNext(queues: readonly Queued[][], maxSlots: number): Queued | undefined {
    for (const queue of queues) {
      for (let index = 0; index < queue.length; index++) {
        const entry = queue[index] as Queued
        const neighbour = this.#state.neighbours[entry.slot] as Neighbour
        const isMoot = this.#state.status[entry.piece] !== HAVE || this.#state.table.slotHolds(entry.slot, entry.piece)
        if (!isMoot) {
          if (neighbour.isSlow && neighbour.inFlight > 0) continue
          if (maxSlots > 0 && neighbour.inFlight === 0 && this.#servedPeers() >= maxSlots) continue
        }
        queue.splice(index--, 1)
        neighbour.queued--
        if (!isMoot) return entry
      }
    }
    return undefined
  }

  /** Receivers whose pieces fill our uplink; one that is itself slow holds no slot. */
  #servedPeers(): number {
    const slots = new Set<number>()
    for (const flight of this.#flights.values()) if (!flight.isStalled) slots.add(flight.slot)
    return slots.size
  }

  /**
   * Moves wishes that waited long enough into the queue: the oldest of each neighbour, and one in the time that a round of all takes. Were
   * it more, a few who ask for much would leave no room to offer anything to others.
   */
  #serveAged(nowMs: number, window: number): void {
    if (this.#wishers === 0) return
    const { neighbourOf, neighbours, geometry } = this.#state
    const pieceMs = this.#model.pieceMs(geometry.pieceLength)
    const roundMs = Math.max(PATIENCE_MS, neighbourOf.size * pieceMs)
    const patienceMs = pieceMs === 0 ? Math.max(FIRST_PATIENCE_MS, 2 * this.#state.firstPieceMs) : roundMs
    for (const neighbour of neighbours) {
      if (neighbour === undefined || neighbour.wishes.size === 0 || nowMs - neighbour.agedMs < roundMs) continue
      if (this.queueLength >= 2 * window) return
      if (this.#isSpare(neighbour, nowMs)) continue
      for (const [piece, atMs] of neighbour.wishes) {
        if (nowMs - atMs >= patienceMs) {
          neighbour.agedMs = nowMs
          this.#grantWish(neighbour, piece)
        }
        break
      }
    }
  }

  #grantWish(neighbour: Neighbour, piece: number): void {
    this.#enqueue(this.#ready, neighbour, piece)
  }

  /**
   * How long an offer is under way: as measured, but no longer than the path and a few pieces before it explain. One behind our own pieces to
   * the same peer takes as long as these, and more of them ready would make it longer yet: a node came to hold fourteen.
   */
  get #offerMs(): number {
    const { answerMs, geometry } = this.#state
    return Math.min(answerMs, this.#rttMs + MAX_PIECES_BEFORE_ANSWER * this.#model.pieceMs(geometry.pieceLength))
  }

  /** Whether pieces follow each other and answers are quick beside them, so that an offer can wait until its turn is near. */
  get #offersLate(): boolean {
    const { pieceMs } = this
    if (pieceMs < SLOW_PIECE_MS && (pieceMs < MIN_LATE_PIECE_MS || this.#fullShare > MAX_FULL_SHARE)) return false
    return this.#offerMs < SHORT_ANSWER * pieceMs
  }

  /** Offers made before `sinceMs`: whoever does not answer must not keep the uplink from others. */
  #overdueOffers(sinceMs: number): number {
    if (sinceMs <= this.#oldestOfferMs || this.#model.rate === 0) return 0
    let count = 0
    this.#oldestOfferMs = Number.POSITIVE_INFINITY
    for (const { atMs } of this.#offers.values()) {
      if (count === 0) this.#oldestOfferMs = atMs
      if (atMs >= sinceMs || count === MAX_OVERDUE_OFFERS) break // oldest first
      count++
    }
    return count
  }

  /** Offers pieces until enough accepted requests and unanswered offers stand behind the flights. */
  #offer(nowMs: number): void {
    const { state, model } = this.#parts
    const { geometry, options } = state
    if (!options.offers || state.isLeaving || state.table.own.size === 0) return
    const isLate = this.#offersLate
    const leadMs = Math.max(LEAD_ANSWERS * this.#offerMs, LEAD_OF_PIECE * this.pieceMs)
    const ready = isLate && this.#refused <= MAX_REFUSED_ALONE ? 1 : model.readyPieces(geometry.pieceLength, this.#offerMs)
    const standing = this.#offers.size - this.#overdueOffers(nowMs - Math.max(leadMs, OVERDUE_OFFER_MS))
    const room = ready - standing - this.queueLength
    if (room <= 0) return
    if (isLate) {
      const offerMs = model.nextStartMs(geometry.pieceLength, this.#counted, state.answerMs) - leadMs
      if (nowMs < offerMs) {
        this.#wakeMs = Math.min(this.#wakeMs, offerMs)
        return
      }
    }
    for (const budget of this.#budgets) if (!budget.canSpend(nowMs)) return
    // First those with whom nothing is under way in either direction: an offer or its answer would wait behind a whole piece on the
    // same connection, and the uplink run dry meanwhile.
    const levels = options.policy === 'contributors' || state.have.isFull ? ELIGIBILITY_WATCHED : ELIGIBILITY
    // Contributors who are busy for a moment will not be soon: until the uplink would stand still nobody else takes their place.
    const isSparing = levels === ELIGIBILITY_WATCHED && this.#flights.size + this.#offers.size > 0 && this.#hasContributors(nowMs)
    const last = levels.length - 1 - (isSparing ? ELIGIBILITY.length : 0)
    let level = 0
    let eligible = this.#findEligible(levels[0] as Eligibility, nowMs)
    while (!eligible && level < last) eligible = this.#findEligible(levels[++level] as Eligibility, nowMs)
    if (!eligible && this.#wishers === 0) return
    let batches: Map<Neighbour, number[]> | undefined
    for (let i = 0; i < room; i++) {
      let choice = this.#choose(eligible, isSparing, nowMs)
      while (choice === undefined && level < last) {
        eligible = this.#findEligible(levels[++level] as Eligibility, nowMs)
        choice = this.#choose(eligible, isSparing, nowMs)
      }
      if (choice === undefined) break
      const { neighbour, piece } = choice
      if (choice.isWish || neighbour.wishes.has(piece)) {
        this.#grantWish(neighbour, piece)
        continue
      }
      this.#offers.set(piece * KEY_STRIDE + neighbour.slot, { slot: neighbour.slot, piece, atMs: nowMs })
      this.#oldestOfferMs = Math.min(this.#oldestOfferMs, nowMs)
      neighbour.offered++
      state.table.recordExpects(neighbour.slot, piece)
      batches ??= new Map()
      const batch = batches.get(neighbour)
      if (batch === undefined) batches.set(neighbour, [piece])
      else batch.push(piece)
      if (levels[level]?.isQuiet === true || neighbour.isSlow) this.#markIneligible(neighbour.slot)
    }
    if (batches !== undefined) {
      for (const [neighbour, pieces] of batches) state.send(neighbour, { type: 'offer', pieces })
    }
  }

  /** Marks in {@link #eligible} the slots that may be offered to (`isQuiet`: and have nothing under way); false when there is none. */
  #findEligible({ isQuiet, isContributor }: Eligibility, nowMs: number): boolean {
    const { table, neighbours, marks, options } = this.#state
    let any = 0
    for (let word = 0; word < table.words; word++) {
      let eligible = marks.listening.word(word) & ~table.complete.word(word)
      for (let full = eligible & marks.full.word(word); full !== 0; full &= full - 1) {
        const neighbour = neighbours[word * 32 + lowestBit(full)] as Neighbour
        if (neighbour.fullUntilMs > nowMs) {
          this.#wakeMs = Math.min(this.#wakeMs, neighbour.fullUntilMs)
          eligible &= ~(full & -full)
        } else neighbour.fullUntilMs = 0
      }
      if (isQuiet) eligible &= ~(marks.uploadedTo.word(word) | marks.askedOf.word(word))
      for (let busy = eligible & marks.uploadedTo.word(word); busy !== 0; busy &= busy - 1) {
        const { isSlow, queued, offered } = neighbours[word * 32 + lowestBit(busy)] as Neighbour
        if (isSlow || queued + offered >= options.maxQueuedPerPeer) eligible &= ~(busy & -busy)
      }
      if (isContributor) {
        for (let rest = eligible; rest !== 0; rest &= rest - 1) {
          if (!this.#contributes(neighbours[word * 32 + lowestBit(rest)] as Neighbour, nowMs)) eligible &= ~(rest & -rest)
        }
      }
      this.#eligible[word] = eligible
      any |= eligible
    }
    return any !== 0
  }

  /**
   * Whether the neighbour passes on what it gets, as far as we can see. While we need pieces: it does unless it has some that we lack
   * and offers none of them for long. Seeding: it does as long as pieces that it got first from us turn up at others (the rule of
   * BitTorrent's super-seeding).
   */
  #contributes(neighbour: Neighbour, nowMs: number): boolean {
    if (this.#state.have.isFull) return neighbour.unspread + neighbour.unspreadInVain <= MAX_UNSPREAD[this.#state.options.policy]
    const patienceMs = Math.max(CONTRIBUTION_MS, CONTRIBUTION_PIECES * this.pieceMs)
    return nowMs - Math.max(neighbour.usefulSinceMs, neighbour.lastOfferMs) < patienceMs
  }

  /** Whether anybody who passes on what it gets still lacks something. A lone receiver has nobody to pass it on to. */
  #hasContributors(nowMs: number): boolean {
    const { table, neighbours } = this.#state
    return neighbours.some(
      neighbour => neighbour?.listens === true && !table.complete.has(neighbour.slot) && this.#contributes(neighbour, nowMs)
    )
  }

  /** In an open swarm, and while we seed, whoever contributes nothing gets only what nobody else can take now. */
  #isSpare(neighbour: Neighbour, nowMs: number): boolean {
    const isWatched = this.#state.options.policy === 'contributors' || this.#state.have.isFull
    return isWatched && !this.#contributes(neighbour, nowMs)
  }

  /** Notes since when each neighbour has something that we lack; once a second in an open swarm. */
  #findUseful(nowMs: number): void {
    const { table, neighbours, have } = this.#state
    for (const neighbour of neighbours) {
      if (neighbour === undefined) continue
      let isUseful = false
      for (let index = 0; index < table.missing.size && !isUseful; index++)
        isUseful = table.slotHolds(neighbour.slot, table.missing.at(index))
      if (!isUseful || have.isFull) neighbour.usefulSinceMs = Number.POSITIVE_INFINITY
      else if (neighbour.usefulSinceMs === Number.POSITIVE_INFINITY) neighbour.usefulSinceMs = nowMs
    }
  }

  /** While we seed: keeps account of who got the first copy of a piece from us, and whether another neighbour had it later. */
  #recordSpread(neighbour: Neighbour, piece: number, isOurs: boolean): void {
    const first = this.#firstHolders.get(piece)
    if (first === undefined) {
      if (!isOurs || this.#state.table.holdersOf(piece) !== 1 || this.#firstHolders.size >= MAX_FIRST_COPIES) return
      this.#firstHolders.set(piece, neighbour)
      neighbour.unspread++
    } else if (first !== neighbour) {
      this.#firstHolders.delete(piece)
      first.unspread--
      // Once we gave a second copy nobody can say whose it was that spread. Three corrupters took that for their merit, and with it up to a tenth of our uplink.
      if (isOurs) first.unspreadInVain++
      else first.unspreadInVain = 0
    }
  }

  #markIneligible(slot: number): void {
    this.#eligible[slot >>> 5] = (this.#eligible[slot >>> 5] as number) & ~(1 << (slot & 31))
  }

  /** The rarest piece that an eligible neighbour lacks, for the neediest of them; or one that somebody asked for. `isSparing`: not for those who only get what is spare. */
  #choose(
    eligible: boolean,
    isSparing: boolean,
    nowMs: number
  ): { neighbour: Neighbour; piece: number; isWish: boolean } | undefined {
    let found: { neighbour: Neighbour; piece: number; isWish: boolean } | undefined
    let foundSpread = Number.POSITIVE_INFINITY
    if (eligible) {
      const piece = this.#choosePiece()
      if (piece >= 0) {
        found = { neighbour: this.#choosePeer(piece), piece, isWish: false }
        foundSpread = this.#state.table.spreadOf(piece)
      }
    }
    if (this.#wishers > 0) {
      for (const neighbour of this.#state.neighbours) {
        if (neighbour === undefined || ((found !== undefined || isSparing) && this.#isSpare(neighbour, nowMs))) continue
        let looks = 0
        for (const piece of neighbour.wishes.keys()) {
          if (++looks > 32) break
          const spread = this.#state.table.spreadOf(piece)
          if (
            spread < foundSpread ||
            (spread === foundSpread && found?.isWish === false && this.#need(neighbour) < this.#need(found.neighbour))
          ) {
            found = { neighbour, piece, isWish: true }
            foundSpread = spread
          }
        }
      }
    }
    return found
  }

  /** A piece that some slot in {@link #eligible} lacks: the rarest, at random among equals; -1 when there is none. */
  #choosePiece(): number {
    const { table, options } = this.#state
    const { own } = table
    if (options.pieceOrder !== 'rarest') return this.#choosePieceUnordered(options.pieceOrder)
    let looks = 0
    for (let level = 0; level <= own.maxLevel; level++) {
      const start = own.startOf(level)
      const size = own.startOf(level + 1) - start
      if (size === 0) continue
      const offset = this.#random.nextInt(size)
      for (let i = 0; i < size; i++) {
        const piece = own.at(start + (i + offset < size ? i + offset : i + offset - size))
        if (this.#isLacked(piece)) return piece
        if (++looks >= MAX_LOOKS) return -1
      }
    }
    return -1
  }

  #choosePieceUnordered(order: 'random' | 'sequential'): number {
    const { pieceCount } = this.#state.table
    const offset = order === 'random' ? this.#random.nextInt(pieceCount) : 0
    for (let i = 0; i < pieceCount; i++) {
      const piece = (i + offset) % pieceCount
      if (this.#state.status[piece] === HAVE && this.#isLacked(piece)) return piece
    }
    return -1
  }

  #isLacked(piece: number): boolean {
    const { table } = this.#state
    for (let word = 0; word < table.words; word++) {
      if (((this.#eligible[word] as number) & table.lackingIn(piece, word)) !== 0) return true
    }
    return false
  }

  /** The eligible neighbour lacking the piece that has the fewest pieces, at random among equals. */
  #choosePeer(piece: number): Neighbour {
    const { table, neighbours, options } = this.#state
    let best: Neighbour | undefined
    let bestNeed = Number.POSITIVE_INFINITY
    let ties = 0
    for (let word = 0; word < table.words; word++) {
      let lacking = (this.#eligible[word] as number) & table.lackingIn(piece, word)
      while (lacking !== 0) {
        const neighbour = neighbours[word * 32 + lowestBit(lacking)] as Neighbour
        lacking &= lacking - 1
        const need = options.peerOrder === 'random' ? 0 : this.#need(neighbour)
        if (need < bestNeed) {
          best = neighbour
          bestNeed = need
          ties = 1
        } else if (need === bestNeed && this.#random.nextInt(++ties) === 0) best = neighbour
      }
    }
    return best as Neighbour
  }

  /** Lower is served first. */
  #need(neighbour: Neighbour): number {
    const { table, options } = this.#state
    if (options.peerOrder === 'tit-for-tat') return -neighbour.recentBytes
    return (table.held[neighbour.slot] as number) + (table.expected[neighbour.slot] as number)
  }

  /** Takes flights out of the window that their receiver, not our uplink, holds up. */
  #findStalled(nowMs: number, window: number): void {
    if (nowMs < this.#stallMs) {
      this.#wakeMs = Math.min(this.#wakeMs, this.#stallMs)
      return
    }
    this.#stallMs = 0
    const pieceMs = this.pieceMs
    // As long as nothing came back each that we gave up on may yet be under way, and what begins beside it makes all of them slower.
    const firstStallMs = Math.max(5000, 4 * this.#state.firstPieceMs) * (1 + this.#flights.size - this.#counted)
    const stallMs = this.#model.rate === 0 ? firstStallMs : 3 * (this.#rttMs + (window + 1) * pieceMs) + 100
    for (const flight of this.#flights.values()) {
      if (flight.isStalled) continue
      if (nowMs - flight.startMs < stallMs) {
        this.#stallMs = flight.startMs + stallMs
        this.#wakeMs = Math.min(this.#wakeMs, this.#stallMs)
        return // oldest first
      }
      flight.isStalled = true
      this.#counted--
      ;(this.#state.neighbours[flight.slot] as Neighbour).isSlow = true
    }
  }

  #answered(neighbour: Neighbour, offer: Offered, isFull: boolean, nowMs: number): void {
    this.#fullShare += ((isFull ? 1 : 0) - this.#fullShare) / SHARE_ANSWERS
    const elapsed = nowMs - offer.atMs
    const state = this.#state
    state.answerMs = state.answerMs === 0 ? elapsed : state.answerMs + (elapsed - state.answerMs) / 8
    if (neighbour.rttMs === undefined || elapsed < neighbour.rttMs) neighbour.rttMs = elapsed
    neighbour.offersIgnored = 0
    this.#dropOffer(neighbour, offer)
  }

  #dropOffer(neighbour: Neighbour, offer: Offered): void {
    this.#offers.delete(offer.piece * KEY_STRIDE + offer.slot)
    neighbour.offered--
  }

  #endFlight(neighbour: Neighbour, flight: Flight): void {
    const key = flight.piece * KEY_STRIDE + flight.slot
    this.#flights.delete(key)
    this.#urgentFlights.delete(key)
    neighbour.inFlight--
    if (!flight.isStalled) this.#counted--
  }

  #enqueue(queue: Queued[], neighbour: Neighbour, piece: number): void {
    this.#forgetWish(neighbour, piece)
    const offer = this.#offers.get(piece * KEY_STRIDE + neighbour.slot)
    if (offer !== undefined) this.#dropOffer(neighbour, offer)
    queue.push({ slot: neighbour.slot, piece, isUrgent: queue === this.#urgent })
    neighbour.queued++
    neighbour.fullBackoffMs = 0
    this.#state.table.recordExpects(neighbour.slot, piece)
  }

  #wish(neighbour: Neighbour, piece: number, nowMs: number): void {
    if (neighbour.wishes.has(piece)) return
    if (neighbour.wishes.size === 0) this.#wishers++
    if (neighbour.wishes === NO_WISHES) neighbour.wishes = new Map()
    neighbour.wishes.set(piece, nowMs)
  }

  #forgetWish(neighbour: Neighbour, piece: number): boolean {
    const wasWished = neighbour.wishes.delete(piece)
    if (wasWished && neighbour.wishes.size === 0) this.#wishers--
    return wasWished
  }

  *#waiting(): Generator<Queued> {
    yield* this.#urgent
    yield* this.#ready
  }

  #isQueued(slot: number, piece: number): boolean {
    const neighbour = this.#state.neighbours[slot]
    if (neighbour === undefined || neighbour.queued === 0) return false
    for (const entry of this.#waiting()) if (entry.slot === slot && entry.piece === piece) return true
    return false
  }

  #unqueue(neighbour: Neighbour, piece: number): boolean {
    if (neighbour.queued === 0) return false
    return this.#removeWhere(entry => entry.slot === neighbour.slot && entry.piece === piece) > 0
  }

  #removeWhere(matches: (entry: Queued) => boolean): number {
    let removed = 0
    for (const queue of [this.#urgent, this.#ready]) {
      let kept = 0
      for (const entry of queue) {
        if (matches(entry)) {
          removed++
          const neighbour = this.#state.neighbours[entry.slot]
          if (neighbour !== undefined) neighbour.queued--
        } else queue[kept++] = entry
      }
      queue.length = kept
    }
    return removed
  }

  #reject(neighbour: Neighbour, pieces: number[], reason: RejectReason): void {
    for (let start = 0; start < pieces.length; start += MAX_PIECES_PER_MESSAGE) {
      this.#state.send(neighbour, { type: 'reject', pieces: pieces.slice(start, start + MAX_PIECES_PER_MESSAGE), reason })
    }
  }
}

/** The place of the lowest bit that is set; `bits` is not 0. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}
