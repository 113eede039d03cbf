/**
 * One engine on a simulated machine, and what the world knows about it (which may be more than the engine does).
 */

import type { Bitfield } from '../content/bitfield.ts'
import type { Swarm } from '../engine/swarm.ts'
import type { Message } from '../wire/messages.ts'
import type { Host } from './host.ts'

/** How a peer treats others. `corrupter` sends wrong bytes; `free-rider` takes and never offers; `silent` offers, and never sends. */
export type Behaviour = 'honest' | 'corrupter' | 'free-rider' | 'silent'

/** One end of a connection: what it knows and does there is this end's alone. */
export class Link {
  readonly to: SimPeer
  /** The other end. */
  readonly back: Link
  /** Where the other end is: {@link Host.index}. */
  readonly toHost: number
  /** One-way delay of small messages, in microseconds: a whole number, which stands in the object itself and not behind a pointer. */
  readonly delayUs: number
  /** Pieces handed to this direction so far, and how many of them left: messages queue behind pieces, as on one TCP connection. */
  piecesQueued = 0
  piecesSent = 0
  readonly waiting: { message: Message; afterPieces: number }[] = []
  /** When this end's downlink has taken the last piece that came; messages behind it are not read before. */
  takenMs = 0
  isOpen = true

  /** Makes both ends. */
  constructor(from: SimPeer, to: SimPeer, delayMs: number, back?: Link) {
    this.to = to
    this.toHost = to.host.index
    this.delayUs = Math.round(delayMs * 1000)
    this.back = back ?? new Link(to, from, delayMs, this)
  }

  /** One-way delay of small messages, ms. */
  get delayMs(): number {
    return this.delayUs / 1000
  }
}

export class SimPeer {
  readonly key: string
  readonly index: number
  readonly host: Host
  /** Which content it shares: 0 for the first. */
  readonly content: number
  readonly behaviour: Behaviour
  readonly isSeeder: boolean
  readonly joinMs: number
  /** Ground truth: pieces verified here. */
  readonly verified: Bitfield
  swarm: Swarm
  readonly links = new Map<string, Link>()
  /** Peers whose connection ended without this one having noticed yet. */
  readonly unnoticed = new Set<string>()
  timerMs = Number.POSITIVE_INFINITY
  isUp = false
  completedMs: number | undefined
  leftMs: number | undefined
  bytesSent = 0
  bytesReceived = 0
  bytesWasted = 0
  announcedMs = Number.POSITIVE_INFINITY
  isFinding = false
  /** Pieces asked of the origin, and when their first byte comes. */
  readonly fromOrigin = new Map<number, number>()

  constructor(init: {
    key: string
    index: number
    host: Host
    content: number
    behaviour: Behaviour
    isSeeder: boolean
    joinMs: number
    verified: Bitfield
    swarm: Swarm
  }) {
    this.key = init.key
    this.index = init.index
    this.host = init.host
    this.content = init.content
    this.behaviour = init.behaviour
    this.isSeeder = init.isSeeder
    this.joinMs = init.joinMs
    this.verified = init.verified
    this.swarm = init.swarm
  }
}
