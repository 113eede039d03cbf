/**
 * The downloading half: which offers to take, what to ask for ourselves, and what became of it.
 *
 * Normally uploaders choose and we only say yes or no: no to what we have, expect elsewhere, or cannot take now. We ask by ourselves
 * (pull) for what a reader waits for, when nobody offers, from peers that never offer, and for pieces whose sender is late.
 *
 * Invariants: at most one peer is expected to send a piece, and one more when it is late or urgent; a piece is accepted only from a
 * peer that was asked for it and at most once; pieces expected and being verified stay within `maxPendingPieces` and
 * `maxPendingBytes`. Used by swarm.ts.
 */

import type { Random } from '../util/random.ts'
import { MAX_PIECES_PER_MESSAGE, type RejectReason } from '../wire/messages.ts'
import { DownlinkModel } from './downlink-model.ts'
import { FARTHEST } from './locality.ts'
import type { Neighbour } from './neighbour.ts'
import type { RateBudget } from './rate-budget.ts'
import { HAVE, MISSING, type SwarmState, VERIFYING } from './state.ts'

const NOBODY = -1
/**
 * A piece is late when it takes this many times its sender's usual time, and at least that long. At one second, short stalls of a busy
 * machine and pieces of 0.4 s (256 KiB at 5 Mbit/s) counted as late: 60 nodes took 1.3 instead of 1.08 T*, and the seeder repeated itself.
 */
const LATE_FACTOR = 3
const MIN_LATE_MS = 2000
const FIRST_LATE_MS = 5000
const FIRST_LATE_FACTOR = 4
/** The same when everything missing is on its way, in terms of what pieces usually take. */
const ENDGAME_LATE_FACTOR = 2
const MIN_ENDGAME_LATE_MS = 1000
const TIMEOUT_FACTOR = 6
const MIN_TIMEOUT_MS = 3000
/** How long a leecher without any piece waits for the first one before it takes more, in ms. */
const FIRST_PIECE_MS = 2000
/**
 * Allowed to be pending however long pieces are. 40 leechers with unequal uplinks and pieces of 16 MiB take 2.8 times the bound with two, 1.34 with four
 * and 1.08 with eight.
 */
const MIN_PENDING_PIECES = 8
/** Late pieces that may be asked of a second peer at the same time. */
const MAX_DUPLICATES = 4
/** Requests in flight to one peer that only answers requests. */
const MAX_PULL_DEPTH = 256
/** Requests in flight to one peer when nobody offers at all (for comparison: BitTorrent's habit). */
const PULL_ONLY_DEPTH = 4
/** Pieces looked at for one choice. */
const MAX_LOOKS = 512
/** Readers served at once; more wait for no deadline of ours. */
export const MAX_READERS = 64
/** Pieces of a reader's window asked for ahead. */
const READER_AHEAD = 32
/** The same until its first piece is there: what other peers send sooner would stand before that on the downlink. */
const READER_START = 3
/** Urgent requests waiting at one peer. */
const READER_DEPTH = 2
const STARVED_PULLS = 2
/** Nothing has come for this many times what a piece usually takes: starved. */
const STARVED_FACTOR = 4
/** How many times what a piece takes the number of its copies may need to double: an uplink is shared by some pieces. */
const FIRST_PIECES_PER_DOUBLING = 3
/** A piece that comes from the origin may be taken from a peer after this long. */
const ORIGIN_LATE_MS = 5000

/** Offers held back by the download limit at once, and for how long at most; the rest are turned down. */
const MAX_HELD = 64
const HELD_MS = 2000

interface Held {
  readonly neighbour: Neighbour
  readonly piece: number
  readonly atMs: number
}

interface Reader {
  first: number
  last: number
  deadlineMs: number
  /** When it came to stand at `first`. */
  movedMs: number
  /** The first piece that it asked for has not come yet. */
  isStarting: boolean
}

/** How long a near neighbour's word that it fetches a piece keeps us from taking it from afar. */
const TAKEN_MS = 15_000

export class Downloader {
  readonly #state: SwarmState
  readonly #random: Random
  readonly #budgets: readonly RateBudget[]
  /** Slot expected to send the piece, or NOBODY. */
  readonly #from: Int16Array
  /** A second slot asked for a late or urgent piece, or NOBODY. */
  readonly #alsoFrom: Int16Array
  readonly #sinceMs: Float64Array
  /** Bytes received in all when the piece was requested. */
  readonly #bytesBefore: Float64Array
  readonly #model: DownlinkModel
  /** Asked without an offer: an offer by another peer replaces it. */
  readonly #isPulled: Uint8Array
  /** Pending pieces, oldest first (insertion order). */
  readonly #pending = new Set<number>()
  /** Missing pieces that a near neighbour said it is fetching from afar. */
  readonly #takenNear = new Map<number, { readonly neighbour: Neighbour; readonly atMs: number }>()
  /** Per slot: pieces that we asked it for and that it may still send, even after we gave up. */
  readonly #asked: (Set<number> | undefined)[] = []
  readonly #readers = new Map<string, Reader>()
  /** Offers that only the download limit keeps us from taking, oldest first. Turning them down would make the uploader back off. */
  #held: Held[] = []
  /** Offers taken since neighbours were last told what we expect. */
  readonly #untold = new Set<number>()
  /** Neighbours were told that we expect it. */
  readonly #isTold: Uint8Array
  /** Such pieces that do not come after all. */
  readonly #retracted = new Set<number>()
  /** Pieces whose sender failed us. Others were told that we expect them and will not offer them for long, so we ask by ourselves. */
  readonly #orphans = new Set<number>()
  /** Neighbours that let a request time out lately. */
  readonly #timedOut = new Set<Neighbour>()
  /** Whether any neighbour ever sent what we asked for without an offer. */
  #hasPulled = false
  #duplicates = 0
  #lastPieceMs: number
  #tookOfferMs = Number.NEGATIVE_INFINITY
  #wakeMs = Number.POSITIVE_INFINITY
  bytesDownloaded = 0
  bytesWasted = 0
  /** Pieces received that were not needed. */
  piecesWasted = 0

  constructor(state: SwarmState, random: Random, budgets: readonly RateBudget[], nowMs: number) {
    this.#state = state
    this.#random = random
    this.#budgets = budgets
    this.#lastPieceMs = nowMs
    const { pieceCount } = state.geometry
    this.#from = new Int16Array(pieceCount).fill(NOBODY)
    this.#alsoFrom = new Int16Array(pieceCount).fill(NOBODY)
    this.#sinceMs = new Float64Array(pieceCount)
    this.#bytesBefore = new Float64Array(pieceCount)
    this.#model = new DownlinkModel(nowMs)
    this.#isPulled = new Uint8Array(pieceCount)
    this.#isTold = new Uint8Array(pieceCount)
  }

  get pendingPieces(): number {
    return this.#pending.size
  }

  get wakeMs(): number {
    return this.#wakeMs
  }

  get lastPieceMs(): number {
    return this.#lastPieceMs
  }

  get hasReaders(): boolean {
    return this.#readers.size > 0
  }

  /** Most pieces that may be expected or verifying now. */
  get capacity(): number {
    const { options, geometry } = this.#state
    const inBytes = Math.max(MIN_PENDING_PIECES, Math.floor(options.maxPendingBytes / geometry.pieceLength))
    return Math.max(2, Math.min(options.maxPendingPieces, inBytes))
  }

  /** Somebody else fetches these from afar. */
  handleTaking(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    if (neighbour.distance === FARTHEST) return
    for (const piece of pieces) if (this.#state.status[piece] === MISSING) this.#takenNear.set(piece, { neighbour, atMs: nowMs })
  }

  /** What it sends comes from farther than what others here send: scarce, and wanted by all who are near. */
  #isImport(sender: Neighbour): boolean {
    return sender.distance > this.#state.nearestDistance
  }

  /** Whether somebody nearer than the offering one has the piece or is fetching it: then it comes from there. */
  #comesFromNear(offering: Neighbour, piece: number, nowMs: number): boolean {
    if (!this.#isImport(offering)) return false
    const { neighbours, table } = this.#state
    const taken = this.#takenNear.get(piece)
    if (taken !== undefined && taken.neighbour.distance < offering.distance && nowMs - taken.atMs < TAKEN_MS) return true
    for (const neighbour of neighbours) {
      if (neighbour !== undefined && neighbour.distance < offering.distance && table.slotHolds(neighbour.slot, piece)) return true
    }
    return false
  }

  /** Tells those nearer than the sender that these pieces are on their way from afar. */
  #tellTaking(sender: Neighbour, pieces: number[]): void {
    const state = this.#state
    if (!this.#isImport(sender)) return
    for (const neighbour of state.neighbours) {
      if (neighbour !== undefined && neighbour.distance < sender.distance) state.send(neighbour, { type: 'taking', pieces })
    }
  }

  handleOffer(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    const state = this.#state
    neighbour.lastOfferMs = nowMs
    let accepted: number[] | undefined
    let have: number[] | undefined
    let expected: number[] | undefined
    let full: number[] | undefined
    for (const piece of pieces) {
      state.table.recordHave(neighbour.slot, piece)
      const status = state.status[piece]
      if (this.#from[piece] === neighbour.slot || this.#alsoFrom[piece] === neighbour.slot) {
        // Our request, which crossed the offer, is the answer.
      } else if (status === HAVE) {
        have ??= []
        have.push(piece)
      } else if (
        status === VERIFYING ||
        !state.wants(piece) ||
        this.#comesFromNear(neighbour, piece, nowMs) ||
        !this.#mayTake(neighbour, piece, nowMs)
      ) {
        expected ??= []
        expected.push(piece)
      } else if (this.#isReaderBehind && !this.isWaitingForReader(piece)) {
        full ??= []
        full.push(piece)
      } else if (!this.#hasRoom(piece, nowMs) || (!this.#isImport(neighbour) && this.#isDownlinkFull(neighbour))) {
        full ??= []
        full.push(piece)
      } else if (!this.#maySpend(nowMs)) {
        if (this.#held.length < MAX_HELD) this.#held.push({ neighbour, piece, atMs: nowMs })
        else {
          full ??= []
          full.push(piece)
        }
      } else {
        this.#request(neighbour, piece, false, nowMs)
        accepted ??= []
        accepted.push(piece)
      }
    }
    if (accepted !== undefined) {
      state.send(neighbour, { type: 'request', pieces: accepted, urgent: false })
      this.#tellTaking(neighbour, accepted)
    }
    this.#reject(neighbour, have, 'have')
    this.#reject(neighbour, expected, 'expected')
    this.#reject(neighbour, full, 'full')
  }

  /** The neighbour turned down a request of ours. */
  handleReject(neighbour: Neighbour, piece: number, reason: RejectReason, nowMs: number): void {
    const wasAsked = this.#asked[neighbour.slot]?.delete(piece) === true
    if (reason === 'missing') {
      // It said that it has the piece: an honest loss costs a little trust, a made-up bitfield soon all of it.
      if (wasAsked && this.#state.table.slotHolds(neighbour.slot, piece)) neighbour.strikes++
      this.#state.table.recordLacks(neighbour.slot, piece)
    } else if (reason === 'full' || reason === 'choked') {
      neighbour.chokedUntilMs = nowMs + (reason === 'full' ? 500 : 5000)
      neighbour.pullDepth = Math.max(1, neighbour.pullDepth >> 1)
    }
    if (!wasAsked) return
    this.#release(neighbour, piece)
    // With another reason it says nothing that keeps us from asking the same peer again, for ever.
    if (reason === 'missing' || reason === 'full' || reason === 'choked') this.#orphan(piece)
  }

  /** A piece arrived. False when it was never asked of this peer. */
  handlePiece(neighbour: Neighbour, piece: number, bytes: number, nowMs: number): boolean {
    const state = this.#state
    if (this.#asked[neighbour.slot]?.delete(piece) !== true) {
      this.#waste(bytes)
      state.emit({ type: 'dropPiece', peer: neighbour.key, piece, reason: 'not requested' })
      return false
    }
    for (const budget of this.#budgets) budget.spend(bytes, nowMs)
    neighbour.bytesDownloaded += bytes
    neighbour.recentBytes += bytes
    neighbour.lastPieceMs = nowMs
    neighbour.timeoutsInRow = 0
    const isFirst = this.#from[piece] === neighbour.slot
    if (isFirst) {
      const elapsed = Math.max(0.1, nowMs - (this.#sinceMs[piece] as number))
      this.#model.record(bytes, this.#bytesBefore[piece] as number, elapsed, nowMs)
      neighbour.serviceMs = neighbour.serviceMs === 0 ? elapsed : neighbour.serviceMs + (elapsed - neighbour.serviceMs) / 8
      if (this.#isPulled[piece] === 1) {
        neighbour.pulledPieces++
        this.#hasPulled = true
        neighbour.pullDepth = Math.min(MAX_PULL_DEPTH, neighbour.pullDepth + 1)
      }
    }
    if (state.status[piece] !== MISSING) {
      this.#release(neighbour, piece)
      this.#waste(bytes)
      state.emit({ type: 'dropPiece', peer: neighbour.key, piece, reason: 'not needed' })
      return true
    }
    this.bytesDownloaded += bytes
    this.#lastPieceMs = nowMs
    this.#withdraw(piece, neighbour)
    state.status[piece] = VERIFYING
    state.verifying++
    state.table.removeMissing(piece)
    state.emit({ type: 'acceptPiece', peer: neighbour.key, piece })
    return true
  }

  /** The accepted piece was wrong or could not be kept: it is missing again. */
  handleUnverified(piece: number): void {
    const state = this.#state
    if (state.status[piece] !== VERIFYING) return
    state.status[piece] = MISSING
    state.verifying--
    if (state.wants(piece)) state.table.addMissing(piece)
    const bytes = state.geometry.pieceBytes(piece)
    this.bytesDownloaded -= bytes
    this.#waste(bytes)
    this.#orphan(piece)
  }

  handleLeft(neighbour: Neighbour): void {
    for (const piece of [...this.#pending]) {
      this.#release(neighbour, piece)
      this.#orphan(piece)
    }
    this.#asked[neighbour.slot] = undefined
  }

  handleReaderMoved(reader: string, first: number, last: number, deadlineMs: number, nowMs: number): void {
    const known = this.#readers.get(reader)
    if (known === undefined && this.#readers.size >= MAX_READERS) return
    const jumped = known === undefined || first > known.last || first < known.first
    const movedMs = known?.first === first ? known.movedMs : nowMs
    this.#readers.set(reader, {
      first,
      last,
      deadlineMs,
      movedMs,
      isStarting: jumped || (known.isStarting && known.first === first)
    })
    // What is on its way for nobody to read would only stand in its way on the downlink. (What comes all the same is kept.)
    if (jumped && this.#isReaderBehind) {
      for (const piece of [...this.#pending]) if (!this.isWaitingForReader(piece)) this.#withdraw(piece, undefined)
    }
  }

  /** Where readers stand. */
  readers(): Iterable<Readonly<Reader>> {
    return this.#readers.values()
  }

  /** Those who let a request time out since the last call. */
  takeTimedOut(): Neighbour[] {
    const neighbours = [...this.#timedOut]
    this.#timedOut.clear()
    return neighbours
  }

  /** What we expect by now and have not told of yet. */
  takeUntold(): number[] {
    const pieces: number[] = []
    for (const piece of this.#untold) {
      if (!this.isExpected(piece)) continue
      pieces.push(piece)
      this.#isTold[piece] = 1
    }
    this.#untold.clear()
    return pieces
  }

  /** Whether a peer was asked for the piece. */
  isExpected(piece: number): boolean {
    return this.#from[piece] !== NOBODY
  }

  /** A piece came that no peer sent. */
  recordProgress(nowMs: number): void {
    this.#lastPieceMs = nowMs
  }

  handleReaderLeft(reader: string): void {
    this.#readers.delete(reader)
  }

  /** Withdraws every request: paused, leaving, or the store cannot keep more. */
  cancelAll(): void {
    for (const piece of [...this.#pending]) this.#withdraw(piece, undefined)
  }

  /** The piece came from elsewhere. */
  cancelPiece(piece: number): void {
    this.#takenNear.delete(piece)
    this.#withdraw(piece, undefined)
  }

  /** Withdraws requests of pieces no longer wanted. */
  cancelUnwanted(): void {
    for (const piece of [...this.#pending]) if (!this.#state.wants(piece)) this.#withdraw(piece, undefined)
  }

  /** Requests what must be requested without an offer. Cheap when there is nothing to do. */
  advance(nowMs: number): void {
    const state = this.#state
    this.#wakeMs = Number.POSITIVE_INFINITY
    if (state.isComplete || state.isPaused || state.isLeaving || state.storeFault !== undefined) return
    if (this.#readers.size > 0) this.#pullForReaders(nowMs)
    if (this.#held.length > 0) this.#takeHeld(nowMs)
    if (this.#retracted.size > 0) this.#retract()
    if (this.#orphans.size > 0) this.#pullOrphans(nowMs)
    if (!state.options.offers) this.#pullFromAll(PULL_ONLY_DEPTH, nowMs)
  }

  /** Gives up on late requests and pulls when nobody offers; several times a second. */
  housekeep(nowMs: number): void {
    const state = this.#state
    if (state.isPaused || state.isLeaving || state.storeFault !== undefined) return
    // Everything missing is on its way: what a slow sender holds is worth asking of another.
    const isEndgame = this.#pending.size + state.verifying >= state.wantedMissing
    const endgameLateMs = isEndgame
      ? Math.max(MIN_ENDGAME_LATE_MS, ENDGAME_LATE_FACTOR * this.#model.typicalMs)
      : Number.POSITIVE_INFINITY
    for (const piece of this.#pending) {
      const neighbour = state.neighbours[this.#from[piece] as number] as Neighbour
      const elapsed = nowMs - (this.#sinceMs[piece] as number)
      if (elapsed >= this.#timeoutMs(neighbour)) {
        neighbour.timeoutsInRow++
        this.#timedOut.add(neighbour)
        neighbour.pullDepth = 1
        neighbour.chokedUntilMs = nowMs + 2000
        this.#withdraw(piece, undefined)
        this.#orphan(piece)
      } else if (
        elapsed >= Math.min(endgameLateMs, this.#lateMs(neighbour)) &&
        this.#alsoFrom[piece] === NOBODY &&
        this.#duplicates < MAX_DUPLICATES
      ) {
        this.#duplicate(piece, nowMs)
      }
    }
    if (state.isComplete || !state.options.offers) return
    const isStarved = this.#pending.size === 0 && nowMs - this.#lastPieceMs >= this.#starvedMs
    for (const neighbour of this.#hasPulled && this.#readers.size === 0 ? state.neighbours : []) {
      if (neighbour === undefined || neighbour.pulledPieces === 0) continue
      if (nowMs - neighbour.lastOfferMs > state.options.starvedMs) this.#pullFrom(neighbour, neighbour.pullDepth, nowMs)
    }
    if (isStarved) this.#pullStarved(nowMs)
  }

  /** Keeps a peer that only answers requests busy as its pieces arrive. */
  pullNext(neighbour: Neighbour, nowMs: number): void {
    const { options } = this.#state
    if (this.#state.isComplete || this.#state.isPaused || this.#state.isLeaving || this.#state.storeFault !== undefined) return
    // For readers we turn offers down, so that silence then means nothing.
    if (this.#readers.size > 0) return
    if (options.offers && neighbour.pulledPieces > 0 && nowMs - neighbour.lastOfferMs > options.starvedMs) {
      this.#pullFrom(neighbour, neighbour.pullDepth, nowMs)
    }
  }

  /** Pieces that a reader waits for and that nobody has been asked for. */
  isWaitingForReader(piece: number): boolean {
    for (const reader of this.#readers.values()) if (piece >= reader.first && piece <= this.#lastWanted(reader)) return true
    return false
  }

  /** The end of what a reader waits for now. While its first piece can be had and is not there, that and the next few. */
  #lastWanted({ first, last, isStarting }: Reader): number {
    return isStarting && this.#state.table.holdersOf(first) > 0 ? Math.min(last, first + READER_START - 1) : last
  }

  /** A reader lacks something of its window that can be had: until it has that, other pieces would only stand in its way on the downlink. */
  get #isReaderBehind(): boolean {
    for (const reader of this.#readers.values()) {
      const end = Math.min(this.#lastWanted(reader), reader.first + READER_AHEAD - 1)
      for (let piece = reader.first; piece <= end; piece++)
        if (this.#state.status[piece] === MISSING && this.#state.wants(piece) && this.#state.table.holdersOf(piece) > 0)
          return true
    }
    return false
  }

  assertInvariants(): void {
    const pending = new Map<number, number>()
    let duplicates = 0
    for (const piece of this.#pending) {
      if (this.#state.status[piece] !== MISSING) throw new Error(`piece ${piece} is pending and not missing`)
      for (const slot of [this.#from[piece] as number, this.#alsoFrom[piece] as number]) {
        if (slot === NOBODY) continue
        if (this.#state.neighbours[slot] === undefined) throw new Error(`piece ${piece} is expected from an empty slot`)
        pending.set(slot, (pending.get(slot) ?? 0) + 1)
        if (this.#asked[slot]?.has(piece) !== true) throw new Error(`piece ${piece} is expected and was not asked for`)
      }
      if (this.#from[piece] === NOBODY) throw new Error(`piece ${piece} is pending from nobody`)
      if (this.#alsoFrom[piece] !== NOBODY) duplicates++
    }
    if (duplicates !== this.#duplicates) throw new Error('duplicates are counted wrongly')
    for (const neighbour of this.#state.neighbours) {
      if (neighbour !== undefined && (pending.get(neighbour.slot) ?? 0) !== neighbour.pending) {
        throw new Error(`requests pending at ${neighbour.key} are counted wrongly`)
      }
    }
    if (this.#pending.size > this.capacity + READER_AHEAD) throw new Error('too many pieces are pending')
  }

  /** Whether the piece may be requested of this peer: nobody sends it, or whoever should is late. */
  #mayTake(neighbour: Neighbour, piece: number, nowMs: number): boolean {
    const from = this.#from[piece] as number
    if (from === NOBODY) return this.#isFree(piece, nowMs)
    if (from === neighbour.slot || this.#alsoFrom[piece] !== NOBODY) return false
    const sender = this.#state.neighbours[from] as Neighbour
    const givesWay = this.#isPulled[piece] === 1 && !this.isWaitingForReader(piece)
    if (givesWay || nowMs - (this.#sinceMs[piece] as number) >= this.#lateMs(sender)) {
      this.#withdraw(piece, undefined)
      return true
    }
    return false
  }

  /** Nobody was asked for it, and the origin is not about to give it. */
  #isFree(piece: number, nowMs: number): boolean {
    if (this.#from[piece] !== NOBODY) return false
    const sinceMs = this.#state.comingFromOrigin.get(piece)
    return sinceMs === undefined || nowMs - sinceMs >= ORIGIN_LATE_MS
  }

  #hasRoom(piece: number, nowMs: number): boolean {
    const state = this.#state
    if (state.isPaused || state.isLeaving || state.storeFault !== undefined) return false
    // Without any piece we have nothing to give: one piece puts our uplink to work, and a second would be missing to somebody
    // who has none either.
    if (
      state.have.isEmpty &&
      this.#pending.size + state.verifying > 0 &&
      nowMs - this.#tookOfferMs < Math.max(FIRST_PIECE_MS, state.firstPieceMs)
    )
      return false
    if (this.#pending.size + state.verifying >= this.capacity && !this.isWaitingForReader(piece)) return false
    return true
  }

  /**
   * As many pieces are on their way as the downlink takes. Those of slow senders count for what they bring, and a sender that is much
   * faster than what comes now is always welcome: else slow ones could fill the limit and keep it low by being slow.
   */
  #isDownlinkFull(offering: Neighbour): boolean {
    const limit = this.#model.limitPieces(this.#state.geometry.pieceLength, this.#state.answerMs)
    if (this.#pending.size < limit) return false
    // What a reader needs next must not stand behind a queue.
    if (this.#readers.size > 0) return true
    const { typicalMs } = this.#model
    if (offering.serviceMs > 0 && 2 * offering.serviceMs < typicalMs && this.#pending.size < 4 * limit) return false
    let weight = 0
    for (const piece of this.#pending) {
      if (this.#isPulled[piece] === 1) continue // gives way to any offer
      const { serviceMs } = this.#state.neighbours[this.#from[piece] as number] as Neighbour
      weight += serviceMs > 3 * typicalMs ? typicalMs / serviceMs : 1
    }
    return weight >= limit
  }

  #maySpend(nowMs: number): boolean {
    for (const budget of this.#budgets) if (!budget.canSpend(nowMs)) return false
    return true
  }

  /** When the limits allow the next piece. */
  #spendableMs(nowMs: number): number {
    let readyMs = nowMs
    for (const budget of this.#budgets) readyMs = Math.max(readyMs, budget.readyMs(nowMs))
    return readyMs
  }

  /** Takes offers that were held back, as far as the limit allows by now; turns down those that are moot or waited too long. */
  #takeHeld(nowMs: number): void {
    while (this.#held.length > 0) {
      const { neighbour, piece, atMs } = this.#held[0] as Held
      const isGone = this.#state.neighbours[neighbour.slot] !== neighbour
      const isLate = nowMs - atMs >= HELD_MS
      if (!isGone && !isLate && !this.#maySpend(nowMs)) {
        this.#wakeMs = Math.min(this.#wakeMs, this.#spendableMs(nowMs), atMs + HELD_MS)
        return
      }
      this.#held.shift()
      if (isGone) continue
      if (isLate) this.#reject(neighbour, [piece], 'full')
      else this.handleOffer(neighbour, [piece], nowMs)
    }
  }

  #request(neighbour: Neighbour, piece: number, isPulled: boolean, nowMs: number): void {
    this.#from[piece] = neighbour.slot
    this.#sinceMs[piece] = nowMs
    this.#bytesBefore[piece] = this.#model.receivedBytes
    this.#isPulled[piece] = isPulled ? 1 : 0
    this.#pending.add(piece)
    if (!isPulled) {
      this.#tookOfferMs = nowMs
      // What we ask for without an offer gives way to one, so others need not know.
      this.#untold.add(piece)
    }
    this.#ask(neighbour, piece, nowMs)
  }

  #ask(neighbour: Neighbour, piece: number, nowMs: number): void {
    neighbour.pending++
    let asked = this.#asked[neighbour.slot]
    if (asked === undefined) {
      asked = new Set()
      this.#asked[neighbour.slot] = asked
    }
    asked.add(piece)
    const bytes = this.#state.geometry.pieceBytes(piece)
    for (const budget of this.#budgets) budget.spend(bytes, nowMs)
  }

  /** The peer will not send the piece (any more); a second one asked takes its place. */
  #release(neighbour: Neighbour, piece: number): void {
    if (this.#alsoFrom[piece] === neighbour.slot) {
      this.#alsoFrom[piece] = NOBODY
      this.#duplicates--
      this.#refund(neighbour, piece)
      return
    }
    if (this.#from[piece] !== neighbour.slot) return
    this.#refund(neighbour, piece)
    this.#from[piece] = this.#alsoFrom[piece] as number
    this.#alsoFrom[piece] = NOBODY
    if (this.#from[piece] === NOBODY) this.#pending.delete(piece)
    else this.#duplicates--
  }

  /** A request is no longer pending: what was set aside for it is free (an arriving piece is charged on arrival). */
  #refund(neighbour: Neighbour, piece: number): void {
    neighbour.pending--
    const bytes = this.#state.geometry.pieceBytes(piece)
    for (const budget of this.#budgets) budget.refund(bytes)
  }

  /** Nobody is expected to send the piece any more; whoever was is told, but for `sender`, who just sent it. */
  #withdraw(piece: number, sender: Neighbour | undefined): void {
    for (const slot of [this.#alsoFrom[piece] as number, this.#from[piece] as number]) {
      if (slot === NOBODY) continue
      const neighbour = this.#state.neighbours[slot] as Neighbour
      this.#release(neighbour, piece)
      if (neighbour !== sender) this.#state.send(neighbour, { type: 'cancel', pieces: [piece] })
    }
  }

  /** Asks a second peer for a piece that is late. */
  #duplicate(piece: number, nowMs: number): void {
    const first = this.#from[piece] as number
    const second = this.#pickHolder(piece, first, nowMs)
    if (second === undefined) return
    this.#alsoFrom[piece] = second.slot
    this.#duplicates++
    this.#ask(second, piece, nowMs)
    this.#state.send(second, { type: 'request', pieces: [piece], urgent: this.isWaitingForReader(piece) })
  }

  #pullForReaders(nowMs: number): void {
    const state = this.#state
    const limit = this.#model.limitPieces(state.geometry.pieceLength, state.answerMs)
    // Every reader's next piece before anybody's second, so that a limit is shared fairly among them.
    for (let ahead = 0; ahead < READER_AHEAD; ahead++) {
      for (const reader of this.#readers.values()) {
        const piece = reader.first + ahead
        if (reader.isStarting && state.status[reader.first] !== MISSING) reader.isStarting = false
        if (piece > this.#lastWanted(reader) || state.status[piece] !== MISSING || !state.wants(piece)) continue
        const from = this.#from[piece] as number
        if (from !== NOBODY) {
          // The reader's next piece is worth a second request when its sender is slow.
          const sender = state.neighbours[from] as Neighbour
          const typicalMs = sender.serviceMs === 0 ? this.#model.typicalMs : Math.min(sender.serviceMs, this.#model.typicalMs)
          const usualMs = typicalMs === 0 ? MIN_LATE_MS : 1.5 * typicalMs
          const isLate = nowMs - (this.#sinceMs[piece] as number) >= usualMs
          if (piece === reader.first && isLate && this.#alsoFrom[piece] === NOBODY && this.#duplicates < MAX_DUPLICATES) {
            this.#duplicate(piece, nowMs)
          }
          continue
        }
        if (!this.#isFree(piece, nowMs)) continue
        // More than the downlink takes would only come before what is needed first.
        if (ahead > 0 && this.#pending.size >= limit) return
        const holder = this.#pickHolder(piece, NOBODY, nowMs)
        if (holder === undefined || holder.pending >= Math.max(READER_DEPTH, holder.pullDepth)) continue
        // A reader goes first, but within the limit: we come back when some of it is free again.
        if (!this.#maySpend(nowMs)) {
          this.#wakeMs = Math.min(this.#wakeMs, this.#spendableMs(nowMs))
          return
        }
        this.#request(holder, piece, true, nowMs)
        state.send(holder, { type: 'request', pieces: [piece], urgent: true })
      }
    }
  }

  /** The holder that should deliver soonest. */
  #pickHolder(piece: number, except: number, nowMs: number): Neighbour | undefined {
    let best: Neighbour | undefined
    let bestMs = Number.POSITIVE_INFINITY
    let ties = 0
    for (const neighbour of this.#state.neighbours) {
      if (neighbour === undefined || neighbour.slot === except || neighbour.chokedUntilMs > nowMs) continue
      if (!this.#state.table.slotHolds(neighbour.slot, piece) || this.#asked[neighbour.slot]?.has(piece) === true) continue
      // A request waits behind the pieces that we are sending it.
      const before = neighbour.pending + neighbour.inFlight
      const ms = (neighbour.serviceMs === 0 ? 100 : neighbour.serviceMs) * (1 + before) * (1 + neighbour.timeoutsInRow)
      if (ms < bestMs) {
        best = neighbour
        bestMs = ms
        ties = 1
      } else if (ms === bestMs && this.#random.nextInt(++ties) === 0) best = neighbour
    }
    return best
  }

  /** Nothing comes: asks for the rarest pieces that anybody has. */
  #pullStarved(nowMs: number): void {
    const { missing } = this.#state.table
    const first = missing.startOf(1)
    let pulls = 0
    for (let looks = 0; looks < Math.min(missing.size - first, MAX_LOOKS) && pulls < STARVED_PULLS; looks++) {
      // At random among the rarest: everybody starved at once must not ask for the same piece.
      const level = this.#state.table.holdersOf(missing.at(first + looks))
      const end = missing.startOf(level + 1)
      const piece = missing.at(first + looks + this.#random.nextInt(end - first - looks))
      if (!this.#isFree(piece, nowMs) || !this.#hasRoom(piece, nowMs) || !this.#maySpend(nowMs)) continue
      const holder = this.#pickHolder(piece, NOBODY, nowMs)
      if (holder === undefined) continue
      this.#request(holder, piece, true, nowMs)
      this.#state.send(holder, { type: 'request', pieces: [piece], urgent: false })
      pulls++
    }
  }

  /** Notes that nobody sends the piece any more, if so. */
  #orphan(piece: number): void {
    if (this.#from[piece] !== NOBODY) return
    this.#orphans.add(piece)
    if (this.#isTold[piece] === 1) this.#retracted.add(piece)
    this.#isTold[piece] = 0
  }

  /** Neighbours believe that these come to us and would not offer them for long. */
  #retract(): void {
    const pieces = [...this.#retracted]
    this.#retracted.clear()
    for (let start = 0; start < pieces.length; start += MAX_PIECES_PER_MESSAGE) {
      this.#state.emit({
        type: 'broadcast',
        message: { type: 'cancel', pieces: pieces.slice(start, start + MAX_PIECES_PER_MESSAGE) }
      })
    }
  }

  /** Asks others for what senders failed to send. What nobody else has is left for offers. */
  #pullOrphans(nowMs: number): void {
    const state = this.#state
    let batches: Map<Neighbour, number[]> | undefined
    for (const piece of this.#orphans) {
      const isWanted = state.status[piece] === MISSING && state.wants(piece) && this.#isFree(piece, nowMs)
      if (isWanted && !this.#hasRoom(piece, nowMs)) break
      const holder = isWanted ? this.#pickHolder(piece, NOBODY, nowMs) : undefined
      if (holder !== undefined && !this.#maySpend(nowMs)) {
        this.#wakeMs = Math.min(this.#wakeMs, this.#spendableMs(nowMs))
        break
      }
      this.#orphans.delete(piece)
      if (holder === undefined) continue
      this.#request(holder, piece, true, nowMs)
      batches ??= new Map()
      const batch = batches.get(holder)
      if (batch === undefined) batches.set(holder, [piece])
      else batch.push(piece)
    }
    if (batches === undefined) return
    for (const [holder, pieces] of batches) {
      for (let start = 0; start < pieces.length; start += MAX_PIECES_PER_MESSAGE) {
        state.send(holder, { type: 'request', pieces: pieces.slice(start, start + MAX_PIECES_PER_MESSAGE), urgent: false })
      }
    }
  }

  #pullFromAll(depth: number, nowMs: number): void {
    for (const neighbour of this.#state.neighbours) if (neighbour !== undefined) this.#pullFrom(neighbour, depth, nowMs)
  }

  /** Fills this peer's pipeline up to `depth` with the rarest pieces that it has. */
  #pullFrom(neighbour: Neighbour, depth: number, nowMs: number): void {
    const state = this.#state
    if (neighbour.pending >= depth || !neighbour.isKnown || neighbour.chokedUntilMs > nowMs) return
    let pieces: number[] | undefined
    while (neighbour.pending < depth && (pieces?.length ?? 0) < MAX_PIECES_PER_MESSAGE) {
      const piece = this.#pickPieceOf(neighbour, nowMs)
      if (piece < 0 || !this.#hasRoom(piece, nowMs) || !this.#maySpend(nowMs)) break
      this.#request(neighbour, piece, true, nowMs)
      pieces ??= []
      pieces.push(piece)
    }
    if (pieces !== undefined) state.send(neighbour, { type: 'request', pieces, urgent: false })
  }

  #pickPieceOf(neighbour: Neighbour, nowMs: number): number {
    const { table, options, geometry } = this.#state
    const { missing } = table
    if (options.pieceOrder !== 'rarest') {
      const offset = options.pieceOrder === 'random' ? this.#random.nextInt(geometry.pieceCount) : 0
      for (let i = 0; i < geometry.pieceCount; i++) {
        const piece = (i + offset) % geometry.pieceCount
        if (missing.has(piece) && this.#isFree(piece, nowMs) && table.slotHolds(neighbour.slot, piece)) return piece
      }
      return -1
    }
    let looks = 0
    for (let level = 1; level <= missing.maxLevel; level++) {
      const start = missing.startOf(level)
      const size = missing.startOf(level + 1) - start
      if (size === 0) continue
      const offset = this.#random.nextInt(size)
      for (let i = 0; i < size; i++) {
        const piece = missing.at(start + (i + offset < size ? i + offset : i + offset - size))
        if (this.#isFree(piece, nowMs) && table.slotHolds(neighbour.slot, piece)) return piece
        if (++looks >= MAX_LOOKS) return -1
      }
    }
    return -1
  }

  #lateMs(neighbour: Neighbour): number {
    return neighbour.serviceMs === 0
      ? Math.max(FIRST_LATE_MS, FIRST_LATE_FACTOR * this.#state.firstPieceMs, 2 * LATE_FACTOR * this.#model.typicalMs)
      : Math.max(MIN_LATE_MS, LATE_FACTOR * Math.max(neighbour.serviceMs, this.#model.typicalMs))
  }

  /**
   * How long to wait for offers. Before the first piece longer: a crowd's first pieces double their number in some times what a piece takes, and whoever
   * asks the seeder meanwhile makes it repeat itself (60 nodes at 2 Mbit/s: 1.22 instead of 1.10 T*; at 0.5 Mbit/s 1.68 instead of 1.21).
   */
  get #starvedMs(): number {
    const { starvedMs } = this.#state.options
    const { typicalMs } = this.#model
    if (typicalMs > 0) return Math.max(starvedMs, STARVED_FACTOR * typicalMs)
    const { firstPieceMs, neighbourOf } = this.#state
    const doublings = 32 - Math.clz32(neighbourOf.size)
    return Math.max(2 * starvedMs, FIRST_PIECES_PER_DOUBLING * firstPieceMs * doublings)
  }

  /**
   * While nobody has delivered anything, twice as long after each time that was too short: on links slower than any that we plan for all would give up
   * what is half sent, drop the sender, and have the next one sent in vain (60 nodes on 0.25 Mbit/s: 4 pieces in 800 s, the seeder's uplink full all along).
   */
  #timeoutMs(neighbour: Neighbour): number {
    const { options } = this.#state
    if (neighbour.serviceMs === 0) {
      const { typicalMs } = this.#model
      const patienceMs =
        typicalMs > 0 ? 2 * TIMEOUT_FACTOR * typicalMs : options.firstRequestTimeoutMs * 2 ** neighbour.timeoutsInRow
      return Math.max(options.firstRequestTimeoutMs, Math.min(options.maxRequestTimeoutMs, patienceMs))
    }
    return Math.min(options.maxRequestTimeoutMs, Math.max(MIN_TIMEOUT_MS, TIMEOUT_FACTOR * neighbour.serviceMs))
  }

  #waste(bytes: number): void {
    this.bytesWasted += bytes
    this.piecesWasted++
  }

  #reject(neighbour: Neighbour, pieces: number[] | undefined, reason: RejectReason): void {
    if (pieces !== undefined) this.#state.send(neighbour, { type: 'reject', pieces, reason })
  }
}
