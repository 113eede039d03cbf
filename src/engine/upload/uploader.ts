/**
 * The uploading half: keeps the uplink busy with pieces that others lack, and nobody waiting behind somebody
 * slow.
 *
 * Only the uploader knows its uplink, so it chooses (choose.ts) and *offers*; it sends what was requested.
 * Offers run just far enough ahead that the uplink never idles. Requests without an offer are served too:
 * urgent ones (a reader waits) first within their neighbour's share, others as if they had been offered, and
 * in any case after {@link UPLOAD.PATIENCE_MS}.
 *
 * Every neighbour has an account (account.ts). A neighbour that stops draining or answering costs the others
 * nothing once it is late: its flights and offers no longer count as filling the uplink, and it gets no more
 * than its own window. The uplink is shared by weights (share.ts).
 *
 * Bounds: flights by the uplink model's window, {@link UPLOAD.URGENT_FLIGHTS}, and each slow neighbour's own
 * window; offers by what should be ready and one overdue offer per neighbour; waiting requests and wishes by
 * `maxQueuedPerPeer`.
 */

import type { Random } from '../../util/random.ts'
import type { RateBudget } from '../../util/rate-budget.ts'
import { MAX_PIECES_PER_MESSAGE, perMessage, type RejectReason } from '../../wire/messages.ts'
import { Evidence } from '../merit/evidence.ts'
import type { Neighbour } from '../neighbour.ts'
import { HAVE, type SwarmState } from '../state.ts'
import { OFFER, UPLINK, UPLOAD } from '../tunables.ts'
import { Offerer } from './offerer.ts'
import { SendLedger } from './send-ledger.ts'
import { Sender } from './sender.ts'
import { Share } from './share.ts'
import { UplinkModel } from './uplink-model.ts'

export class Uploader {
  readonly #state: SwarmState
  readonly #budgets: readonly RateBudget[]
  readonly #model: UplinkModel
  readonly #ledger: SendLedger
  readonly #share: Share
  readonly #evidence: Evidence
  readonly #offerer: Offerer
  readonly #sender: Sender
  #reviewMs = 0
  bytesUploaded = 0

  constructor(state: SwarmState, random: Random, budgets: readonly RateBudget[], nowMs: number) {
    this.#state = state
    this.#budgets = budgets
    this.#model = new UplinkModel(state.geometry.pieceLength, nowMs)
    this.#ledger = new SendLedger(state)
    this.#share = new Share(state)
    this.#evidence = new Evidence(state)
    const parts = { state, budgets, random, model: this.#model, ledger: this.#ledger, share: this.#share }
    this.#offerer = new Offerer(parts)
    this.#sender = new Sender(parts)
  }

  get offersOut(): number {
    return this.#ledger.offers.size
  }

  get waiting(): number {
    return this.#ledger.waitingCount
  }

  get inFlight(): number {
    return this.#ledger.flights.size
  }

  /**
   * Whether a piece takes our uplink so long that a message behind it comes late. Where our own limit makes
   * it slow nothing waits below us.
   */
  get isUplinkSlow(): boolean {
    const isLimited = this.#budgets.some(
      ({ bytesPerSecond }) => bytesPerSecond > 0 && this.#model.rate * 1000 > UPLOAD.LIMIT_SHARE * bytesPerSecond
    )
    return !isLimited && this.pieceMs >= UPLINK.SLOW_PIECE_MS
  }

  /** How long a piece occupies our uplink, in ms; 0 while unknown. */
  get pieceMs(): number {
    return this.#model.pieceMs
  }

  get windowPieces(): number {
    return this.#model.windowPieces
  }

  /** When {@link advance} should be called although nothing arrives. */
  get wakeMs(): number {
    return Math.min(this.#offerer.wakeMs, this.#sender.wakeMs)
  }

  handleJoined(neighbour: Neighbour): void {
    this.#evidence.admit(neighbour)
    this.#share.admit(neighbour.upload)
  }

  handleLeft(neighbour: Neighbour): void {
    this.#evidence.forget(neighbour)
    this.#ledger.forget(neighbour)
  }

  /** A newcomer delivered its first piece. */
  handleProven(neighbour: Neighbour): void {
    this.#evidence.recordProven(neighbour)
  }

  handleRequest(neighbour: Neighbour, pieces: readonly number[], isUrgent: boolean, nowMs: number): void {
    const { status, table, options, isPaused, isLeaving } = this.#state
    const { upload } = neighbour
    neighbour.usefulMs = nowMs
    const refused: Record<'full' | 'missing' | 'choked', number[]> = { full: [], missing: [], choked: [] }
    for (const piece of pieces) {
      const offer = this.#ledger.offerOf(neighbour, piece)
      if (offer !== undefined) {
        this.#offerer.handleAccepted(neighbour, offer, nowMs)
      }
      if (status[piece] !== HAVE) refused.missing.push(piece)
      else if (isPaused || isLeaving) refused.choked.push(piece)
      else if (this.#ledger.has(neighbour, piece)) continue
      else if (upload.queued + upload.wishes.size >= options.maxQueuedPerPeer) refused.full.push(piece)
      else {
        // A peer that requests a piece does not have it, whatever it said before; that it lost many is hardly
        // true.
        if (table.slotHolds(neighbour.slot, piece)) neighbour.strikes++
        table.recordLacks(neighbour.slot, piece)
        if (isUrgent || offer !== undefined || !options.offers) this.#ledger.recordWaiting(neighbour, piece, isUrgent)
        else this.#ledger.recordWish(neighbour, piece, nowMs)
        continue
      }
      if (offer !== undefined) table.recordExpectsNot(neighbour.slot, piece)
    }
    this.#reject(neighbour, refused.full, 'full')
    this.#reject(neighbour, refused.missing, 'missing')
    this.#reject(neighbour, refused.choked, 'choked')
  }

  /**
   * The neighbour turned down an offer, or refused a piece that was sent. True when this concerned the
   * uploading half.
   */
  handleReject(neighbour: Neighbour, piece: number, reason: RejectReason, nowMs: number): boolean {
    const { table } = this.#state
    const { upload } = neighbour
    const offer = this.#ledger.offerOf(neighbour, piece)
    if (offer !== undefined) {
      this.#offerer.handleRefused(neighbour, offer, reason, nowMs)
      if (reason === 'have') table.recordHave(neighbour.slot, piece)
      else if (reason !== 'expected') {
        table.recordExpectsNot(neighbour.slot, piece)
        // The pieces of one answer are turned down together: they count as one.
        if (upload.fullUntilMs <= nowMs) {
          const nextMs = Math.max(OFFER.FIRST_FULL_BACKOFF_MS, upload.fullBackoffMs * 2)
          upload.fullBackoffMs = Math.min(OFFER.MAX_FULL_BACKOFF_MS, nextMs)
        }
        upload.fullUntilMs = nowMs + upload.fullBackoffMs
      }
      return true
    }
    const flight = this.#ledger.flightOf(neighbour, piece)
    if (flight === undefined) return false
    this.#ledger.endFlight(neighbour, flight)
    table.recordExpectsNot(neighbour.slot, piece)
    upload.fullUntilMs = nowMs + OFFER.MAX_FULL_BACKOFF_MS
    return true
  }

  /**
   * The neighbour now has the piece: the acknowledgement of one that we sent, or the end of one that we would
   * have. True when that may let something else go ahead; most of what neighbours say does not.
   */
  handleHave(neighbour: Neighbour, piece: number, nowMs: number): boolean {
    const { upload } = neighbour
    const flight = upload.inFlight === 0 ? undefined : this.#ledger.flightOf(neighbour, piece)
    if (this.#state.have.isFull) this.#evidence.recordHave(neighbour, piece, flight !== undefined)
    if (flight !== undefined) {
      neighbour.usefulMs = nowMs
      this.#offerer.listenTo(neighbour)
      const wasNewcomer = neighbour.isNewcomer
      this.#sender.acknowledge(neighbour, flight, nowMs)
      if (wasNewcomer) this.#evidence.recordProven(neighbour)
      return true
    }
    if (upload.offered === 0 && upload.wishes.size === 0) return false
    // A queued request for it is skipped when its turn comes.
    const offer = this.#ledger.offerOf(neighbour, piece)
    if (offer !== undefined) this.#ledger.endOffer(neighbour, offer)
    this.#ledger.endWish(neighbour, piece)
    return offer !== undefined
  }

  handleCancel(neighbour: Neighbour, piece: number): void {
    this.#ledger.endWish(neighbour, piece)
    this.#ledger.endWaiting(neighbour, piece)
    const flight = this.#ledger.flightOf(neighbour, piece)
    if (flight !== undefined) {
      if (flight.servedMs === 0) this.#state.emit({ type: 'cancelServe', peer: neighbour.key, piece })
    } else if (this.#ledger.offerOf(neighbour, piece) === undefined) this.#state.table.recordExpectsNot(neighbour.slot, piece)
  }

  /** The transport took the piece (`bytes` 0: it did not). `neighbour` undefined when it left meanwhile. */
  handleServed(neighbour: Neighbour | undefined, piece: number, bytes: number, nowMs: number): void {
    this.bytesUploaded += bytes
    if (neighbour === undefined) return
    neighbour.upload.bytesUploaded += bytes
    const flight = this.#ledger.flightOf(neighbour, piece)
    if (flight === undefined) return
    this.#sender.handleServed(flight, nowMs)
    if (bytes > 0) return
    this.#ledger.endFlight(neighbour, flight)
    this.#state.table.recordExpectsNot(neighbour.slot, piece)
  }

  /** We lost a piece: nobody can be served it. */
  handleLost(piece: number): void {
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      const wasWished = this.#ledger.endWish(neighbour, piece)
      if (this.#ledger.endWaiting(neighbour, piece) || wasWished) this.#reject(neighbour, [piece], 'missing')
      this.#state.table.recordExpectsNot(neighbour.slot, piece)
    }
  }

  /** Turns down everything that waits: paused or leaving. What is on its way may finish. */
  rejectAll(): void {
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined) continue
      const pieces = this.#ledger.endRequests(neighbour)
      for (const piece of pieces) this.#state.table.recordExpectsNot(neighbour.slot, piece)
      this.#reject(neighbour, pieces, 'choked')
    }
  }

  /**
   * Starts what the uplink has room for and offers what should come next. Cheap when there is nothing to do.
   */
  advance(nowMs: number): void {
    if (this.#state.isPaused) return
    this.#offerer.advance(nowMs)
    // Serving makes room in the queue.
    if (this.#sender.advance(nowMs)) this.#offerer.advance(nowMs)
  }

  /** Forgets offers and flights that nobody answers; several times a second. */
  housekeep(nowMs: number): void {
    const { table, neighbours, options } = this.#state
    if (options.policy === 'contributors' && nowMs >= this.#reviewMs) {
      this.#reviewMs = nowMs + UPLOAD.REVIEW_MS
      this.#evidence.review(this.pieceMs, nowMs)
    }
    this.#offerer.housekeep(nowMs)
    for (const flight of this.#ledger.flights.values()) {
      if (nowMs - flight.startMs < UPLOAD.FLIGHT_TIMEOUT_MS) break
      if (flight.servedMs === 0) continue
      this.#ledger.endFlight(neighbours[flight.slot] as Neighbour, flight)
      table.recordExpectsNot(flight.slot, flight.piece)
    }
  }

  /** Forgets what neighbours said they expect from others: it may never have come. */
  forgetExpectations(): void {
    const { table, geometry, neighbours } = this.#state
    for (const neighbour of neighbours) {
      if (neighbour === undefined || table.expected[neighbour.slot] === 0) continue
      for (let piece = 0; piece < geometry.pieceCount; piece++) {
        if (table.slotExpects(neighbour.slot, piece) && !this.#ledger.has(neighbour, piece)) {
          table.recordExpectsNot(neighbour.slot, piece)
        }
      }
    }
  }

  assertInvariants(): void {
    this.#ledger.assertInvariants()
    const { neighbours, options } = this.#state
    for (const neighbour of neighbours) {
      if (neighbour === undefined) continue
      const { queued, wishes } = neighbour.upload
      if (queued + wishes.size > options.maxQueuedPerPeer + MAX_PIECES_PER_MESSAGE)
        throw new Error(`too many requests of ${neighbour.key} wait`)
    }
  }

  #reject(neighbour: Neighbour, pieces: readonly number[], reason: RejectReason): void {
    for (const list of perMessage(pieces)) this.#state.send(neighbour, { type: 'reject', pieces: list, reason })
  }
}
