/**
 * What became of pieces: received, verified, wrong, lost, sent; and the store's faults. Passes each on to the
 * parts that it concerns. Used by swarm.ts.
 */

import type { Input } from '../contract.ts'
import type { Membership } from '../discovery/membership.ts'
import type { PeerSet } from '../discovery/neighbours.ts'
import type { PieceConnections } from '../discovery/piece-connections.ts'
import type { Downloader } from '../download/downloader.ts'
import type { News } from '../news.ts'
import type { OriginShare } from '../origin/share.ts'
import { HAVE, type SwarmState, VERIFYING } from '../state.ts'
import { ENGINE } from '../tunables.ts'
import type { Uploader } from '../upload/uploader.ts'
import { recordHave, recordLost } from './ledger.ts'

interface PieceParts {
  readonly state: SwarmState
  readonly peers: PeerSet
  readonly uploader: Uploader
  readonly downloader: Downloader
  readonly origin: OriginShare
  readonly news: News
  readonly pieceConnections: PieceConnections
  readonly membership: Membership
}

type PieceInput = Extract<
  Input,
  { type: 'pieceReceived' | 'pieceVerified' | 'pieceCorrupt' | 'storeFailed' | 'storeRecovered' | 'pieceLost' | 'pieceServed' }
>

export class PieceEvents {
  readonly #parts: PieceParts
  /** Pieces that we had and lost. */
  #lost = 0

  constructor(parts: PieceParts) {
    this.#parts = parts
  }

  handle(input: PieceInput, nowMs: number): void {
    const { state } = this.#parts
    switch (input.type) {
      case 'pieceReceived':
        this.#handleReceived(input, nowMs)
        return
      case 'pieceVerified':
        this.#handleVerified(input.piece)
        this.#separatePieces(nowMs)
        return
      case 'pieceCorrupt':
        this.#handleCorrupt(input, nowMs)
        return
      case 'storeFailed':
        this.#handleStoreFailed(input)
        return
      case 'storeRecovered':
        state.storeFault = undefined
        return
      case 'pieceLost':
        this.#handleLost(input.piece, nowMs)
        return
      case 'pieceServed':
        this.#parts.uploader.handleServed(state.neighbourOf.get(input.peer), input.piece, input.bytes, nowMs)
        this.#separatePieces(nowMs)
        return
    }
  }

  #handleReceived(input: Extract<PieceInput, { type: 'pieceReceived' }>, nowMs: number): void {
    const { state } = this.#parts
    const neighbour = state.neighbourOf.get(input.peer)
    const { piece, bytes } = input
    const wasNewcomer = neighbour?.isNewcomer
    if (neighbour === undefined) {
      state.emit({ type: 'dropPiece', peer: input.peer, piece, reason: 'not a neighbour' })
    } else if (!state.geometry.hasPiece(piece) || bytes !== state.geometry.pieceBytes(piece)) {
      state.emit({ type: 'dropPiece', peer: input.peer, piece, reason: 'wrong size' })
      this.#parts.membership.disconnect(neighbour, `piece ${piece} of ${bytes} bytes`, ENGINE.PROTOCOL_BAN_MS, nowMs)
    } else if (!this.#parts.downloader.handlePiece(neighbour, piece, bytes, nowMs)) {
      this.#parts.membership.disconnect(neighbour, `piece ${piece} was not requested`, ENGINE.PROTOCOL_BAN_MS, nowMs)
    } else {
      if (wasNewcomer) this.#parts.uploader.handleProven(neighbour)
      this.#parts.origin.recordFromPeers(bytes, nowMs)
      this.#parts.origin.handleSettled(piece)
      this.#parts.downloader.pullNext(neighbour, nowMs)
    }
  }

  #handleCorrupt(input: Extract<PieceInput, { type: 'pieceCorrupt' }>, nowMs: number): void {
    const { state } = this.#parts
    if (input.peer === undefined) {
      this.#parts.origin.handleUnverified(input.piece)
      return
    }
    this.#parts.downloader.handleUnverified(input.piece)
    const neighbour = state.neighbourOf.get(input.peer)
    const reason = `piece ${input.piece} is corrupt`
    if (neighbour !== undefined) this.#parts.membership.disconnect(neighbour, reason, state.options.banMs, nowMs)
    else {
      this.#parts.peers.ban(input.peer, nowMs + state.options.banMs)
      state.emit({ type: 'disconnect', peer: input.peer, reason, banMs: state.options.banMs })
    }
  }

  #handleStoreFailed(input: Extract<PieceInput, { type: 'storeFailed' }>): void {
    const { state } = this.#parts
    if (input.peer === undefined) this.#parts.origin.handleUnverified(input.piece)
    else this.#parts.downloader.handleUnverified(input.piece)
    this.#parts.origin.cancelAll()
    this.#parts.downloader.cancelAll()
    state.storeFault = input.reason
    const neighbour = input.peer === undefined ? undefined : state.neighbourOf.get(input.peer)
    if (neighbour !== undefined) state.send(neighbour, { type: 'reject', pieces: [input.piece], reason: 'full' })
  }

  #handleVerified(piece: number): void {
    const { state } = this.#parts
    if (!state.geometry.hasPiece(piece) || state.status[piece] === HAVE) return
    // A piece may also come from elsewhere (an origin, an import): then it was never accepted here.
    if (state.status[piece] === VERIFYING) state.verifying--
    else this.#parts.downloader.cancelPiece(piece)
    this.#parts.origin.handleSettled(piece)
    const isLast = recordHave(state, piece)
    this.#parts.news.recordHave(piece)
    if (isLast) state.emit({ type: 'completed' })
  }

  #handleLost(piece: number, nowMs: number): void {
    const { state } = this.#parts
    if (!state.geometry.hasPiece(piece) || state.status[piece] !== HAVE) return
    recordLost(state, piece)
    this.#parts.news.recordLost(piece)
    this.#parts.uploader.handleLost(piece)
    this.#parts.origin.handleLost()
    // Neighbours believe that we have it; asked for many such pieces they would take us for greedy. New
    // streams begin with the truth.
    if (++this.#lost % ENGINE.LOST_UNTOLD !== 0) return
    for (const neighbour of [...state.neighbourOf.values()])
      this.#parts.membership.disconnect(neighbour, 'we lost pieces', 0, nowMs)
  }

  /**
   * Where a piece takes our uplink long it holds up what is said behind it: one more connection for a
   * neighbour is worth it then.
   */
  #separatePieces(nowMs: number): void {
    const peer = this.#parts.uploader.isUplinkSlow ? this.#parts.pieceConnections.next(nowMs) : undefined
    if (peer !== undefined) this.#parts.state.emit({ type: 'openPieceConnection', peer })
  }
}
