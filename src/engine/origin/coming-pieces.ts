/**
 * The book of pieces on their way from the origin: since when, how many bytes, what is set aside of the
 * limits. Decides nothing. Used by share.ts.
 *
 * Invariant: a piece in it is MISSING and in `state.comingFromOrigin`.
 */

import type { RateBudget } from '../../util/rate-budget.ts'
import { MISSING, type SwarmState } from '../state.ts'

export class ComingPieces {
  readonly #state: SwarmState
  readonly #budgets: readonly RateBudget[]
  #bytes = 0

  constructor(state: SwarmState, budgets: readonly RateBudget[]) {
    this.#state = state
    this.#budgets = budgets
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The piece is asked for; returns it. */
  take(piece: number, nowMs: number): number {
    const bytes = this.#state.geometry.pieceBytes(piece)
    this.#state.comingFromOrigin.set(piece, nowMs)
    this.#bytes += bytes
    for (const budget of this.#budgets) budget.spend(bytes, nowMs)
    return piece
  }

  /** The piece is no longer under way; false when it was not. */
  forget(piece: number): boolean {
    if (!this.#state.comingFromOrigin.delete(piece)) return false
    this.#bytes -= this.#state.geometry.pieceBytes(piece)
    return true
  }

  /** What was set aside for the piece is free. */
  refund(piece: number): void {
    for (const budget of this.#budgets) budget.refund(this.#state.geometry.pieceBytes(piece))
  }

  assertInvariants(): void {
    const { comingFromOrigin, status, geometry } = this.#state
    let bytes = 0
    for (const piece of comingFromOrigin.keys()) {
      if (status[piece] !== MISSING) throw new Error(`piece ${piece} comes from the origin and is not missing`)
      bytes += geometry.pieceBytes(piece)
    }
    if (bytes !== this.#bytes) throw new Error('bytes coming from the origin are counted wrongly')
  }
}
