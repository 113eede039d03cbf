/**
 * What each peer has shown to do for the swarm. Merit is evidence, never its absence.
 *
 * While we have everything we see who passes on what it gets: the first copy that we give of a piece is paid
 * back when the piece turns up at another neighbour. A few first copies are given on trust; who has more of
 * them outstanding is *light*, and gets a small share of our uplink (upload/share.ts) instead of a full one.
 * This is the rule of BitTorrent's super-seeding. It bounds what a peer can swallow that all others have
 * banned: from us, who never receive, it would else get most, as the one with the fewest pieces.
 *
 * A newcomer gets its first piece on trust, too. While most of the last newcomers took one and were never
 * heard of again, as peers do that come back under new names, all newcomers together get the share of one
 * neighbour.
 *
 * In an open swarm a leecher is light to another leecher while it holds pieces that the other lacks and has
 * offered none for long.
 *
 * Outstanding first copies are kept over a reconnect. Bounds: {@link MERIT.MAX_REMEMBERED} peers, {@link
 * MERIT.MAX_FIRST_COPIES} pieces.
 */

import type { PeerKey } from '../contract.ts'
import type { Neighbour } from '../neighbour.ts'
import type { SwarmState } from '../state.ts'
import { MERIT } from '../tunables.ts'

interface Account {
  /** First copies that have not turned up elsewhere, while only we gave the piece. */
  unspread: number
  /** Those of which we gave a second copy before that, since one of its own last turned up. */
  unspreadInVain: number
  /** Since when it has something that we lack; Infinity: it has not. */
  usefulSinceMs: number
  /** It has had something that we lack for long, and offered nothing. */
  isIdle: boolean
}

export class Evidence {
  readonly #state: SwarmState
  readonly #maxUnspread: number
  readonly #accounts = new Map<Neighbour, Account>()
  /** Who has the only copy that we gave of a piece. */
  readonly #firstHolders = new Map<number, Neighbour>()
  /** Share of the last newcomers that took a piece and left without a word. */
  #lostNewcomers = 0
  /** First copies outstanding when a peer left. */
  readonly #remembered = new Map<PeerKey, number>()

  constructor(state: SwarmState) {
    this.#state = state
    this.#maxUnspread = MERIT.TRUSTED_FIRST_COPIES[state.options.policy]
  }

  admit(neighbour: Neighbour): void {
    const unspreadInVain = this.#remembered.get(neighbour.key) ?? 0
    this.#accounts.set(neighbour, { unspread: 0, unspreadInVain, usefulSinceMs: Number.POSITIVE_INFINITY, isIdle: false })
    this.#weigh(neighbour)
  }

  forget(neighbour: Neighbour): void {
    const account = this.#accounts.get(neighbour)
    if (account === undefined) return
    if (neighbour.isNewcomer && neighbour.upload.bytesUploaded > 0) this.#recordNewcomer(true)
    this.#accounts.delete(neighbour)
    this.#remembered.delete(neighbour.key)
    const outstanding = account.unspread + account.unspreadInVain
    if (outstanding > this.#maxUnspread) {
      if (this.#remembered.size >= MERIT.MAX_REMEMBERED) {
        this.#remembered.delete(this.#remembered.keys().next().value as PeerKey)
      }
      this.#remembered.set(neighbour.key, outstanding)
    }
    for (const [piece, first] of this.#firstHolders) if (first === neighbour) this.#firstHolders.delete(piece)
  }

  /** The neighbour, so far a newcomer, acknowledged or delivered its first piece. */
  recordProven(neighbour: Neighbour): void {
    this.#recordNewcomer(false)
    this.#weigh(neighbour)
  }

  #recordNewcomer(isLost: boolean): void {
    this.#lostNewcomers += ((isLost ? 1 : 0) - this.#lostNewcomers) / MERIT.NEWCOMERS
    for (const neighbour of this.#accounts.keys()) if (neighbour.isNewcomer) this.#weigh(neighbour)
  }

  /** While we have everything: the neighbour has the piece now. `isOurs`: from us. */
  recordHave(neighbour: Neighbour, piece: number, isOurs: boolean): void {
    const first = this.#firstHolders.get(piece)
    if (first === undefined) {
      const isFirstCopy = isOurs && this.#state.table.holdersOf(piece) === 1
      if (!isFirstCopy || this.#firstHolders.size >= MERIT.MAX_FIRST_COPIES) return
      this.#firstHolders.set(piece, neighbour)
      ;(this.#accounts.get(neighbour) as Account).unspread++
      this.#weigh(neighbour)
    } else if (first !== neighbour) {
      this.#firstHolders.delete(piece)
      const account = this.#accounts.get(first) as Account
      account.unspread--
      // Once we gave a second copy nobody can say whose it was that spread: it is nobody's merit.
      if (isOurs) account.unspreadInVain++
      else account.unspreadInVain = 0
      this.#weigh(first)
    }
  }

  /**
   * Once a second in an open swarm: notes since when each neighbour has something that we lack. `pieceMs`: on
   * our uplink.
   */
  review(pieceMs: number, nowMs: number): void {
    const { table, have } = this.#state
    for (const [neighbour, account] of this.#accounts) {
      let isUseful = false
      for (let index = 0; index < table.missing.size && !isUseful; index++)
        isUseful = table.slotHolds(neighbour.slot, table.missing.at(index))
      if (!isUseful || have.isFull) account.usefulSinceMs = Number.POSITIVE_INFINITY
      else if (account.usefulSinceMs === Number.POSITIVE_INFINITY) account.usefulSinceMs = nowMs
      const patienceMs = Math.max(MERIT.CONTRIBUTION_MS, MERIT.CONTRIBUTION_PIECES * pieceMs)
      const sinceMs = Math.max(account.usefulSinceMs, neighbour.download.lastOfferMs)
      account.isIdle = !have.isFull && nowMs - sinceMs >= patienceMs
      this.#weigh(neighbour)
    }
  }

  #weigh(neighbour: Neighbour): void {
    const { unspread, unspreadInVain, isIdle } = this.#accounts.get(neighbour) as Account
    const isSuspect = neighbour.isNewcomer && this.#lostNewcomers > MERIT.MAX_LOST_NEWCOMERS
    this.#state.marks.light.mark(neighbour.slot, isSuspect || isIdle || unspread + unspreadInVain > this.#maxUnspread)
  }
}
