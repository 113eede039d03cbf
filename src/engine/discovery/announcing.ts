/**
 * When a node looks for others and lets itself be found: searches, its record in the DHT, the gossip topic.
 *
 * A node with something to give is announced and listens at once. A leecher with nothing first asks the peers
 * that it was given: their lists of neighbours cost a message each, where DHT and gossip of a whole fleet
 * cost seconds of processor time ahead of the first pieces. It turns to those when that brought too few.
 *
 * Invariants: at most one search is under way; one announcement and one subscription are asked for in a life;
 * nothing is asked for while paused or leaving. Time during which this machine was too busy to hear an answer
 * does not count as waiting. Pure; used by swarm.ts.
 */

import type { Random } from '../../util/random.ts'
import type { Output } from '../contract.ts'

/**
 * With so many neighbours a node is well connected and searches rarely. Raised: more DHT walks in every
 * start; lowered: a crowd may fall into parts that do not know of each other.
 */
export const ENOUGH_NEIGHBOURS = 4
/**
 * The peers that we were given have so long to tell of others before the DHT is asked. Raised: a dead hint
 * delays; lowered: every start walks.
 */
export const HINT_PATIENCE_MS = 1000
/**
 * First and longest pause between two searches; a node with enough neighbours keeps to the longest. Raised:
 * lonely for longer; lowered: more walks, each of which asks a dozen nodes.
 */
const FIRST_SEARCH_PAUSE_MS = 1000
const MAX_SEARCH_PAUSE_MS = 30_000
/**
 * A leecher with few neighbours turns to gossip and announces itself after this. Raised: a crowd without a
 * living hint meets later; lowered: crowds that start together gossip before they have anything (a signature
 * and some copies for each member).
 */
export const FEW_AFTER_MS = 1500
/**
 * A leecher with enough neighbours is announced when it is complete, or after this (up to twice as long, so
 * that a crowd does not all at once). Raised: a long download cannot be found through the DHT; lowered: short
 * ones write records that they take back soon after.
 */
export const ANNOUNCE_AFTER_MS = 20_000
/**
 * With an origin: how long a bootstrap peer, then our own record, then a search may take before we count as
 * alone. Raised: a lonely node waits before it fetches; lowered: the members of a slow crowd each fetch their
 * own copy.
 */
export const BOOTSTRAP_PATIENCE_MS = 3000
export const RECORD_PATIENCE_MS = 3000
export const SEARCH_PATIENCE_MS = 4000
/** Looked at less often than this, we were too busy to hear answers: no more than this counts. */
const MAX_STEP_MS = 300
/**
 * Share of all pieces that makes a change worth gossiping. Raised: others know less of us; lowered: more
 * gossip.
 */
const NEWS_SHARE = 0.5

/** What the rules look at. */
export interface Surroundings {
  readonly neighbours: number
  /** Somebody is known who has not failed to answer. */
  readonly hasUntried: boolean
  /** A search could bring somebody whom we would dial. */
  readonly lacksPeers: boolean
  /** No neighbour has had anything that we lack for long: they count as none. */
  readonly isStranded: boolean
  readonly have: { readonly count: number; readonly size: number }
  readonly isComplete: boolean
  readonly isIdle: boolean
}

export interface AnnouncingInit {
  /** We had some pieces, or all, from the beginning. */
  readonly isOfUse: boolean
  readonly random: Random
  readonly nowMs: number
  readonly emit: (output: Output) => void
  /** We have looked everywhere. `isFinal`: nobody could be asked, and nobody will turn up by himself. */
  readonly onLooked: (isFinal: boolean, nowMs: number) => void
}

export class Announcing {
  readonly #init: AnnouncingInit
  readonly #announceAfterMs: number
  /** Time that counts as waiting, and when it was last added to. */
  #waitedMs = 0
  #lookedMs: number
  /** We are announced and listen to gossip. */
  #isKnown = false
  /** What neighbours of neighbours were last told that we have; undefined: nothing yet. */
  #toldCount: number | undefined
  #tellMs = Number.NEGATIVE_INFINITY
  #wasAlone = true
  #isSearching = false
  /**
   * When the last search began, or we did; the pause after it while we have few neighbours, and by how much
   * pauses of this node differ from others'.
   */
  #searchedMs: number
  #searchPauseMs = 0
  #pauseShare: number
  /**
   * On the clock of waiting: when the last search began, the origin opened, and it was settled whether a
   * bootstrap peer and our record are there.
   */
  #searchBeganMs = Number.NEGATIVE_INFINITY
  #originOpenMs: number | undefined
  #isBootstrapped = false
  #bootstrappedMs: number | undefined
  #isRecordSettled = false
  #settledMs: number | undefined
  #hasLooked = false

  constructor(init: AnnouncingInit) {
    this.#init = init
    this.#lookedMs = init.nowMs
    this.#searchedMs = init.nowMs
    this.#announceAfterMs = ANNOUNCE_AFTER_MS * init.random.nextBetween(1, 2)
    this.#pauseShare = init.random.nextBetween(0.75, 1.25)
  }

  handleBootstrapAnswered(): void {
    this.#isBootstrapped = true
  }

  /** Our record was written, or could not be. */
  handleAnnounced(): void {
    this.#isRecordSettled = true
  }

  handleOriginOpened(): void {
    this.#originOpenMs ??= this.#waitedMs
  }

  /** `couldAsk`: somebody was there to be asked. `mayTurnUp`: peers may come by themselves (mDNS). */
  handleSearchEnded(couldAsk: boolean, mayTurnUp: boolean, nowMs: number): void {
    this.#isSearching = false
    if (!couldAsk) this.#conclude(!mayTurnUp, nowMs)
    else if (this.#hasLooked) this.#conclude(false, nowMs)
  }

  /** Several times a second, and after each of the facts above. */
  housekeep(around: Surroundings, gossipIntervalMs: number, nowMs: number): void {
    this.#waitedMs += Math.min(nowMs - this.#lookedMs, MAX_STEP_MS)
    this.#lookedMs = nowMs
    if (around.isIdle) return
    this.#letKnow(around)
    this.#gossip(around, gossipIntervalMs, nowMs)
    this.#search(around, nowMs)
    this.#judgeSearch(around, nowMs)
  }

  #letKnow({ isComplete, neighbours }: Surroundings): void {
    if (this.#isKnown) return
    const isOfUse = this.#init.isOfUse || isComplete || this.#originOpenMs !== undefined
    const hasFew = this.#waitedMs >= FEW_AFTER_MS && neighbours < ENOUGH_NEIGHBOURS
    if (!isOfUse && !hasFew && this.#waitedMs < this.#announceAfterMs) return
    this.#isKnown = true
    this.#init.emit({ type: 'listenToGossip' })
    this.#init.emit({ type: 'announce' })
  }

  /**
   * That we are there when few know us, the first we have, the last, and a half of all in between. Neighbours
   * hear of every piece; others read from gossip whom to dial, and each message is passed on by the whole
   * swarm.
   */
  #gossip({ have, isComplete, neighbours }: Surroundings, intervalMs: number, nowMs: number): void {
    if (!this.#isKnown) return
    const told = this.#toldCount
    const isFirst = told === undefined && (have.count > 0 || neighbours < ENOUGH_NEIGHBOURS)
    const isLast = told !== undefined && told < have.count && isComplete
    const isNews =
      told !== undefined && (told === 0 ? have.count > 0 : have.count - told >= have.size * NEWS_SHARE || have.count < told)
    if (!isFirst && !isLast && !(isNews && nowMs >= this.#tellMs)) return
    this.#tellMs = nowMs + intervalMs * this.#init.random.nextBetween(0.75, 1.25)
    this.#toldCount = have.count
    this.#init.emit({ type: 'publishAvailability' })
  }

  #search({ neighbours, hasUntried, lacksPeers, isStranded, isComplete }: Surroundings, nowMs: number): void {
    const isAlone = neighbours === 0
    // What was found before we lost everybody says little.
    if (isAlone && !this.#wasAlone) this.#searchPauseMs = FIRST_SEARCH_PAUSE_MS
    this.#wasAlone = isAlone
    if (this.#isSearching || !lacksPeers || (isComplete && !isAlone)) return
    if (hasUntried && this.#waitedMs < HINT_PATIENCE_MS && this.#originOpenMs === undefined) return
    const pauseMs = neighbours >= ENOUGH_NEIGHBOURS && !isStranded ? MAX_SEARCH_PAUSE_MS : this.#searchPauseMs
    if (nowMs - this.#searchedMs < pauseMs * this.#pauseShare) return
    this.#searchedMs = nowMs
    this.#pauseShare = this.#init.random.nextBetween(0.75, 1.25)
    this.#searchPauseMs = Math.min(MAX_SEARCH_PAUSE_MS, Math.max(FIRST_SEARCH_PAUSE_MS, this.#searchPauseMs * 2))
    this.#beginSearch()
  }

  #beginSearch(): void {
    this.#isSearching = true
    this.#searchBeganMs = this.#waitedMs
    this.#init.emit({ type: 'findPeers' })
  }

  /**
   * Whether we have looked for long enough to say that we are alone; only an origin's users ask. Of peers
   * that start together, each announcing itself before it looks, all but one find another: so a search counts
   * that began after our record was written.
   */
  #judgeSearch({ neighbours }: Surroundings, nowMs: number): void {
    if (this.#hasLooked || this.#originOpenMs === undefined) return
    const waitedMs = this.#waitedMs
    if (!this.#isBootstrapped && waitedMs - this.#originOpenMs < BOOTSTRAP_PATIENCE_MS) return
    this.#bootstrappedMs ??= waitedMs
    if (!this.#isRecordSettled && waitedMs - this.#bootstrappedMs < RECORD_PATIENCE_MS) return
    this.#settledMs ??= waitedMs
    const isPatienceOver = waitedMs - this.#settledMs >= SEARCH_PATIENCE_MS
    if (this.#isSearching && !isPatienceOver) return
    if (neighbours > 0 || isPatienceOver || this.#searchBeganMs >= this.#settledMs) this.#conclude(false, nowMs)
    else this.#beginSearch()
  }

  #conclude(isFinal: boolean, nowMs: number): void {
    this.#hasLooked = true
    this.#init.onLooked(isFinal, nowMs)
  }
}
