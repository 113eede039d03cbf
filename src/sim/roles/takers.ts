/** Roles that take pieces and tell nobody of it, or never have enough. */

import { Bitfield } from '../../content/bitfield.ts'
import type { PeerKey } from '../../engine/contract.ts'
import type { Message } from '../../wire/messages.ts'
import type { ActorContext, Role } from './role.ts'
import { Stranger } from './stranger.ts'

/** Takes offers, so many of each neighbour, and never says `have`. */
class Taker extends Stranger {
  readonly #most: number
  readonly #taken = new Map<PeerKey, number>()

  constructor(context: ActorContext, most: number) {
    super(context)
    this.#most = most
  }

  protected override hear(peer: PeerKey, message: Message, _nowMs: number): void {
    if (message.type !== 'offer') return
    const taken = this.#taken.get(peer) ?? 0
    const pieces = message.pieces.slice(0, Math.max(0, this.#most - taken))
    if (pieces.length === 0) return
    this.#taken.set(peer, taken + pieces.length)
    this.send(peer, { type: 'request', pieces, urgent: false })
  }
}

/** Without an offer for so long, a sybil thinks that its name is spent. */
const SPENT_MS = 2000

class Sybil extends Taker {
  #offeredMs: number | undefined
  #isGone = false

  protected override hear(peer: PeerKey, message: Message, nowMs: number): void {
    if (message.type === 'offer') this.#offeredMs = nowMs
    super.hear(peer, message, nowMs)
  }

  protected override handleLeft(_peer: PeerKey, reason: string): void {
    if (reason !== 'gone') this.#rejoin()
  }

  protected override actAgain(nowMs: number): void {
    if (this.#offeredMs !== undefined && nowMs - this.#offeredMs > SPENT_MS) this.#rejoin()
  }

  #rejoin(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.emit({ type: 'rejoin' })
  }
}

/**
 * Asks every neighbour for all that it has, as urgent; acknowledges each piece; and begins again when it has
 * everything.
 */
class Greedy extends Stranger {
  readonly #offers = new Map<PeerKey, Bitfield>()
  readonly #asked = new Map<PeerKey, Set<number>>()

  protected override greet(peer: PeerKey): void {
    this.#offers.set(peer, new Bitfield(this.context.geometry.pieceCount))
    this.#asked.set(peer, new Set())
  }

  protected override hear(peer: PeerKey, message: Message): void {
    const holds = this.#offers.get(peer)
    const asked = this.#asked.get(peer)
    if (holds === undefined || asked === undefined) return
    if (message.type === 'bitfield') {
      for (const piece of Bitfield.fromBytes(message.bits, holds.size).ones()) holds.set(piece)
    } else if (message.type === 'have') for (const piece of message.pieces) holds.set(piece)
    else if (message.type === 'reject') {
      for (const piece of message.pieces) asked.delete(piece)
      return
    } else return
    this.#ask(peer, holds, asked)
  }

  protected override takePiece(peer: PeerKey, piece: number): void {
    this.#asked.get(peer)?.delete(piece)
    for (const neighbour of this.neighbours.keys()) this.send(neighbour, { type: 'have', pieces: [piece] })
  }

  protected override actAgain(): void {
    for (const peer of this.neighbours.keys()) {
      const holds = this.#offers.get(peer)
      const asked = this.#asked.get(peer)
      if (holds !== undefined && asked !== undefined) this.#ask(peer, holds, asked)
    }
  }

  #ask(peer: PeerKey, holds: Bitfield, asked: Set<number>): void {
    const pieces = [...holds.ones()].filter(piece => !asked.has(piece))
    for (const piece of pieces) asked.add(piece)
    this.sendPieces(peer, pieces, some => ({ type: 'request', pieces: some, urgent: true }))
  }
}

export const takesThree: Role = { isHostile: true, act: context => new Taker(context, 3) }
export const neverSaysHave: Role = { isHostile: true, act: context => new Taker(context, Number.POSITIVE_INFINITY) }
export const sybil: Role = { isHostile: true, act: context => new Sybil(context, Number.POSITIVE_INFINITY) }
export const greedy: Role = { isHostile: true, act: context => new Greedy(context) }
