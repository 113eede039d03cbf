/**
 * Our share of what the swarm takes from the content's origin (an HTTP(S) server that holds all of it).
 *
 * The swarm as a whole should take about one copy: a few *keepers* (election.ts) fetch, each the blocks that
 * are its own, and serve them on; everybody else leaves the origin alone. A keeper that has nothing left to
 * fetch takes over blocks of others that nobody has yet, telling the other keepers (`taking`). A peer that
 * knows nobody is its own keeper. A peer that starves although keepers live (they lie, or their
 * origin is out of reach) asks the origin itself after a while, staggered by rank.
 *
 * What peers have is left to peers, unless they are slower than the origin: then a keeper fetches its own
 * blocks nevertheless, which no other keeper does, so that the sum stays at one copy.
 *
 * Invariants: a piece that comes from the origin is MISSING and in `state.comingFromOrigin`; bytes under way
 * stay within the window; nothing is fetched while paused, leaving or without room on disk. Used by swarm.ts.
 */

import type { RateBudget } from '../../util/rate-budget.ts'
import { perMessage } from '../../wire/messages.ts'
import type { Input, PeerKey } from '../contract.ts'
import type { Downloader } from '../download/downloader.ts'
import type { Neighbour } from '../neighbour.ts'
import { RecentRate } from '../recent-rate.ts'
import { MISSING, type SwarmState, VERIFYING } from '../state.ts'
import { ORIGIN } from '../tunables.ts'
import { Blocks } from './blocks.ts'
import { ComingPieces } from './coming-pieces.ts'
import { Company, type KnownPeers } from './company.ts'
import { BEAT_MS, Election, MAX_KEEPERS, rankOf } from './election.ts'
import { ElectionNews } from './election-news.ts'
import { Picker } from './picker.ts'
import { SelfReliance } from './self-reliance.ts'

export class OriginShare {
  readonly #state: SwarmState
  readonly #downloader: Downloader
  readonly #budgets: readonly RateBudget[]
  readonly #company: Company
  readonly keepers = new Election()
  readonly #fromOrigin: RecentRate
  readonly #fromPeers: RecentRate
  readonly #selfReliance: SelfReliance
  readonly #news: ElectionNews
  readonly #picker: Picker
  readonly #blocks: Blocks
  #yieldedVersion = -1
  #self: PeerKey | undefined
  #rank = 0
  #isSequential = false
  #windowBytes = 0
  #keeperSinceMs = Number.POSITIVE_INFINITY
  #growMs = Number.POSITIVE_INFINITY
  #beatMs = 0
  #idleSinceMs = Number.POSITIVE_INFINITY
  readonly #coming: ComingPieces
  #measured = 0
  /** Bytes per second when the origin last gave something. */
  #originRate = 0
  bytesFetched = 0

  constructor(state: SwarmState, downloader: Downloader, budgets: readonly RateBudget[], peers: KnownPeers, nowMs: number) {
    this.#state = state
    this.#downloader = downloader
    this.#budgets = budgets
    this.#fromOrigin = new RecentRate(nowMs)
    this.#fromPeers = new RecentRate(nowMs)
    this.#selfReliance = new SelfReliance(nowMs)
    this.#blocks = new Blocks(state.geometry, this.keepers)
    this.#news = new ElectionNews(state, this.keepers)
    this.#company = new Company(state, peers)
    this.#coming = new ComingPieces(state, budgets)
    this.#picker = new Picker({
      state,
      downloader,
      keepers: this.keepers,
      blocks: this.#blocks,
      coming: this.#coming,
      hasRoom: now => this.#hasRoom(now)
    })
  }

  get isOpen(): boolean {
    return this.#self !== undefined
  }

  get isKeeper(): boolean {
    return this.#self !== undefined && this.keepers.has(this.#self)
  }

  /** When {@link advance} has something to do although nothing arrives. */
  get wakeMs(): number {
    return Math.min(this.#growMs, this.#news.wakeMs)
  }

  handleChanged(input: Extract<Input, { type: 'originChanged' }>, nowMs: number): void {
    if (input.state === 'closed') {
      this.cancelAll()
      if (this.#self !== undefined) this.keepers.remove(this.#self)
      this.#self = undefined
      return
    }
    if (this.#self === undefined) {
      this.#company.handleOpened(nowMs)
      this.#selfReliance.recordProgress(nowMs)
    }
    this.#self = input.self
    this.#rank = rankOf(input.self)
    this.#isSequential = input.isSequential
    this.#windowBytes = input.windowBytes
    this.#picker.begin(this.#rank)
  }

  /** A search ended. `isFinal`: it found all that there is to find. */
  handleSearched(isFinal: boolean, nowMs: number): void {
    this.#company.handleSearched(isFinal, nowMs)
  }

  handleJoined(neighbour: Neighbour, nowMs: number): void {
    this.#news.admit(neighbour)
    if (this.#company.meet(nowMs)) {
      this.#selfReliance.recordProgress(nowMs)
      // Who was alone offers itself afresh, if then still lacking: so it displaces nobody in the list of
      // those that it meets.
      if (this.#self !== undefined && !this.#isSequential) this.keepers.remove(this.#self)
    }
    if (this.keepers.size > 0) this.#news.note()
  }

  handleLeft(neighbour: Neighbour, nowMs: number): void {
    this.#news.forget(neighbour)
    this.keepers.suspect(neighbour.key, nowMs)
    if (this.#state.neighbourOf.size > 0) return
    this.#company.handleLonely(nowMs)
  }

  /** A neighbour said who the keepers are. Those that we do not know as peers are worth knowing. */
  handleKeepers(neighbour: Neighbour, entries: readonly { peer: PeerKey; beat: number }[], nowMs: number): void {
    this.#news.record(neighbour, entries, this.#self, nowMs)
  }

  /**
   * A neighbour got a piece: keepers do their work, for others at least. One that delivered nothing is
   * believed a few times.
   */
  handleHave({ download }: Neighbour, nowMs: number): void {
    if (download.isProven || download.newsCredit-- > 0) this.#selfReliance.recordProgress(nowMs)
  }

  /** Another keeper fetches these. */
  handleTaking(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    const isBetter = rankOf(neighbour.key) < this.#rank
    let yielded: number[] | undefined
    for (const piece of pieces) {
      if (this.#state.status[piece] !== MISSING) continue
      this.#picker.recordTaken(piece, neighbour.key, nowMs)
      const sinceMs = this.#state.comingFromOrigin.get(piece)
      if (!isBetter || sinceMs === undefined || nowMs - sinceMs > ORIGIN.CLASH_MS) continue
      if (this.#selfReliance.allowance > 0) continue
      yielded ??= []
      yielded.push(piece)
    }
    if (yielded !== undefined) this.#cancel(yielded)
  }

  /** A whole piece came from the origin, asked for or not. */
  handleReceived(piece: number, nowMs: number): void {
    const state = this.#state
    if (!state.geometry.hasPiece(piece)) return
    const bytes = state.geometry.pieceBytes(piece)
    this.#fromOrigin.record(bytes, nowMs)
    this.#measured += bytes
    this.#originRate = this.#fromOrigin.rate(nowMs)
    this.#selfReliance.recordFromOrigin(this.#fromPeers.rate(nowMs) < ORIGIN.SLOW_SHARE * this.#originRate)
    if (!this.#coming.forget(piece)) for (const budget of this.#budgets) budget.spend(bytes, nowMs)
    if (state.status[piece] !== MISSING || !state.wants(piece)) return
    this.#downloader.cancelPiece(piece)
    this.#downloader.recordProgress(nowMs)
    state.status[piece] = VERIFYING
    state.verifying++
    state.table.removeMissing(piece)
    this.bytesFetched += bytes
    state.emit({ type: 'acceptOriginPiece', piece })
  }

  /** The piece did not match its hash, or could not be kept. */
  handleUnverified(piece: number): void {
    const state = this.#state
    if (state.status[piece] !== VERIFYING) return
    state.status[piece] = MISSING
    state.verifying--
    if (state.wants(piece)) state.table.addMissing(piece)
    this.bytesFetched -= state.geometry.pieceBytes(piece)
    this.#picker.lookAgain()
  }

  /** The origin will not give these now; not asked for again before `retryMs` have passed. */
  handleFailed(pieces: readonly number[], retryMs: number, nowMs: number): void {
    for (const piece of pieces) {
      if (!this.#coming.forget(piece)) continue
      this.#coming.refund(piece)
      this.#picker.recordFailed(piece, nowMs + retryMs)
    }
    this.#picker.lookAgain()
  }

  recordFromPeers(bytes: number, nowMs: number): void {
    this.#fromPeers.record(bytes, nowMs)
    this.#selfReliance.recordProgress(nowMs)
  }

  /** The piece came from elsewhere. */
  handleSettled(piece: number): void {
    this.#picker.forget(piece)
    if (this.#state.comingFromOrigin.has(piece)) this.#cancel([piece])
  }

  handleLost(): void {
    this.#picker.lookAgain()
  }

  cancelAll(): void {
    this.#cancel([...this.#state.comingFromOrigin.keys()])
  }

  /**
   * Several times a second: who is keeper, what has been heard, what to fetch. `lateMs`: by how much this
   * call missed its time.
   */
  housekeep(nowMs: number, lateMs: number): void {
    const state = this.#state
    this.#company.recordLateness(lateMs)
    this.keepers.expire(this.#self, nowMs)
    this.#keepMembership(nowMs)
    if (this.isKeeper && nowMs >= this.#beatMs && this.#isNeeded()) {
      this.#beatMs = nowMs + BEAT_MS
      const peer = this.#self as PeerKey
      if (this.keepers.record({ peer, beat: this.keepers.beatOf(peer) + 1 }, nowMs)) this.#news.note()
    }
    this.#yieldToOthers()
    const superseded: number[] = []
    if (this.#selfReliance.allowance === 0) {
      for (const piece of state.comingFromOrigin.keys()) if (this.#downloader.isExpected(piece)) superseded.push(piece)
    }
    this.#cancel(superseded)
    this.#picker.housekeep(nowMs)
    if (state.neighbourOf.size > 0) this.#selfReliance.review(state.neighbourOf.size, this.#rank / 2 ** 32, nowMs)
    this.#askOrigin(nowMs, true)
    this.#news.tell(nowMs)
  }

  /** After every input. Cheap when there is nothing to do. */
  advance(nowMs: number): void {
    this.#news.tell(nowMs)
    if (this.#self === undefined) return
    if (nowMs >= this.#growMs || this.#coming.bytes * 2 < this.#window(nowMs)) this.#askOrigin(nowMs, false)
  }

  assertInvariants(): void {
    this.#coming.assertInvariants()
    if (this.keepers.size > MAX_KEEPERS) throw new Error('too many keepers')
  }

  /** Offers ourselves when keepers are lacking; notes since when we are one. */
  #keepMembership(nowMs: number): void {
    const self = this.#self
    const state = this.#state
    if (self === undefined || state.isLeaving || state.isPaused) {
      if (self !== undefined) this.keepers.remove(self)
      this.#keeperSinceMs = Number.POSITIVE_INFINITY
      return
    }
    if (!this.keepers.has(self)) {
      this.#keeperSinceMs = Number.POSITIVE_INFINITY
      if (state.isComplete || this.keepers.size >= MAX_KEEPERS) return
      const hasCompany = this.#company.hasLasted(ORIGIN.PROPOSE_MS, nowMs)
      if (!hasCompany && !this.#company.isAlone(nowMs)) return
      if (!this.keepers.record({ peer: self, beat: 0 }, nowMs)) return
      this.#news.note()
      this.#beatMs = nowMs + BEAT_MS
    }
    this.#keeperSinceMs = Math.min(this.#keeperSinceMs, nowMs)
  }

  /**
   * The list of keepers changed: what we asked for and is another's now is left to it, what one took that has
   * gone is free.
   */
  #yieldToOthers(): void {
    if (this.#self === undefined || this.#yieldedVersion === this.keepers.version) return
    if (this.#selfReliance.allowance > 0) return
    this.#yieldedVersion = this.keepers.version
    const self = this.keepers.peers.indexOf(this.#self)
    this.#picker.lookAgain()
    this.#picker.forgetGone()
    const theirs: number[] = []
    for (const piece of this.#state.comingFromOrigin.keys()) {
      const first = this.keepers.size > 0 ? 0 : -1
      const owner = this.#isSequential ? first : this.#blocks.ownerOf(this.#blocks.blockOf(piece))
      if (owner >= 0 && owner !== self) theirs.push(piece)
    }
    this.#cancel(theirs)
  }

  /** A keeper's beat is worth telling while we or a neighbour miss something. */
  #isNeeded(): boolean {
    const { isComplete, neighbours, table, geometry } = this.#state
    if (!isComplete) return true
    return neighbours.some(neighbour => neighbour !== undefined && (table.held[neighbour.slot] as number) < geometry.pieceCount)
  }

  #window(nowMs: number): number {
    if (this.#isSequential) return Number.POSITIVE_INFINITY
    const isNew = this.#measured < ORIGIN.FIRST_WINDOW_BYTES
    const ahead = isNew ? ORIGIN.FIRST_WINDOW_BYTES : (this.#fromOrigin.rate(nowMs) * ORIGIN.WINDOW_MS) / 1000
    const window = Math.max(this.#blocks.pieces * this.#state.geometry.pieceLength, Math.min(this.#windowBytes, ahead))
    return Math.min(window, this.#company.allowance(this.bytesFetched, nowMs))
  }

  /** Asks for more while there is room. `isHousekeeping`: also looks at what only time brings up. */
  #askOrigin(nowMs: number, isHousekeeping: boolean): void {
    const state = this.#state
    this.#growMs =
      this.isKeeper && this.#company.allowance(this.bytesFetched, nowMs) < Number.POSITIVE_INFINITY
        ? nowMs + ORIGIN.GROW_MS
        : Number.POSITIVE_INFINITY
    if (this.#self === undefined || state.isComplete || state.isPaused || state.isLeaving || state.storeFault !== undefined)
      return
    const pieces: number[] = []
    if (this.#downloader.readers.size > 0) this.#picker.pickForReaders(pieces, this.#mayFetch(nowMs), nowMs)
    if (this.#mayFetch(nowMs)) {
      if (!this.#picker.isExhausted) {
        const holders = this.#holdersAllowed(nowMs)
        this.#picker.pickOwn(pieces, { self: this.#self, isSequential: this.#isSequential, holders }, nowMs)
      }
      const isIdle = pieces.length === 0 && this.#coming.bytes === 0
      this.#idleSinceMs = isIdle ? Math.min(this.#idleSinceMs, nowMs) : Number.POSITIVE_INFINITY
      if (isIdle && isHousekeeping && nowMs - this.#idleSinceMs >= ORIGIN.STEAL_MS)
        this.#picker.pickFromOthers(pieces, this.#self, nowMs - this.#idleSinceMs, nowMs)
    }
    if (this.#selfReliance.allowance > 0 && pieces.length === 0) this.#picker.pickAny(pieces, this.#selfReliance.allowance, nowMs)
    if (pieces.length === 0) return
    state.emit({ type: 'fetchFromOrigin', pieces })
    if (this.#isSequential) return
    for (const batch of perMessage(pieces)) {
      for (const peer of this.keepers.peers) {
        const neighbour = state.neighbourOf.get(peer)
        if (neighbour !== undefined) state.send(neighbour, { type: 'taking', pieces: batch })
      }
    }
  }

  #mayFetch(nowMs: number): boolean {
    if (!this.isKeeper) return false
    // A server without ranges gives all or nothing: one reads it for everybody.
    if (this.#isSequential && this.keepers.peers[0] !== this.#self) return false
    if (this.#company.isAlone(nowMs)) return true
    // From the first neighbour on: what it knows of others comes in the same time as if we had just become
    // keeper.
    return this.#company.hasKnownKeeperFor(ORIGIN.STABLE_MS, this.#keeperSinceMs, nowMs)
  }

  /**
   * Most neighbours that may hold a piece which we fetch from the origin all the same: none while peers are
   * quick.
   */
  #holdersAllowed(nowMs: number): number {
    const state = this.#state
    if (!this.#company.hasShown(ORIGIN.JUDGE_PEERS_MS, nowMs)) return 0
    const peerRate = this.#fromPeers.rate(nowMs)
    const missingBytes = state.wantedMissing * state.geometry.pieceLength
    const isSlow =
      this.#measured === 0
        ? this.#coming.bytes === 0 && missingBytes > (peerRate * ORIGIN.WORTH_TRYING_MS) / 1000
        : peerRate < ORIGIN.SLOW_SHARE * this.#originRate
    if (!isSlow) return 0
    return this.keepers.size === 1 ? Number.POSITIVE_INFINITY : ORIGIN.FEW_HOLDERS
  }

  #hasRoom(nowMs: number): boolean {
    if (this.#coming.bytes >= this.#window(nowMs)) return false
    if (this.#isSequential) return true
    if (this.#downloader.pendingPieces + this.#state.verifying + this.#state.comingFromOrigin.size >= this.#downloader.capacity)
      return false
    return this.#budgets.every(budget => budget.canSpend(nowMs))
  }

  #cancel(pieces: readonly number[]): void {
    if (pieces.length === 0) return
    for (const piece of pieces) if (this.#coming.forget(piece)) this.#coming.refund(piece)
    this.#state.emit({ type: 'cancelFromOrigin', pieces: [...pieces] })
    this.#picker.lookAgain()
  }
}
