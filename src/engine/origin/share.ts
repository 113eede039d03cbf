/**
 * Our share of what the swarm takes from the content's origin (an HTTP(S) server that holds all of it).
 *
 * The swarm as a whole should take about one copy: a few *keepers* (keepers.ts) fetch, each the blocks that are its own, and serve
 * them on; everybody else leaves the origin alone. A keeper that has nothing left to fetch takes over blocks of others that nobody has
 * yet, telling the other keepers (`taking`). A peer that knows nobody is its own keeper. Whoever is starved in spite of living
 * keepers (they lie, or their origin is out of reach) helps itself after a while, staggered by rank.
 *
 * What peers have is left to peers, unless they are slower than the origin: then a keeper fetches its own blocks nevertheless, which
 * no other keeper does, so that the sum stays at one copy.
 *
 * Invariants: a piece that comes from the origin is MISSING and in `state.comingFromOrigin`; bytes under way stay within the window;
 * nothing is fetched while paused, leaving or without room on disk. Used by swarm.ts.
 */

import type { RateBudget } from '../../util/rate-budget.ts'
import { MAX_PIECES_PER_MESSAGE } from '../../wire/messages.ts'
import type { Input, PeerKey } from '../contract.ts'
import type { Downloader } from '../download/downloader.ts'
import type { Neighbour } from '../neighbour.ts'
import { RecentRate } from '../recent-rate.ts'
import { MISSING, type SwarmState, VERIFYING } from '../state.ts'
import { ORIGIN } from '../tunables.ts'
import { BEAT_MS, Keepers, MAX_KEEPERS, mix, rankOf } from './election.ts'
import { SelfReliance } from './self-reliance.ts'

/** What is known of other peers. */
interface KnownPeers {
  /** Some have not failed to answer. */
  readonly hasUntried: boolean
  readonly candidateCount: number
}

export class OriginShare {
  readonly #state: SwarmState
  readonly #downloader: Downloader
  readonly #budgets: readonly RateBudget[]
  readonly #peers: KnownPeers
  readonly keepers = new Keepers()
  #lenienceMs = 0
  readonly #fromOrigin: RecentRate
  readonly #fromPeers: RecentRate
  readonly #selfReliance: SelfReliance
  /** Per slot: the highest beat of each keeper that this neighbour is known to know. */
  readonly #known: (Map<PeerKey, number> | undefined)[] = []
  /** Pieces that another keeper takes, and until when that counts. */
  readonly #taken = new Map<number, { by: PeerKey; untilMs: number }>()
  /** Pieces that the origin failed to give, until when. */
  readonly #failedUntilMs = new Map<number, number>()
  readonly #blockPieces: number
  readonly #blockCount: number
  #owners: Int8Array
  #ownersVersion = -1
  #yieldedVersion = -1
  #self: PeerKey | undefined
  #rank = 0
  #isSequential = false
  #windowBytes = 0
  #openedMs = 0
  #searchedMs = Number.POSITIVE_INFINITY
  #keeperSinceMs = Number.POSITIVE_INFINITY
  #lonelySinceMs = Number.NEGATIVE_INFINITY
  #isSurelyAlone = false
  #growMs = Number.POSITIVE_INFINITY
  #companySinceMs = Number.POSITIVE_INFINITY
  #beatMs = 0
  #toldMs = Number.NEGATIVE_INFINITY
  #isNews = false
  #cursor = 0
  #anyCursor = 0
  #exhaustedMs = Number.NEGATIVE_INFINITY
  #idleSinceMs = Number.POSITIVE_INFINITY
  #bytesComing = 0
  #measured = 0
  /** Bytes per second when the origin last gave something. */
  #originRate = 0
  bytesFetched = 0

  constructor(state: SwarmState, downloader: Downloader, budgets: readonly RateBudget[], peers: KnownPeers, nowMs: number) {
    this.#state = state
    this.#downloader = downloader
    this.#budgets = budgets
    this.#peers = peers
    this.#fromOrigin = new RecentRate(nowMs)
    this.#fromPeers = new RecentRate(nowMs)
    this.#selfReliance = new SelfReliance(nowMs)
    const { pieceCount, pieceLength } = state.geometry
    const fair = Math.ceil(pieceCount / (MAX_KEEPERS * ORIGIN.BLOCKS_PER_KEEPER))
    this.#blockPieces = Math.max(1, Math.min(Math.floor(ORIGIN.BLOCK_BYTES / pieceLength), fair))
    this.#blockCount = Math.ceil(pieceCount / this.#blockPieces)
    this.#owners = new Int8Array(0)
  }

  get isOpen(): boolean {
    return this.#self !== undefined
  }

  get isKeeper(): boolean {
    return this.#self !== undefined && this.keepers.has(this.#self)
  }

  /** When {@link advance} has something to do although nothing arrives. */
  get wakeMs(): number {
    return Math.min(this.#growMs, this.#isNews ? this.#toldMs + ORIGIN.TELL_MS : Number.POSITIVE_INFINITY)
  }

  handleChanged(input: Extract<Input, { type: 'originChanged' }>, nowMs: number): void {
    if (input.state === 'closed') {
      this.cancelAll()
      if (this.#self !== undefined) this.keepers.remove(this.#self)
      this.#self = undefined
      return
    }
    if (this.#self === undefined) {
      this.#openedMs = nowMs
      this.#selfReliance.recordProgress(nowMs)
    }
    this.#self = input.self
    this.#rank = rankOf(input.self)
    this.#isSequential = input.isSequential
    this.#windowBytes = input.windowBytes
    this.#failedUntilMs.clear()
    this.#lookAgain()
    if (this.#cursor === 0) this.#cursor = mix(this.#rank) % Math.max(1, this.#blockCount)
    this.#anyCursor = mix(this.#rank ^ 0x27d4eb2f) % Math.max(1, this.#state.geometry.pieceCount)
  }

  /** A search ended. `isFinal`: it found all that there is to find. */
  handleSearched(isFinal: boolean, nowMs: number): void {
    this.#searchedMs = Math.min(this.#searchedMs, nowMs)
    this.#isSurelyAlone = isFinal
  }

  handleJoined(neighbour: Neighbour, nowMs: number): void {
    this.#known[neighbour.slot] = new Map()
    if (this.#companySinceMs === Number.POSITIVE_INFINITY) {
      this.#companySinceMs = nowMs
      this.#selfReliance.recordProgress(nowMs)
      // Who was alone offers itself afresh, if then still lacking: so it displaces nobody in the list of those that it meets.
      if (this.#self !== undefined && !this.#isSequential) this.keepers.remove(this.#self)
    }
    if (this.keepers.size > 0) this.#isNews = true
  }

  handleLeft(neighbour: Neighbour, nowMs: number): void {
    this.#known[neighbour.slot] = undefined
    this.keepers.suspect(neighbour.key, nowMs)
    if (this.#state.neighbourOf.size > 0) return
    this.#companySinceMs = Number.POSITIVE_INFINITY
    this.#lonelySinceMs = nowMs
  }

  /** A neighbour said who the keepers are. Those that we do not know as peers are worth knowing. */
  handleKeepers(neighbour: Neighbour, entries: readonly { peer: PeerKey; beat: number }[], nowMs: number): void {
    const known = this.#known[neighbour.slot]
    for (const { peer, beat } of entries) {
      if (peer === this.#self) {
        // What others remember of us from before a restart must not stand above what we say now.
        if (beat > this.keepers.beatOf(peer) && this.keepers.has(peer))
          this.#isNews = this.keepers.record({ peer, beat: beat + 1 }, nowMs)
        continue
      }
      if (this.keepers.record({ peer, beat }, nowMs)) this.#isNews = true
      if (known !== undefined && beat > (known.get(peer) ?? -1)) known.set(peer, beat)
    }
    if (known !== undefined && known.size > 4 * MAX_KEEPERS)
      for (const peer of known.keys()) if (!this.keepers.has(peer)) known.delete(peer)
  }

  /** A neighbour got a piece: keepers do their work, for others at least. One that delivered nothing is believed a few times. */
  handleHave({ download }: Neighbour, nowMs: number): void {
    if (download.isProven || download.newsCredit-- > 0) this.#selfReliance.recordProgress(nowMs)
  }

  /** Another keeper fetches these. */
  handleTaking(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    const isBetter = rankOf(neighbour.key) < this.#rank
    let yielded: number[] | undefined
    for (const piece of pieces) {
      if (this.#state.status[piece] !== MISSING) continue
      this.#taken.set(piece, { by: neighbour.key, untilMs: nowMs + ORIGIN.TAKEN_MS })
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
    if (!this.#forget(piece)) for (const budget of this.#budgets) budget.spend(bytes, nowMs)
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
    this.#lookAgain()
  }

  /** The origin will not give these now; not asked for again before `retryMs` have passed. */
  handleFailed(pieces: readonly number[], retryMs: number, nowMs: number): void {
    for (const piece of pieces) {
      if (!this.#forget(piece)) continue
      this.#refund(piece)
      this.#failedUntilMs.set(piece, nowMs + retryMs)
    }
    this.#lookAgain()
  }

  recordFromPeers(bytes: number, nowMs: number): void {
    this.#fromPeers.record(bytes, nowMs)
    this.#selfReliance.recordProgress(nowMs)
  }

  /** The piece came from elsewhere. */
  handleSettled(piece: number): void {
    this.#taken.delete(piece)
    this.#failedUntilMs.delete(piece)
    if (this.#state.comingFromOrigin.has(piece)) this.#cancel([piece])
  }

  handleLost(): void {
    this.#lookAgain()
  }

  cancelAll(): void {
    this.#cancel([...this.#state.comingFromOrigin.keys()])
  }

  /** Several times a second: who is keeper, what has been heard, what to fetch. `lateMs`: by how much this call missed its time. */
  housekeep(nowMs: number, lateMs: number): void {
    const state = this.#state
    this.#lenienceMs = Math.min(
      ORIGIN.MAX_LENIENCE_MS,
      Math.max(lateMs * ORIGIN.LATENESS_FACTOR, this.#lenienceMs * ORIGIN.LENIENCE_SHARE)
    )
    this.keepers.expire(this.#self, nowMs)
    this.#keepMembership(nowMs)
    if (this.isKeeper && nowMs >= this.#beatMs && this.#isNeeded()) {
      this.#beatMs = nowMs + BEAT_MS
      const peer = this.#self as PeerKey
      if (this.keepers.record({ peer, beat: this.keepers.beatOf(peer) + 1 }, nowMs)) this.#isNews = true
    }
    this.#yieldToOthers()
    const superseded: number[] = []
    if (this.#selfReliance.allowance === 0) {
      for (const piece of state.comingFromOrigin.keys()) if (this.#downloader.isExpected(piece)) superseded.push(piece)
    }
    this.#cancel(superseded)
    for (const [piece, { untilMs }] of this.#taken) if (untilMs <= nowMs) this.#taken.delete(piece)
    if (nowMs - this.#exhaustedMs >= ORIGIN.LOOK_AGAIN_MS) this.#lookAgain()
    if (state.neighbourOf.size > 0) this.#selfReliance.review(state.neighbourOf.size, this.#rank / 2 ** 32, nowMs)
    this.#askOrigin(nowMs, true)
    if (this.#isNews && nowMs >= this.#toldMs + ORIGIN.TELL_MS) this.#tell(nowMs)
  }

  /** After every input. Cheap when there is nothing to do. */
  advance(nowMs: number): void {
    if (this.#isNews && nowMs >= this.#toldMs + ORIGIN.TELL_MS) this.#tell(nowMs)
    if (this.#self === undefined) return
    if (nowMs >= this.#growMs || this.#bytesComing * 2 < this.#window(nowMs)) this.#askOrigin(nowMs, false)
  }

  assertInvariants(): void {
    const { comingFromOrigin, status, geometry } = this.#state
    let bytes = 0
    for (const piece of comingFromOrigin.keys()) {
      if (status[piece] !== MISSING) throw new Error(`piece ${piece} comes from the origin and is not missing`)
      bytes += geometry.pieceBytes(piece)
    }
    if (bytes !== this.#bytesComing) throw new Error('bytes coming from the origin are counted wrongly')
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
      const hasCompany = nowMs - Math.max(this.#companySinceMs, this.#openedMs) >= ORIGIN.PROPOSE_MS + this.#lenienceMs
      if (!hasCompany && !this.#isAlone(nowMs)) return
      if (!this.keepers.record({ peer: self, beat: 0 }, nowMs)) return
      this.#isNews = true
      this.#beatMs = nowMs + BEAT_MS
    }
    this.#keeperSinceMs = Math.min(this.#keeperSinceMs, nowMs)
  }

  /** The list of keepers changed: what we asked for and is another's now is left to it, what one took that has gone is free. */
  #yieldToOthers(): void {
    if (this.#self === undefined || this.#yieldedVersion === this.keepers.version) return
    if (this.#selfReliance.allowance > 0) return
    this.#yieldedVersion = this.keepers.version
    const self = this.keepers.peers.indexOf(this.#self)
    this.#refreshOwners()
    this.#lookAgain()
    for (const [piece, { by }] of this.#taken) if (!this.keepers.has(by)) this.#taken.delete(piece)
    const theirs: number[] = []
    for (const piece of this.#state.comingFromOrigin.keys()) {
      const owner = this.#isSequential
        ? this.keepers.size > 0
          ? 0
          : -1
        : (this.#owners[Math.floor(piece / this.#blockPieces)] as number)
      if (owner >= 0 && owner !== self) theirs.push(piece)
    }
    this.#cancel(theirs)
  }

  #isAlone(nowMs: number): boolean {
    if (this.#state.neighbourOf.size > 0) return false
    if (this.#peers.hasUntried) return nowMs - Math.max(this.#lonelySinceMs, this.#openedMs) >= ORIGIN.DESERTED_MS
    return this.#searchedMs <= nowMs && nowMs - this.#lonelySinceMs >= ORIGIN.ALONE_MS
  }

  /** A keeper's beat is worth telling while we or a neighbour miss something. */
  #isNeeded(): boolean {
    const { isComplete, neighbours, table, geometry } = this.#state
    if (!isComplete) return true
    return neighbours.some(neighbour => neighbour !== undefined && (table.held[neighbour.slot] as number) < geometry.pieceCount)
  }

  /** Tells each neighbour what it is not known to know. */
  #tell(nowMs: number): void {
    this.#isNews = false
    this.#toldMs = nowMs
    const entries = this.keepers.entries()
    for (const neighbour of this.#state.neighbours) {
      const known = neighbour === undefined ? undefined : this.#known[neighbour.slot]
      if (neighbour === undefined || known === undefined) continue
      const news = entries.filter(({ peer, beat }) => beat > (known.get(peer) ?? -1) && peer !== neighbour.key)
      if (news.length === 0) continue
      for (const { peer, beat } of news) known.set(peer, beat)
      this.#state.send(neighbour, { type: 'keepers', keepers: news.map(entry => ({ ...entry, addresses: [] })) })
    }
  }

  #window(nowMs: number): number {
    if (this.#isSequential) return Number.POSITIVE_INFINITY
    const isNew = this.#measured < ORIGIN.FIRST_WINDOW_BYTES
    const ahead = isNew ? ORIGIN.FIRST_WINDOW_BYTES : (this.#fromOrigin.rate(nowMs) * ORIGIN.WINDOW_MS) / 1000
    const window = Math.max(this.#blockPieces * this.#state.geometry.pieceLength, Math.min(this.#windowBytes, ahead))
    return Math.min(window, this.#allowanceWhenAlone(nowMs))
  }

  /** What may be under way while it is not sure that we are alone, see {@link ORIGIN.FIRST_SHARE}. */
  #allowanceWhenAlone(nowMs: number): number {
    const aloneMs = nowMs - Math.max(this.#searchedMs, this.#openedMs)
    const surelyMs = ORIGIN.SURELY_ALONE_MS + 2 * this.#lenienceMs
    if (this.#isSurelyAlone || aloneMs >= surelyMs || !this.#isAlone(nowMs)) return Number.POSITIVE_INFINITY
    const { length, pieceLength } = this.#state.geometry
    const share = ORIGIN.FIRST_SHARE + (aloneMs / surelyMs) ** 3
    return Math.max(2 * pieceLength, length * share) - this.bytesFetched
  }

  /** Asks for more while there is room. `isHousekeeping`: also looks at what only time brings up. */
  #askOrigin(nowMs: number, isHousekeeping: boolean): void {
    const state = this.#state
    this.#growMs =
      this.isKeeper && this.#allowanceWhenAlone(nowMs) < Number.POSITIVE_INFINITY
        ? nowMs + ORIGIN.GROW_MS
        : Number.POSITIVE_INFINITY
    if (this.#self === undefined || state.isComplete || state.isPaused || state.isLeaving || state.storeFault !== undefined)
      return
    const pieces: number[] = []
    if (this.#downloader.readers.size > 0) this.#pickForReaders(pieces, nowMs)
    if (this.#mayFetch(nowMs)) {
      if (nowMs !== this.#exhaustedMs) this.#pickOwn(pieces, nowMs)
      const isIdle = pieces.length === 0 && this.#bytesComing === 0
      this.#idleSinceMs = isIdle ? Math.min(this.#idleSinceMs, nowMs) : Number.POSITIVE_INFINITY
      if (isIdle && isHousekeeping && nowMs - this.#idleSinceMs >= ORIGIN.STEAL_MS) this.#pickFromOthers(pieces, nowMs)
    }
    if (this.#selfReliance.allowance > 0 && pieces.length === 0) this.#pickAny(pieces, nowMs)
    if (pieces.length === 0) return
    state.emit({ type: 'fetchFromOrigin', pieces })
    if (this.#isSequential) return
    for (let start = 0; start < pieces.length; start += MAX_PIECES_PER_MESSAGE) {
      const batch = pieces.slice(start, start + MAX_PIECES_PER_MESSAGE)
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
    if (this.#isAlone(nowMs)) return true
    // From the first neighbour on: what it knows of others comes in the same time as if we had just become keeper.
    return nowMs - Math.max(this.#keeperSinceMs, this.#companySinceMs) >= ORIGIN.STABLE_MS + this.#lenienceMs
  }

  /** Whatever is missing, from a place of our own on: for once nobody else is believed to fetch it. */
  #pickAny(pieces: number[], nowMs: number): void {
    const { comingFromOrigin, geometry } = this.#state
    const { pieceCount } = geometry
    for (let looked = 0; looked < pieceCount; looked++) {
      if (comingFromOrigin.size >= this.#selfReliance.allowance || !this.#hasRoom(nowMs)) return
      const piece = this.#anyCursor
      if (this.#isAskable(piece, nowMs)) this.#take(piece, pieces, nowMs)
      this.#anyCursor = (piece + 1) % pieceCount
    }
  }

  /** Pieces that a reader stands at. */
  #pickForReaders(pieces: number[], nowMs: number): void {
    for (const { first, last, movedMs } of this.#downloader.readers.all()) {
      const isMine = this.#mayFetch(nowMs)
      if (!isMine && nowMs - Math.max(movedMs, this.#downloader.lastPieceMs) < ORIGIN.READER_PATIENCE_MS) continue
      for (let piece = first; piece <= last && piece < first + this.#blockPieces; piece++) {
        if (!this.#hasRoom(nowMs)) return
        if (this.#isFetchable(piece, 0, nowMs)) this.#take(piece, pieces, nowMs)
      }
    }
  }

  /** Our own blocks, from the cursor on. */
  #pickOwn(pieces: number[], nowMs: number): void {
    if (this.#exhaustedMs !== Number.NEGATIVE_INFINITY) return
    const self = this.keepers.peers.indexOf(this.#self as PeerKey)
    this.#refreshOwners()
    const holdersAllowed = this.#holdersAllowed(nowMs)
    for (let looked = 0; looked < this.#blockCount; looked++) {
      const block = this.#cursor
      if (this.#owners[block] === self || this.#isSequential) {
        const end = Math.min(this.#state.geometry.pieceCount, (block + 1) * this.#blockPieces)
        for (let piece = block * this.#blockPieces; piece < end; piece++) {
          if (!this.#isFetchable(piece, holdersAllowed, nowMs)) continue
          if (!this.#hasRoom(nowMs)) return
          this.#take(piece, pieces, nowMs)
        }
      }
      this.#cursor = (block + 1) % this.#blockCount
    }
    this.#exhaustedMs = nowMs
  }

  /** A block of another keeper that nobody has and nobody said to be fetching. */
  #pickFromOthers(pieces: number[], nowMs: number): void {
    const { peers } = this.keepers
    const idleMs = nowMs - this.#idleSinceMs
    const start = mix(this.#rank ^ 0x5bd1e995) % this.#blockCount
    for (let looked = 0; looked < this.#blockCount && pieces.length === 0; looked++) {
      // Against the direction in which owners go.
      const block = (start - looked + this.#blockCount) % this.#blockCount
      const owner = peers[this.#owners[block] as number]
      if (owner === this.#self) continue
      const isSeen = owner === undefined || this.#state.neighbourOf.has(owner)
      if (isSeen || idleMs >= ORIGIN.STEAL_UNSEEN_MS) this.#pickBlock(block, pieces, nowMs)
    }
  }

  #pickBlock(block: number, pieces: number[], nowMs: number): void {
    const end = Math.min(this.#state.geometry.pieceCount, (block + 1) * this.#blockPieces)
    for (let piece = block * this.#blockPieces; piece < end && this.#hasRoom(nowMs); piece++) {
      if (this.#isFetchable(piece, 0, nowMs)) this.#take(piece, pieces, nowMs)
    }
    if (pieces.length === 0 && block === this.#cursor) this.#cursor = (block + 1) % this.#blockCount
  }

  #refreshOwners(): void {
    if (this.#ownersVersion === this.keepers.version) return
    this.#ownersVersion = this.keepers.version
    if (this.#owners.length === 0) this.#owners = new Int8Array(this.#blockCount)
    for (let block = 0; block < this.#blockCount; block++) this.#owners[block] = this.keepers.ownerOf(block)
  }

  #isFetchable(piece: number, holdersAllowed: number, nowMs: number): boolean {
    if (this.#state.table.holdersOf(piece) > holdersAllowed || this.#taken.has(piece)) return false
    return !this.#downloader.isExpected(piece) && this.#isAskable(piece, nowMs)
  }

  /** Missing, not on its way from the origin, and not refused by it of late. */
  #isAskable(piece: number, nowMs: number): boolean {
    const state = this.#state
    if (state.status[piece] !== MISSING || !state.wants(piece) || state.comingFromOrigin.has(piece)) return false
    const failedUntilMs = this.#failedUntilMs.get(piece)
    if (failedUntilMs === undefined) return true
    if (failedUntilMs > nowMs) return false
    this.#failedUntilMs.delete(piece)
    return true
  }

  /** Most neighbours that may hold a piece which we fetch from the origin all the same: none while peers are quick. */
  #holdersAllowed(nowMs: number): number {
    const state = this.#state
    if (nowMs - Math.max(this.#openedMs, this.#companySinceMs) < ORIGIN.JUDGE_PEERS_MS) return 0
    const peerRate = this.#fromPeers.rate(nowMs)
    const missingBytes = state.wantedMissing * state.geometry.pieceLength
    const isSlow =
      this.#measured === 0
        ? this.#bytesComing === 0 && missingBytes > (peerRate * ORIGIN.WORTH_TRYING_MS) / 1000
        : peerRate < ORIGIN.SLOW_SHARE * this.#originRate
    if (!isSlow) return 0
    return this.keepers.size === 1 ? Number.POSITIVE_INFINITY : ORIGIN.FEW_HOLDERS
  }

  #hasRoom(nowMs: number): boolean {
    if (this.#bytesComing >= this.#window(nowMs)) return false
    if (this.#isSequential) return true
    if (this.#downloader.pendingPieces + this.#state.verifying + this.#state.comingFromOrigin.size >= this.#downloader.capacity)
      return false
    return this.#budgets.every(budget => budget.canSpend(nowMs))
  }

  #take(piece: number, pieces: number[], nowMs: number): void {
    const bytes = this.#state.geometry.pieceBytes(piece)
    this.#state.comingFromOrigin.set(piece, nowMs)
    this.#bytesComing += bytes
    for (const budget of this.#budgets) budget.spend(bytes, nowMs)
    pieces.push(piece)
  }

  /** The piece is no longer under way; false when it was not. */
  #forget(piece: number): boolean {
    if (!this.#state.comingFromOrigin.delete(piece)) return false
    this.#bytesComing -= this.#state.geometry.pieceBytes(piece)
    return true
  }

  #refund(piece: number): void {
    for (const budget of this.#budgets) budget.refund(this.#state.geometry.pieceBytes(piece))
  }

  #cancel(pieces: readonly number[]): void {
    if (pieces.length === 0) return
    for (const piece of pieces) if (this.#forget(piece)) this.#refund(piece)
    this.#state.emit({ type: 'cancelFromOrigin', pieces: [...pieces] })
    this.#lookAgain()
  }

  #lookAgain(): void {
    this.#exhaustedMs = Number.NEGATIVE_INFINITY
  }
}
