/**
 * When a peer takes from the origin although others say that they do: a swarm is never slower than its origin
 * alone, whatever neighbours claim.
 *
 * Keepers, `taking` and `have` are claims. While no piece comes from peers for a while, a peer asks the
 * origin by itself: one piece, then twice as many each time, as long as peers bring less than the origin
 * does. An honest swarm that is merely slow loses little by it: each first piece is chosen at random, so it
 * is one that the swarm needs anyway. The patience grows with the number of neighbours, since a crowd's first
 * pieces take some time to reach everybody. Used by share.ts.
 */

import { ORIGIN } from '../tunables.ts'

export class SelfReliance {
  /** Pieces that may be under way by our own decision; 0: none. */
  #pieces = 0
  #quietSinceMs: number

  constructor(nowMs: number) {
    this.#quietSinceMs = nowMs
  }

  /** Pieces that may be under way although others are to fetch them. */
  get allowance(): number {
    return this.#pieces
  }

  /** The origin opened, or a peer brought a piece, or news that is believed. */
  recordProgress(nowMs: number): void {
    this.#quietSinceMs = nowMs
  }

  /** Several times a second. `stagger`: 0 to 1, our own, so that a crowd does not ask at once. */
  review(neighbours: number, stagger: number, nowMs: number): void {
    if (this.#pieces > 0) return
    const patienceMs = Math.min(ORIGIN.MAX_SELF_MS, ORIGIN.SELF_MS_PER_NEIGHBOUR * Math.max(1, neighbours)) * (1 + stagger / 2)
    if (nowMs - this.#quietSinceMs >= patienceMs) this.#pieces = 1
  }

  /** The origin gave a piece. `isFaster`: peers bring less than it does. */
  recordFromOrigin(isFaster: boolean): void {
    if (this.#pieces > 0) this.#pieces = isFaster ? Math.min(ORIGIN.MAX_SELF_PIECES, this.#pieces * 2) : 0
  }
}
