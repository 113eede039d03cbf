/**
 * What neighbours say, checked and passed on to the part that it concerns. A neighbour that breaks the
 * protocol is banned. Used by swarm.ts.
 */

import { Bitfield } from '../content/bitfield.ts'
import type { Message } from '../wire/messages.ts'
import type { Input } from './contract.ts'
import type { Membership } from './discovery/membership.ts'
import type { PeerSet } from './discovery/neighbours.ts'
import type { Downloader } from './download/downloader.ts'
import type { Neighbour } from './neighbour.ts'
import type { OriginShare } from './origin/share.ts'
import type { SwarmState } from './state.ts'
import { ENGINE } from './tunables.ts'
import type { Uploader } from './upload/uploader.ts'

interface ConversationParts {
  readonly state: SwarmState
  readonly peers: PeerSet
  readonly uploader: Uploader
  readonly downloader: Downloader
  readonly origin: OriginShare
  readonly membership: Membership
}

type PieceMessage = Extract<Message, { type: 'offer' | 'request' | 'cancel' | 'reject' | 'taking' | 'expecting' }>

export class Conversation {
  readonly #parts: ConversationParts

  constructor(parts: ConversationParts) {
    this.#parts = parts
  }

  /** The same of a peer that may be no neighbour any more. */
  hearFrom({ peer, message }: Extract<Input, { type: 'messageReceived' }>, nowMs: number): void {
    const neighbour = this.#parts.state.neighbourOf.get(peer)
    if (neighbour !== undefined) this.hear(neighbour, message, nowMs)
  }

  /** False when nothing can follow from it, as from most of what is ever said. */
  hear(neighbour: Neighbour, message: Message, nowMs: number): boolean {
    const { state, peers, origin } = this.#parts
    switch (message.type) {
      case 'have':
        return this.#hearHave(neighbour, message.pieces, nowMs)
      case 'expecting':
        if (!this.#arePieces(neighbour, message.pieces, nowMs)) return true
        for (const piece of message.pieces) state.table.recordExpects(neighbour.slot, piece)
        return false
      case 'bitfield':
        this.#hearBitfield(neighbour, message.bits, nowMs)
        return true
      case 'offer':
      case 'request':
      case 'cancel':
      case 'reject':
      case 'taking':
        if (this.#arePieces(neighbour, message.pieces, nowMs)) this.#hearPieces(neighbour, message, nowMs)
        return true
      case 'peers':
        for (const { peer, isNear } of message.peers) peers.discovered(peer, 'neighbour', undefined, nowMs, isNear)
        return true
      case 'keepers':
        origin.handleKeepers(neighbour, message.keepers, nowMs)
        return true
      case 'hello':
      case 'goodbye':
        return false // the driver's
    }
  }

  /** All are pieces of this content; else the neighbour is banned. */
  #arePieces(neighbour: Neighbour, pieces: readonly number[], nowMs: number): boolean {
    const { state, membership } = this.#parts
    for (const piece of pieces) {
      if (state.geometry.hasPiece(piece)) continue
      membership.ban(neighbour, `no piece ${piece}`, nowMs)
      return false
    }
    return true
  }

  #hearBitfield(neighbour: Neighbour, bytes: Uint8Array, nowMs: number): void {
    const { state, membership } = this.#parts
    if (neighbour.isKnown) {
      membership.ban(neighbour, 'a second bitfield', nowMs)
      return
    }
    let bits: Bitfield
    try {
      bits = Bitfield.fromBytes(bytes, state.geometry.pieceCount)
    } catch (err) {
      membership.ban(neighbour, (err as Error).message, nowMs)
      return
    }
    neighbour.introduce()
    state.table.recordBitfield(neighbour.slot, bits)
  }

  #hearPieces(neighbour: Neighbour, message: PieceMessage, nowMs: number): void {
    const { uploader, downloader, origin, membership } = this.#parts
    switch (message.type) {
      case 'offer':
        downloader.handleOffer(neighbour, message.pieces, nowMs)
        return
      case 'request':
        uploader.handleRequest(neighbour, message.pieces, message.urgent, nowMs)
        if (neighbour.strikes > ENGINE.MAX_STRIKES) membership.ban(neighbour, 'it asks for what it has', nowMs)
        return
      case 'cancel':
        for (const piece of message.pieces) uploader.handleCancel(neighbour, piece)
        return
      case 'reject':
        for (const piece of message.pieces) {
          if (!uploader.handleReject(neighbour, piece, message.reason, nowMs))
            downloader.handleReject(neighbour, piece, message.reason, nowMs)
        }
        if (neighbour.strikes > ENGINE.MAX_STRIKES) membership.ban(neighbour, 'its bitfield is wrong', nowMs)
        return
      case 'taking':
        origin.handleTaking(neighbour, message.pieces, nowMs)
        downloader.handleTaking(neighbour, message.pieces, nowMs)
    }
  }

  #hearHave(neighbour: Neighbour, pieces: readonly number[], nowMs: number): boolean {
    const { state, uploader, downloader, origin, membership } = this.#parts
    const { table, geometry, options } = state
    let mayFollow = downloader.readers.size > 0 || !options.offers || origin.isOpen
    if (pieces.length > 0) origin.handleHave(neighbour, nowMs)
    for (const piece of pieces) {
      if (!geometry.hasPiece(piece)) {
        membership.ban(neighbour, `no piece ${piece}`, nowMs)
        return true
      }
      table.recordHave(neighbour.slot, piece)
      if (uploader.handleHave(neighbour, piece, nowMs)) mayFollow = true
    }
    return mayFollow
  }
}
