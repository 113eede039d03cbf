/**
 * Which piece goes to which neighbour next: the rarest that somebody eligible lacks, to the one of these with
 * the fewest pieces. Reads only. Used by uploader.ts.
 */

import type { Random } from '../../util/random.ts'
import type { Neighbour } from '../neighbour.ts'
import { lowestBit } from '../slot-set.ts'
import type { SwarmState } from '../state.ts'
import { type Need, needOf, type PiecePicker, piecePicker } from '../strategies.ts'
import { CHOICE } from '../tunables.ts'
import type { SendLedger } from './send-ledger.ts'

export interface Choice {
  readonly neighbour: Neighbour
  readonly piece: number
  /** The neighbour asked for it: it is granted, not offered. */
  readonly isWish: boolean
}

export class Chooser {
  readonly #state: SwarmState
  readonly #ledger: SendLedger
  readonly #random: Random
  readonly #pickPiece: PiecePicker
  readonly #need: Need
  readonly #isLackedByEligible: (piece: number) => boolean
  /** Slots that may be chosen, 32 to a word. */
  readonly eligible: number[] = []

  constructor(state: SwarmState, ledger: SendLedger, random: Random) {
    this.#state = state
    this.#ledger = ledger
    this.#random = random
    this.#pickPiece = piecePicker('own', state.options, state.table, random)
    this.#need = needOf(state.options, state.table)
    const { table } = state
    this.#isLackedByEligible = piece => {
      for (let word = 0; word < table.words; word++) {
        if (((this.eligible[word] as number) & table.lackingIn(piece, word)) !== 0) return true
      }
      return false
    }
  }

  exclude(slot: number): void {
    this.eligible[slot >>> 5] = (this.eligible[slot >>> 5] as number) & ~(1 << (slot & 31))
  }

  /**
   * A piece for a neighbour in {@link eligible}, or one that a neighbour asked for, if that is rarer.
   * `mayGrant`: whether a wish of the neighbour may be granted now.
   */
  choose(mayGrant: (neighbour: Neighbour) => boolean, nowMs: number): Choice | undefined {
    const piece = this.#pickPiece(this.#isLackedByEligible)
    const offer = piece < 0 ? undefined : { neighbour: this.#neediest(piece, nowMs), piece, isWish: false }
    return this.#ledger.wishers === 0 ? offer : this.#rarerWish(offer, mayGrant, nowMs)
  }

  /** The eligible neighbour that lacks the piece and needs it most, at random among equals. */
  #neediest(piece: number, nowMs: number): Neighbour {
    const { table, neighbours } = this.#state
    const oldestMs = this.#oldestMs(piece)
    let best: Neighbour | undefined
    let bestNeed = Number.POSITIVE_INFINITY
    let ties = 0
    for (let word = 0; word < table.words; word++) {
      let lacking = (this.eligible[word] as number) & table.lackingIn(piece, word)
      while (lacking !== 0) {
        const neighbour = neighbours[word * 32 + lowestBit(lacking)] as Neighbour
        lacking &= lacking - 1
        const need = this.#need(neighbour, oldestMs, nowMs)
        if (need < bestNeed) {
          best = neighbour
          bestNeed = need
          ties = 1
        } else if (need === bestNeed && this.#random.nextInt(++ties) === 0) best = neighbour
      }
    }
    return best as Neighbour
  }

  /** When the first of the eligible neighbours that lack the piece joined. */
  #oldestMs(piece: number): number {
    const { table, neighbours } = this.#state
    let oldestMs = Number.POSITIVE_INFINITY
    for (let word = 0; word < table.words; word++) {
      for (let rest = (this.eligible[word] as number) & table.lackingIn(piece, word); rest !== 0; rest &= rest - 1) {
        oldestMs = Math.min(oldestMs, (neighbours[word * 32 + lowestBit(rest)] as Neighbour).joinedMs)
      }
    }
    return oldestMs
  }

  #rarerWish(offer: Choice | undefined, mayGrant: (neighbour: Neighbour) => boolean, nowMs: number): Choice | undefined {
    const { table, neighbours } = this.#state
    let found = offer
    let foundSpread = offer === undefined ? Number.POSITIVE_INFINITY : table.spreadOf(offer.piece)
    for (const neighbour of neighbours) {
      if (neighbour === undefined || neighbour.upload.wishes.size === 0 || !mayGrant(neighbour)) continue
      let looks = 0
      for (const piece of neighbour.upload.wishes.keys()) {
        if (++looks > CHOICE.MAX_WISHES) break
        const spread = table.spreadOf(piece)
        const oldestMs = Math.min(neighbour.joinedMs, found?.neighbour.joinedMs ?? nowMs)
        const isNeedier =
          found?.isWish === false && this.#need(neighbour, oldestMs, nowMs) < this.#need(found.neighbour, oldestMs, nowMs)
        if (spread < foundSpread || (spread === foundSpread && isNeedier)) {
          found = { neighbour, piece, isWish: true }
          foundSpread = spread
        }
      }
    }
    return found
  }
}
