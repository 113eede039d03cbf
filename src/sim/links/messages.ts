/**
 * Small messages where links are simple: they take a delay with jitter, never overtake each other on a
 * connection, queue behind the pieces of their connection unless these have one of their own, and are paid
 * for on the uplink.
 */

import type { Input } from '../../engine/contract.ts'
import type { Message } from '../../wire/messages.ts'
import type { Engines } from '../engines.ts'
import type { Machine } from '../machine.ts'
import type { SimPeer } from '../peer.ts'
import type { PeerStream } from '../peer-stream.ts'
import type { Schedule } from '../schedule.ts'
import { messageBytes } from './message-bytes.ts'

type MessageInput = Extract<Input, { type: 'messageReceived' }>

export class Messages {
  /** Bytes said so far. */
  bytes = 0
  readonly #schedule: Schedule
  readonly #engines: Engines

  constructor(schedule: Schedule, engines: Engines) {
    this.#schedule = schedule
    this.#engines = engines
  }

  send(peer: SimPeer, key: string, message: Message): void {
    const stream = peer.streams.get(key)
    if (stream === undefined) return
    this.#owe(peer, message, 1)
    if (waitsForPieces(stream)) stream.waiting.push({ message, afterPieces: stream.piecesQueued })
    else this.#depart(peer, stream, message)
  }

  /** One event for all neighbours: a swarm of ten thousand says a hundred million `have`. */
  broadcast(peer: SimPeer, messages: readonly Message[]): void {
    const inputs = messages.map((message): MessageInput => ({ type: 'messageReceived', peer: peer.key, message }))
    const happening = (machine: Machine): void => {
      for (const to of machine.peers) if (to.content === peer.content) this.#deliverBroadcast(peer, to, inputs)
    }
    for (const stream of peer.streams.values()) {
      if (waitsForPieces(stream)) {
        for (const message of messages) stream.waiting.push({ message, afterPieces: stream.piecesQueued })
      } else this.#schedule.onIndex(stream.toMachine, this.#schedule.nowMs + stream.delayMs, happening)
    }
    for (const message of messages) this.#owe(peer, message, peer.streams.size)
  }

  /** A piece left the connection's queue: messages behind it may go. */
  release(peer: SimPeer, stream: PeerStream): void {
    stream.piecesSent++
    let index = 0
    while (index < stream.waiting.length && (stream.waiting[index]?.afterPieces as number) <= stream.piecesSent) {
      this.#depart(peer, stream, (stream.waiting[index] as { message: Message }).message)
      index++
    }
    if (index > 0) stream.waiting.splice(0, index)
  }

  #depart(peer: SimPeer, stream: PeerStream, message: Message): void {
    this.#deliverAt(this.#schedule.nowMs + stream.delayMs, stream, { type: 'messageReceived', peer: peer.key, message })
  }

  #deliverAt(ms: number, stream: PeerStream, input: MessageInput): void {
    this.#schedule.on(stream.to.machine, ms, () => this.#deliver(stream, input))
  }

  #deliver(stream: PeerStream, input: MessageInput): void {
    const { to, back } = stream
    if (!to.isUp || !back.isOpen) return
    // A piece came before it, which the downlink has not taken yet.
    if (back.takenMs > this.#schedule.nowMs && !stream.hasPieceConnection) this.#deliverAt(back.takenMs, stream, input)
    else this.#engines.hand(to, input)
  }

  /**
   * Also where the stream was cut while this was under way: it is true all the same, and the engine knows
   * when its neighbour left.
   */
  #deliverBroadcast(from: SimPeer, to: SimPeer, inputs: readonly MessageInput[]): void {
    if (!to.isUp) return
    const { nowMs } = this.#schedule
    if (to.machine.downFreeMs > nowMs) {
      const stream = to.streams.get(from.key)
      if (stream !== undefined && stream.takenMs > nowMs && !stream.back.hasPieceConnection) {
        for (const input of inputs) this.#deliverAt(stream.takenMs, stream.back, input)
        return
      }
    }
    for (const input of inputs) this.#engines.handBroadcast(to, input)
  }

  #owe(peer: SimPeer, message: Message, copies: number): void {
    const bytes = messageBytes(message) * copies
    this.bytes += bytes
    peer.machine.owedBytes += bytes
  }
}

function waitsForPieces({ piecesQueued, piecesSent, hasPieceConnection }: PeerStream): boolean {
  return piecesQueued > piecesSent && !hasPieceConnection
}
