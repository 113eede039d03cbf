/**
 * One end of the stream between two simulated neighbours: what it knows and does there is this end's alone.
 */

import type { Message } from '../wire/messages.ts'
import type { SimPeer } from './peer.ts'

export class PeerStream {
  readonly to: SimPeer
  /** The other end. */
  readonly back: PeerStream
  /** Where the other end is: {@link Machine.index}. */
  readonly toMachine: number
  /**
   * One-way delay of small messages, in microseconds: a whole number, which stands in the object itself and
   * not behind a pointer.
   */
  readonly delayUs: number
  /**
   * Pieces handed to this direction so far, and how many of them left: messages queue behind pieces, as on
   * one TCP connection.
   */
  piecesQueued = 0
  piecesSent = 0
  readonly waiting: { message: Message; afterPieces: number }[] = []
  /** When this end's downlink has taken the last piece that came; messages behind it are not read before. */
  takenMs = 0
  /** Our pieces have a connection of their own: messages neither wait for them here nor behind them there. */
  hasPieceConnection = false
  isOpen = true

  /** Makes both ends. */
  constructor(from: SimPeer, to: SimPeer, delayMs: number, back?: PeerStream) {
    this.to = to
    this.toMachine = to.machine.index
    this.delayUs = Math.round(delayMs * 1000)
    this.back = back ?? new PeerStream(to, from, delayMs, this)
  }

  /** One-way delay of small messages, ms. */
  get delayMs(): number {
    return this.delayUs / 1000
  }
}
