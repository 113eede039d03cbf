/**
 * One end of a peer stream between two hosts in memory. Messages take the peer stream's delay and keep their
 * order; they wait for pieces that were sent before on the same connection, and are paid for on the uplink.
 */

import type { PeerStream, PeerStreamHandlers } from '../../src/network/types.ts'
import { messageBytes } from '../../src/sim/links/message-bytes.ts'
import type { Hello, Message, PieceHeader } from '../../src/wire/messages.ts'
import type { MemoryHost } from './memory-host.ts'

/** Delays that opening a connection takes, see the simulator's. */
export const DIAL_DELAYS = 6

/** A piece that waits for the uplink, or is on it. */
export interface Sending {
  readonly peerStream: MemoryPeerStream
  readonly header: PieceHeader
  readonly data: Uint8Array
  readonly isUrgent: boolean
  readonly settle: PromiseWithResolvers<boolean>
}

export class MemoryPeerStream implements PeerStream {
  readonly peer: string
  readonly initiator: boolean
  readonly hello: Hello
  readonly remoteAddress: string
  readonly encryption = 'none'
  readonly delayMs: number
  bytesIn = 0
  bytesOut = 0
  hasPieceConnection = false
  /** The other end; set right after both are made. */
  back!: MemoryPeerStream

  readonly #host: MemoryHost
  #handlers: PeerStreamHandlers | undefined
  /** What came before `start`. */
  #early: (() => void)[] = []
  #ended: string | undefined
  /** Pieces handed to the host and not on their way yet, and messages that wait for them. */
  #piecesQueued = 0
  #piecesSent = 0
  readonly #waiting: { message: Message; afterPieces: number }[] = []

  constructor(host: MemoryHost, peer: string, init: { initiator: boolean; hello: Hello; delayMs: number }) {
    this.#host = host
    this.peer = peer
    this.initiator = init.initiator
    this.hello = init.hello
    this.delayMs = init.delayMs
    this.remoteAddress = `/memory/${peer}`
  }

  get isEnded(): boolean {
    return this.#ended !== undefined
  }

  start(handlers: PeerStreamHandlers): void {
    if (this.#handlers !== undefined) throw new Error('link was started before')
    this.#handlers = handlers
    for (const event of this.#early.splice(0)) event()
    if (this.#ended !== undefined) handlers.onClose(this.#ended)
  }

  send(message: Message): void {
    if (this.isEnded) return
    this.#host.uplink.owe(messageBytes(message))
    if (this.#piecesQueued > this.#piecesSent && !this.hasPieceConnection)
      this.#waiting.push({ message, afterPieces: this.#piecesQueued })
    else this.#depart(message)
  }

  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent = false): Promise<boolean> {
    if (this.isEnded) return Promise.reject(new Error(`link ended: ${this.#ended}`))
    const settle = Promise.withResolvers<boolean>()
    this.#piecesQueued++
    this.#host.uplink.send({ peerStream: this, header, data, isUrgent, settle })
    return settle.promise
  }

  /** The uplink took the last byte of a piece. */
  handleSent({ header, data, settle }: Sending): void {
    this.#piecesSent++
    this.bytesOut += data.byteLength
    const copy = this.back.#host.buffers.take(data.byteLength)
    copy.set(data)
    this.#host.time.after(this.delayMs, () => this.back.#arrive(() => this.back.#takePiece(header, copy)))
    settle.resolve(true)
    while ((this.#waiting[0]?.afterPieces ?? Number.POSITIVE_INFINITY) <= this.#piecesSent)
      this.#depart((this.#waiting.shift() as { message: Message }).message)
  }

  async separatePieces(): Promise<boolean> {
    await this.#host.time.pass(DIAL_DELAYS * this.#host.drawDelay())
    if (!this.isEnded) this.hasPieceConnection = true
    return this.hasPieceConnection
  }

  close(reason: string): void {
    if (this.isEnded) return
    this.#end(reason)
    this.#host.time.after(this.delayMs, () => this.back.#end(reason))
  }

  #depart(message: Message): void {
    this.#host.time.after(this.delayMs, () => this.back.#arrive(() => this.back.#handlers?.onMessage(message)))
  }

  #takePiece(header: PieceHeader, data: Uint8Array): void {
    this.bytesIn += data.byteLength
    this.#handlers?.onPiece(header, data)
  }

  #arrive(event: () => void): void {
    if (this.isEnded) return
    if (this.#handlers === undefined) this.#early.push(event)
    else event()
  }

  #end(reason: string): void {
    if (this.isEnded) return
    this.#ended = reason
    this.#host.forget(this)
    this.#handlers?.onClose(reason)
  }
}
