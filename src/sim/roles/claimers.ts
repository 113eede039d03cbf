/** Roles that claim to have everything, and send little or nothing of it. */

import { Bitfield } from '../../content/bitfield.ts'
import type { PeerKey } from '../../engine/contract.ts'
import type { Message } from '../../wire/messages.ts'
import type { Role } from './role.ts'
import { Stranger } from './stranger.ts'

/** Offers everything, and offers it again this long after. */
const OFFER_AGAIN_MS = 5000
const DRIBBLE_MS = 10_000

class Claimer extends Stranger {
  readonly #offeredMs = new Map<PeerKey, number>()

  protected override get claimed(): Bitfield {
    return Bitfield.full(this.context.geometry.pieceCount)
  }

  protected override greet(peer: PeerKey, nowMs: number): void {
    this.#offeredMs.set(peer, nowMs)
    this.sendPieces(peer, this.allPieces, pieces => ({ type: 'offer', pieces }))
  }

  protected override actAgain(nowMs: number): void {
    for (const peer of this.neighbours.keys()) {
      if (nowMs - (this.#offeredMs.get(peer) ?? 0) >= OFFER_AGAIN_MS) this.greet(peer, nowMs)
    }
  }
}

class Dribbler extends Claimer {
  /** What each neighbour asked for, and when it gets the next of that. */
  readonly #asked = new Map<PeerKey, { pieces: number[]; nextMs: number }>()

  protected override hear(peer: PeerKey, message: Message, nowMs: number): void {
    const asked = this.#asked.get(peer)
    if (message.type === 'cancel' && asked !== undefined) {
      asked.pieces = asked.pieces.filter(piece => !message.pieces.includes(piece))
    } else if (message.type === 'request') {
      if (asked === undefined) this.#asked.set(peer, { pieces: [...message.pieces], nextMs: nowMs + DRIBBLE_MS })
      else asked.pieces.push(...message.pieces)
    }
  }

  protected override handleLeft(peer: PeerKey): void {
    this.#asked.delete(peer)
  }

  protected override actAgain(nowMs: number): void {
    super.actAgain(nowMs)
    for (const [peer, asked] of this.#asked) {
      if (nowMs < asked.nextMs) continue
      asked.nextMs = nowMs + DRIBBLE_MS
      const piece = asked.pieces.shift()
      if (piece !== undefined) this.emit({ type: 'servePiece', peer, piece, isUrgent: false })
    }
  }
}

class SaysFull extends Stranger {
  protected override get claimed(): Bitfield {
    return Bitfield.full(this.context.geometry.pieceCount)
  }

  protected override hear(peer: PeerKey, message: Message): void {
    if (message.type === 'offer' || message.type === 'request') this.reject(peer, message.pieces, 'full')
  }
}

export const claimer: Role = { isHostile: true, act: context => new Claimer(context) }
export const dribbler: Role = { isHostile: true, act: context => new Dribbler(context) }
export const saysFull: Role = { isHostile: true, act: context => new SaysFull(context) }
