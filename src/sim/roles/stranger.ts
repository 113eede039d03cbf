/**
 * A scripted peer without an engine: it dials everybody it hears of, takes everybody who dials, sends its
 * bitfield, and leaves the rest to the roles that extend it. It keeps nothing that it receives.
 */

import { Bitfield } from '../../content/bitfield.ts'
import type { Input, Output, PeerKey } from '../../engine/contract.ts'
import { MAX_PIECES_PER_MESSAGE, type Message, type RejectReason } from '../../wire/messages.ts'
import type { Actor, ActorOutput } from '../actor.ts'
import type { ActorContext } from './role.ts'

/** Between two rounds of dialling and acting. */
const ROUND_MS = 500
const FIND_MS = 3000
const MAX_STREAMS = 64

export abstract class Stranger implements Actor {
  protected readonly context: ActorContext
  /** Neighbours, and since when. */
  protected readonly neighbours = new Map<PeerKey, number>()
  readonly #known = new Set<PeerKey>()
  readonly #dialling = new Set<PeerKey>()
  #outputs: ActorOutput[] = []
  #roundMs = 0
  #findMs = 0

  constructor(context: ActorContext) {
    this.context = context
  }

  /** Pieces that its bitfield claims. */
  protected get claimed(): Bitfield {
    return new Bitfield(this.context.geometry.pieceCount)
  }

  protected get allPieces(): number[] {
    return Array.from({ length: this.context.geometry.pieceCount }, (_, piece) => piece)
  }

  /** After the bitfield went to a new neighbour. */
  protected greet(_peer: PeerKey, _nowMs: number): void {}
  protected hear(_peer: PeerKey, _message: Message, _nowMs: number): void {}
  protected takePiece(_peer: PeerKey, _piece: number, _nowMs: number): void {}
  /** A neighbour ended the stream. */
  protected handleLeft(_peer: PeerKey, _reason: string): void {}
  /** Twice a second. */
  protected actAgain(_nowMs: number): void {}

  handle(input: Input, nowMs: number): readonly ActorOutput[] {
    this.#handle(input, nowMs)
    if (nowMs >= this.#roundMs) {
      this.#roundMs = nowMs + ROUND_MS
      this.#dialAll(nowMs)
      this.actAgain(nowMs)
    }
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  deadlineMs(): number {
    return this.#roundMs
  }

  accepts(_peer: PeerKey, _nowMs: number): boolean {
    return true
  }

  protected emit(output: ActorOutput): void {
    this.#outputs.push(output)
  }

  protected send(peer: PeerKey, message: Message): void {
    this.emit({ type: 'send', peer, message })
  }

  /** Says it about any number of pieces, in as many messages as that takes. */
  protected sendPieces(peer: PeerKey, pieces: readonly number[], make: (some: number[]) => Message): void {
    for (let start = 0; start < pieces.length; start += MAX_PIECES_PER_MESSAGE) {
      this.send(peer, make(pieces.slice(start, start + MAX_PIECES_PER_MESSAGE)))
    }
  }

  protected reject(peer: PeerKey, pieces: readonly number[], reason: RejectReason): void {
    this.send(peer, { type: 'reject', pieces: [...pieces], reason })
  }

  #handle(input: Input, nowMs: number): void {
    switch (input.type) {
      case 'peerDiscovered':
        this.#known.add(input.peer)
        this.#roundMs = Math.min(this.#roundMs, nowMs)
        return
      case 'peerJoined':
        this.#dialling.delete(input.peer)
        this.#known.add(input.peer)
        this.neighbours.set(input.peer, nowMs)
        this.send(input.peer, { type: 'bitfield', bits: this.claimed.toBytes() })
        this.greet(input.peer, nowMs)
        return
      case 'peerLeft':
        this.neighbours.delete(input.peer)
        this.handleLeft(input.peer, input.reason)
        return
      case 'dialFailed':
        this.#dialling.delete(input.peer)
        return
      case 'messageReceived':
        if (input.message.type === 'peers') for (const { peer } of input.message.peers) this.#known.add(peer)
        if (this.neighbours.has(input.peer)) this.hear(input.peer, input.message, nowMs)
        return
      case 'pieceReceived': {
        const drop: Output = { type: 'dropPiece', peer: input.peer, piece: input.piece, reason: 'a stranger keeps nothing' }
        this.emit(drop)
        if (this.neighbours.has(input.peer)) this.takePiece(input.peer, input.piece, nowMs)
        return
      }
      default:
        return
    }
  }

  #dialAll(nowMs: number): void {
    for (const peer of this.#known) {
      if (this.neighbours.size + this.#dialling.size >= MAX_STREAMS) break
      if (peer === this.context.self || this.neighbours.has(peer) || this.#dialling.has(peer)) continue
      this.#dialling.add(peer)
      this.emit({ type: 'dial', peer })
    }
    if (nowMs < this.#findMs) return
    this.#findMs = nowMs + FIND_MS
    this.emit({ type: 'findPeers' })
  }
}
