/**
 * Whether one more piece may be asked for: pieces in memory, what the downlink takes, limits. Pure rules over
 * what the ledger shows.
 *
 * A request to a neighbour that never delivered counts only while it is on trial (patience.ts): claims fill
 * no pipeline.
 */

import type { RateBudget } from '../../util/rate-budget.ts'
import type { Neighbour } from '../neighbour.ts'
import type { SwarmState } from '../state.ts'
import { DEMAND } from '../tunables.ts'
import type { DownlinkModel } from './downlink-model.ts'
import { type Pace, trialMs } from './patience.ts'
import type { Readers } from './readers.ts'
import type { RequestLedger } from './request-ledger.ts'

export class Demand {
  readonly #state: SwarmState
  readonly #budgets: readonly RateBudget[]
  readonly #model: DownlinkModel
  readonly #ledger: RequestLedger
  readonly #readers: Readers

  constructor(state: SwarmState, budgets: readonly RateBudget[], model: DownlinkModel, ledger: RequestLedger, readers: Readers) {
    this.#state = state
    this.#budgets = budgets
    this.#model = model
    this.#ledger = ledger
    this.#readers = readers
  }

  get pace(): Pace {
    const { geometry, firstPieceMs } = this.#state
    const drainMs = this.#model.drainMs(this.#ledger.pending.size * geometry.pieceLength)
    return { typicalMs: this.#model.typicalMs, firstPieceMs, drainMs }
  }

  /** Most pieces that may be expected or verifying now. */
  get capacity(): number {
    const { options, geometry } = this.#state
    const inBytes = Math.max(DEMAND.MIN_PENDING_PIECES, Math.floor(options.maxPendingBytes / geometry.pieceLength))
    return Math.max(2, Math.min(options.maxPendingPieces, inBytes))
  }

  get limitPieces(): number {
    return this.#model.limitPieces(this.#state.geometry.pieceLength, this.#state.answerMs)
  }

  get maySpend(): (nowMs: number) => boolean {
    return nowMs => this.#budgets.every(budget => budget.canSpend(nowMs))
  }

  /** When the limits allow the next piece. */
  spendableMs(nowMs: number): number {
    return this.#budgets.reduce((readyMs, budget) => Math.max(readyMs, budget.readyMs(nowMs)), nowMs)
  }

  /**
   * The piece was asked of a neighbour that never delivered, and its trial is over: it is free for others.
   */
  isUnproven(piece: number, nowMs: number): boolean {
    const sender = this.#ledger.senderOf(piece)
    if (sender === undefined || sender.download.isProven) return false
    return nowMs - this.#ledger.sinceMs(piece) >= trialMs(sender.rttMs, this.pace)
  }

  /** Requests that will probably be answered; as many as that matters, `most`. */
  countLikely(most: number, nowMs: number): number {
    if (this.#state.marks.unproven.size === 0) return this.#ledger.pending.size
    let count = 0
    for (const piece of this.#ledger.pending) if (!this.isUnproven(piece, nowMs) && ++count === most) break
    return count
  }

  hasRoom(piece: number, nowMs: number): boolean {
    const state = this.#state
    if (state.isPaused || state.isLeaving || state.storeFault !== undefined) return false
    const { pending } = this.#ledger
    // Without any piece we have nothing to give: one piece puts our uplink to work, and a second would be
    // missing to somebody that has none either.
    if (state.have.isEmpty && state.verifying + this.countLikely(1, nowMs) > 0) return false
    const { capacity } = this
    if (pending.size + state.verifying < capacity || this.#readers.want(piece)) return true
    return this.countLikely(capacity, nowMs) + state.verifying < capacity && pending.size < capacity + state.neighbourOf.size
  }

  /**
   * As many pieces are on their way as the downlink takes. Those of slow senders count for what they bring,
   * and a sender that is much faster than what comes now is always welcome: else slow ones could fill the
   * limit and keep it low by being slow.
   */
  isDownlinkFull({ download }: Neighbour, nowMs: number): boolean {
    const { pending } = this.#ledger
    const limit = this.limitPieces
    if (pending.size < limit) return false
    // What a reader needs next must not stand behind a queue.
    if (this.#readers.size > 0) return true
    const { typicalMs } = this.#model
    if (download.serviceMs > 0 && 2 * download.serviceMs < typicalMs && pending.size < 4 * limit) return false
    let weight = 0
    for (const piece of pending) {
      if (this.#ledger.isPulled(piece)) continue // gives way to any offer
      if (this.isUnproven(piece, nowMs)) continue
      const { serviceMs } = (this.#ledger.senderOf(piece) as Neighbour).download
      weight += serviceMs > DEMAND.SLOW_SENDER_FACTOR * typicalMs ? typicalMs / serviceMs : 1
    }
    return weight >= limit
  }
}
