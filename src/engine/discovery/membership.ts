/**
 * How a neighbour comes and goes: each part of the engine hears of it, in one order. Used by swarm.ts.
 */

import type { Input } from '../contract.ts'
import type { Downloader } from '../download/downloader.ts'
import type { Neighbour } from '../neighbour.ts'
import type { OriginShare } from '../origin/share.ts'
import type { SwarmState } from '../state.ts'
import { ENGINE } from '../tunables.ts'
import type { Uploader } from '../upload/uploader.ts'
import type { PeerSet } from './neighbours.ts'
import type { PieceConnections } from './piece-connections.ts'
import type { Welcome } from './welcome.ts'

interface MembershipParts {
  readonly state: SwarmState
  readonly peers: PeerSet
  readonly uploader: Uploader
  readonly downloader: Downloader
  readonly origin: OriginShare
  readonly welcome: Welcome
  readonly pieceConnections: PieceConnections
}

export class Membership {
  readonly #parts: MembershipParts

  constructor(parts: MembershipParts) {
    this.#parts = parts
  }

  handleJoined(input: Extract<Input, { type: 'peerJoined' }>, nowMs: number): void {
    const { state, peers, uploader, downloader, origin, welcome, pieceConnections } = this.#parts
    const joined = peers.join(input, nowMs)
    if (joined === undefined) {
      if (!state.neighbourOf.has(input.peer)) welcome.turnAway(input, peers.isBanned(input.peer, nowMs), nowMs)
      return
    }
    const { neighbour, replaced } = joined
    if (replaced !== undefined) {
      this.disconnect(replaced, 'makes room for a newcomer', 0, nowMs)
      welcome.recordTurnedAway(replaced.key, nowMs)
    }
    // Pieces not yet announced by `have` are in this bitfield too; saying them twice is harmless.
    state.send(neighbour, { type: 'bitfield', bits: state.have.toBytes() })
    welcome.tellPeers(input, [])
    pieceConnections.handleJoined(input.peer)
    origin.handleJoined(neighbour, nowMs)
    uploader.handleJoined(neighbour)
    downloader.handleJoined(neighbour)
  }

  /** It broke the protocol. */
  ban(neighbour: Neighbour, reason: string, nowMs: number): void {
    this.disconnect(neighbour, reason, ENGINE.PROTOCOL_BAN_MS, nowMs)
  }

  /**
   * Ends the stream, and bans the peer for `banMs` (0: not at all). Nothing happens when it is no neighbour
   * any more.
   */
  disconnect(neighbour: Neighbour, reason: string, banMs: number, nowMs: number): void {
    const { state, peers } = this.#parts
    if (state.neighbourOf.get(neighbour.key) !== neighbour) return
    this.forget(neighbour, nowMs)
    if (banMs > 0) peers.ban(neighbour.key, nowMs + banMs)
    state.emit({ type: 'disconnect', peer: neighbour.key, reason, banMs })
  }

  /** It left. */
  forget(neighbour: Neighbour, nowMs: number): void {
    const { state, peers, uploader, downloader, origin, pieceConnections } = this.#parts
    uploader.handleLeft(neighbour)
    downloader.handleLeft(neighbour)
    origin.handleLeft(neighbour, nowMs)
    pieceConnections.handleLeft(neighbour.key)
    state.table.clearSlot(neighbour.slot)
    peers.leave(neighbour, nowMs)
  }
}
