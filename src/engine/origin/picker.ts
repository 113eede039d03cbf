/**
 * Which pieces to ask the origin for: those of our own blocks, for readers, of others' blocks that nobody
 * fetches, or any. Used by share.ts.
 *
 * Knows what other keepers take and what the origin refused of late; both expire.
 */

import type { PeerKey } from '../contract.ts'
import type { Downloader } from '../download/downloader.ts'
import { MISSING, type SwarmState } from '../state.ts'
import { ORIGIN } from '../tunables.ts'
import type { Blocks } from './blocks.ts'
import type { ComingPieces } from './coming-pieces.ts'
import { type Election, mix } from './election.ts'

interface PickerParts {
  readonly state: SwarmState
  readonly downloader: Downloader
  readonly keepers: Election
  readonly blocks: Blocks
  readonly coming: ComingPieces
  readonly hasRoom: (nowMs: number) => boolean
}

export class Picker {
  readonly #parts: PickerParts
  /** Pieces that another keeper takes, and until when that counts. */
  readonly #taken = new Map<number, { by: PeerKey; untilMs: number }>()
  /** Pieces that the origin failed to give, until when. */
  readonly #failedUntilMs = new Map<number, number>()
  #rank = 0
  #cursor = 0
  #anyCursor = 0
  #exhaustedMs = Number.NEGATIVE_INFINITY

  constructor(parts: PickerParts) {
    this.#parts = parts
  }

  /** The origin can be asked. Peers of other ranks begin elsewhere. */
  begin(rank: number): void {
    const { blocks, state } = this.#parts
    this.#rank = rank
    this.#failedUntilMs.clear()
    this.lookAgain()
    if (this.#cursor === 0) this.#cursor = mix(rank) % Math.max(1, blocks.count)
    this.#anyCursor = mix(rank ^ 0x27d4eb2f) % Math.max(1, state.geometry.pieceCount)
  }

  /** Nothing of our own blocks was left to fetch. */
  get isExhausted(): boolean {
    return this.#exhaustedMs !== Number.NEGATIVE_INFINITY
  }

  /** Something may be fetchable again in our own blocks. */
  lookAgain(): void {
    this.#exhaustedMs = Number.NEGATIVE_INFINITY
  }

  recordTaken(piece: number, by: PeerKey, nowMs: number): void {
    this.#taken.set(piece, { by, untilMs: nowMs + ORIGIN.TAKEN_MS })
  }

  recordFailed(piece: number, untilMs: number): void {
    this.#failedUntilMs.set(piece, untilMs)
  }

  /** The piece is here. */
  forget(piece: number): void {
    this.#taken.delete(piece)
    this.#failedUntilMs.delete(piece)
  }

  /** What keepers took that are keepers no more is free. */
  forgetGone(): void {
    for (const [piece, { by }] of this.#taken) if (!this.#parts.keepers.has(by)) this.#taken.delete(piece)
  }

  housekeep(nowMs: number): void {
    for (const [piece, { untilMs }] of this.#taken) if (untilMs <= nowMs) this.#taken.delete(piece)
    if (nowMs - this.#exhaustedMs >= ORIGIN.LOOK_AGAIN_MS) this.lookAgain()
  }

  /** Whatever is missing, from a place of our own on: for once nobody else is believed to fetch it. */
  pickAny(pieces: number[], most: number, nowMs: number): void {
    const { state, coming, hasRoom } = this.#parts
    const { comingFromOrigin, geometry } = state
    const { pieceCount } = geometry
    for (let looked = 0; looked < pieceCount; looked++) {
      if (comingFromOrigin.size >= most || !hasRoom(nowMs)) return
      const piece = this.#anyCursor
      if (this.#isAskable(piece, nowMs)) pieces.push(coming.take(piece, nowMs))
      this.#anyCursor = (piece + 1) % pieceCount
    }
  }

  /** Pieces that a reader stands at. */
  pickForReaders(pieces: number[], isMine: boolean, nowMs: number): void {
    const { downloader, blocks, coming, hasRoom } = this.#parts
    for (const { first, last, movedMs } of downloader.readers.all()) {
      if (!isMine && nowMs - Math.max(movedMs, downloader.lastPieceMs) < ORIGIN.READER_PATIENCE_MS) continue
      for (let piece = first; piece <= last && piece < first + blocks.pieces; piece++) {
        if (!hasRoom(nowMs)) return
        if (this.#isFetchable(piece, 0, nowMs)) pieces.push(coming.take(piece, nowMs))
      }
    }
  }

  /** Our own blocks, from the cursor on. */
  pickOwn(
    pieces: number[],
    { self, isSequential, holders }: { self: PeerKey; isSequential: boolean; holders: number },
    nowMs: number
  ): void {
    const { keepers, blocks } = this.#parts
    const place = keepers.peers.indexOf(self)
    for (let looked = 0; looked < blocks.count; looked++) {
      const block = this.#cursor
      const isOurs = blocks.ownerOf(block) === place || isSequential
      if (isOurs && !this.#takeBlock(block, pieces, holders, nowMs)) return
      this.#cursor = (block + 1) % blocks.count
    }
    this.#exhaustedMs = nowMs
  }

  /** Takes what can be fetched of the block; false when there is no room for more. */
  #takeBlock(block: number, pieces: number[], holders: number, nowMs: number): boolean {
    const { state, blocks, coming, hasRoom } = this.#parts
    const end = Math.min(state.geometry.pieceCount, (block + 1) * blocks.pieces)
    for (let piece = block * blocks.pieces; piece < end; piece++) {
      if (!this.#isFetchable(piece, holders, nowMs)) continue
      if (!hasRoom(nowMs)) return false
      pieces.push(coming.take(piece, nowMs))
    }
    return true
  }

  /** A block of another keeper that nobody has and nobody said to be fetching. */
  pickFromOthers(pieces: number[], self: PeerKey, idleMs: number, nowMs: number): void {
    const { state, keepers, blocks } = this.#parts
    const { peers } = keepers
    const start = mix(this.#rank ^ 0x5bd1e995) % blocks.count
    for (let looked = 0; looked < blocks.count && pieces.length === 0; looked++) {
      // Against the direction in which owners go.
      const block = (start - looked + blocks.count) % blocks.count
      const owner = peers[blocks.ownerOf(block)]
      if (owner === self) continue
      const isSeen = owner === undefined || state.neighbourOf.has(owner)
      if (isSeen || idleMs >= ORIGIN.STEAL_UNSEEN_MS) this.#pickBlock(block, pieces, nowMs)
    }
  }

  #pickBlock(block: number, pieces: number[], nowMs: number): void {
    const { state, blocks, coming, hasRoom } = this.#parts
    const end = Math.min(state.geometry.pieceCount, (block + 1) * blocks.pieces)
    for (let piece = block * blocks.pieces; piece < end && hasRoom(nowMs); piece++) {
      if (this.#isFetchable(piece, 0, nowMs)) pieces.push(coming.take(piece, nowMs))
    }
    if (pieces.length === 0 && block === this.#cursor) this.#cursor = (block + 1) % blocks.count
  }

  #isFetchable(piece: number, holdersAllowed: number, nowMs: number): boolean {
    const { state, downloader } = this.#parts
    if (state.table.holdersOf(piece) > holdersAllowed || this.#taken.has(piece)) return false
    return !downloader.isExpected(piece) && this.#isAskable(piece, nowMs)
  }

  /** Missing, not on its way from the origin, and not refused by it of late. */
  #isAskable(piece: number, nowMs: number): boolean {
    const { state } = this.#parts
    if (state.status[piece] !== MISSING || !state.wants(piece) || state.comingFromOrigin.has(piece)) return false
    const failedUntilMs = this.#failedUntilMs.get(piece)
    if (failedUntilMs === undefined) return true
    if (failedUntilMs > nowMs) return false
    this.#failedUntilMs.delete(piece)
    return true
  }
}
