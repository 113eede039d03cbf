/**
 * Whether we are alone with the origin, for how long, and what we may take meanwhile. Waits are longer on a
 * busy machine, which hears answers late. Used by share.ts.
 */

import type { SwarmState } from '../state.ts'
import { ORIGIN } from '../tunables.ts'

/** What is known of other peers. */
export interface KnownPeers {
  /** Some have not failed to answer. */
  readonly hasUntried: boolean
}

export class Company {
  readonly #state: SwarmState
  readonly #peers: KnownPeers
  #openedMs = 0
  #searchedMs = Number.POSITIVE_INFINITY
  #isSurelyAlone = false
  #lonelySinceMs = Number.NEGATIVE_INFINITY
  #companySinceMs = Number.POSITIVE_INFINITY
  #lenienceMs = 0

  constructor(state: SwarmState, peers: KnownPeers) {
    this.#state = state
    this.#peers = peers
  }

  /** The origin can be asked from now on. */
  handleOpened(nowMs: number): void {
    this.#openedMs = nowMs
  }

  /** A search ended. `isFinal`: it found all that there is to find. */
  handleSearched(isFinal: boolean, nowMs: number): void {
    this.#searchedMs = Math.min(this.#searchedMs, nowMs)
    this.#isSurelyAlone = isFinal
  }

  /** A neighbour came. True: it is the first. */
  meet(nowMs: number): boolean {
    if (this.#companySinceMs !== Number.POSITIVE_INFINITY) return false
    this.#companySinceMs = nowMs
    return true
  }

  /** The last neighbour left. */
  handleLonely(nowMs: number): void {
    this.#companySinceMs = Number.POSITIVE_INFINITY
    this.#lonelySinceMs = nowMs
  }

  /** Housekeeping came so late. */
  recordLateness(lateMs: number): void {
    this.#lenienceMs = Math.min(
      ORIGIN.MAX_LENIENCE_MS,
      Math.max(lateMs * ORIGIN.LATENESS_FACTOR, this.#lenienceMs * ORIGIN.LENIENCE_SHARE)
    )
  }

  isAlone(nowMs: number): boolean {
    if (this.#state.neighbourOf.size > 0) return false
    if (this.#peers.hasUntried) return nowMs - Math.max(this.#lonelySinceMs, this.#openedMs) >= ORIGIN.DESERTED_MS
    return this.#searchedMs <= nowMs && nowMs - this.#lonelySinceMs >= ORIGIN.ALONE_MS
  }

  /** We have had neighbours and an origin for so long. */
  hasLasted(ms: number, nowMs: number): boolean {
    return nowMs - Math.max(this.#companySinceMs, this.#openedMs) >= ms + this.#lenienceMs
  }

  /** We have been keeper, and had neighbours, for so long. */
  hasKnownKeeperFor(ms: number, keeperSinceMs: number, nowMs: number): boolean {
    return nowMs - Math.max(keeperSinceMs, this.#companySinceMs) >= ms + this.#lenienceMs
  }

  /** Neighbours have had so long to show how fast they are. */
  hasShown(ms: number, nowMs: number): boolean {
    // Written so that no neighbours at all count as not shown, and NaN never arises.
    return !(nowMs - Math.max(this.#openedMs, this.#companySinceMs) < ms)
  }

  /**
   * Bytes that may be under way while it is not sure that we are alone, see {@link ORIGIN.FIRST_SHARE};
   * Infinity: it is, or we are not.
   */
  allowance(bytesFetched: number, nowMs: number): number {
    const aloneMs = nowMs - Math.max(this.#searchedMs, this.#openedMs)
    const surelyMs = ORIGIN.SURELY_ALONE_MS + 2 * this.#lenienceMs
    if (this.#isSurelyAlone || aloneMs >= surelyMs || !this.isAlone(nowMs)) return Number.POSITIVE_INFINITY
    const { length, pieceLength } = this.#state.geometry
    const share = ORIGIN.FIRST_SHARE + (aloneMs / surelyMs) ** 3
    return Math.max(2 * pieceLength, length * share) - bytesFetched
  }
}
