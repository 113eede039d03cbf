/**
 * One `/swarm/pieces/2.0.0` stream, and the piece connections beside it if there are any: frames in, frames
 * out, and an end with a reason.
 *
 * Invariants
 * - Every listener on the stream is guarded: whatever a remote sends ends this peer stream and nothing else.
 * - Memory is bounded on both sides. In: one frame for each stream, and pieces only that we requested. Out:
 *   {@link MAX_CONTROL_QUEUE_BYTES} of control; pieces wait as references, their number is the caller's
 *   choice.
 * - Our pieces travel on our piece connection from the moment there is one, messages never do.
 * - `onClose` comes exactly once, and nothing after it.
 *
 * Sending is send-queue.ts. Created by peer-streams.ts.
 */

import type { Connection, Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import { encodeMessage, type WireLimits } from '../../wire/codec.ts'
import type { HandshakeFrame, RootKey } from '../../wire/handshake.ts'
import type { Hello, Message, PieceHeader } from '../../wire/messages.ts'
import { isDelaySensitive, isVolatileSource } from '../transport/fast-path.ts'
import type { PeerStream, PeerStreamHandlers } from '../types.ts'
import { FrameReader } from './frame-reader.ts'
import type { PieceConnection } from './piece-connection.ts'
import { SendQueue } from './send-queue.ts'

/** A peer that lets this much control traffic pile up does not read. */
const MAX_CONTROL_QUEUE_BYTES = 1024 * 1024
/**
 * What a peer may say in the long run, and at once. A busy swarm needs some kilobytes per second, a large one
 * some hundred when it is joined: the bitfield of a million pieces is 128 KiB.
 */
const CONTROL_BYTES_PER_SECOND = 512 * 1024
const CONTROL_BURST_BYTES = 8 * 1024 * 1024
/** Each message counts for this much more than its bytes. */
const MESSAGE_COST_BYTES = 64
/** Messages that may arrive between the hello and `start`. */
const MAX_EARLY_MESSAGES = 256
/** From the peer's goodbye to the end of the pieces that it had sent before. */
const LAST_PIECES_MS = 10_000
/** Larger than the multiplexer's largest window, or a burst would abort the stream. */
export const MAX_READ_BUFFER_BYTES = 16 * 1024 * 1024

export interface Libp2pPeerStreamInit {
  stream: Stream
  /** What the stream is on. */
  connection: Connection
  initiator: boolean
  buffers: BufferPool
  log(line: string): void
  /** A frame of the handshake. Throws `ProtocolError` when it is out of order or proves nothing. */
  onHandshake(frame: HandshakeFrame): void
  /**
   * The peer's hello; the receiver calls `open` or `close` at once, or throws when the root is not proven
   * yet.
   */
  onHello(hello: Hello): void
  /** The peer stream ended, at any stage. */
  onEnd(reason: string): void
  /** Opens a piece connection and attaches it; resolves with false where it cannot be had. Never rejects. */
  openPieceConnection(): Promise<boolean>
}

export class Libp2pPeerStream implements PeerStream {
  readonly connection: Connection
  readonly peer: string
  readonly initiator: boolean
  readonly remoteAddress: string
  readonly encryption: string
  readonly openedMs = performance.now()
  /** Round trip of the hellos as the initiator saw it, in milliseconds. */
  helloMs: number | undefined
  bytesIn = 0

  readonly #init: Libp2pPeerStreamInit
  readonly #stream: Stream
  readonly #sendQueue: SendQueue
  readonly #reader: FrameReader
  /** Where our pieces travel, and where the peer's do; undefined: on the stream itself. */
  #connectionOut: PieceConnection | undefined
  #connectionIn: PieceConnection | undefined
  /** Our pieces travel on the stream itself. */
  #carriesPieces = false
  #rootKey: RootKey | undefined
  /** Whether our piece connection was had, once it was asked for and until that failed. */
  #openingPieceConnection: Promise<boolean> | undefined
  #hello: Hello | undefined
  #limits: WireLimits | undefined
  #handlers: PeerStreamHandlers | undefined
  /** Between hello and `start`. */
  #early: Message[] = []
  /** Why the peer stream ended; set once. */
  #ended: string | undefined
  /** The peer is leaving, and the piece connection may still bring what it sent before. */
  #peerEnded: { reason: string; timer: NodeJS.Timeout } | undefined

  /** How many arrivals of each piece we have asked for; a cancelled piece may still be on its way. */
  readonly #requested = new Map<number, number>()

  #lastInMs = performance.now()
  /** What the peer may still say at once, in bytes; see {@link CONTROL_BYTES_PER_SECOND}. */
  #controlCredit = CONTROL_BURST_BYTES
  #chargedMs = this.#lastInMs

  constructor(init: Libp2pPeerStreamInit) {
    this.#init = init
    this.#stream = init.stream
    this.connection = init.connection
    this.peer = init.connection.remotePeer.toString()
    this.initiator = init.initiator
    this.remoteAddress = init.connection.remoteAddr.toString()
    this.encryption = encryptionName(init.connection)
    this.#reader = new FrameReader(
      {
        handleMessage: (message, bytes) => this.#handleMessage(message, bytes),
        handleHandshake: (frame, bytes) => {
          this.#chargeControl(bytes)
          init.onHandshake(frame)
        },
        checkPiece: header => this.checkPiece(header),
        handlePiece: (header, data) => this.handlePiece(header, data)
      },
      init.buffers
    )
    const { stream } = init
    this.#sendQueue = new SendQueue(stream, err => this.#finish(`cannot send: ${err.message}`))
    stream.maxReadBufferLength = MAX_READ_BUFFER_BYTES
    stream.addEventListener('close', event => this.#handleStreamClosed(event))
    stream.addEventListener('remoteCloseWrite', () => this.#handlePeerEnded('peer ended the stream'))
    stream.addEventListener('message', event => this.#handleData(event))
    if (isVolatileSource(stream)) stream.takeVolatile = chunk => this.#handleChunk(chunk)
    // Later: the caller does not have this peer stream yet, so it could not hear of its end.
    if (stream.status !== 'open') queueMicrotask(() => this.#finish('stream closed'))
  }

  get hello(): Hello {
    if (this.#hello === undefined) throw new Error('the peer stream is not open')
    return this.#hello
  }

  /** The content that the peer stream is for. */
  get rootKey(): RootKey {
    if (this.#rootKey === undefined) throw new Error('the peer stream is not open')
    return this.#rootKey
  }

  get bytesOut(): number {
    return this.#sendQueue.bytes + (this.#connectionOut?.bytesOut ?? 0)
  }

  get limits(): WireLimits {
    if (this.#limits === undefined) throw new Error('the peer stream is not open')
    return this.#limits
  }

  /**
   * Round trip in milliseconds: by the last ping, where there was one, else by the hellos. Undefined on the
   * side that was dialled.
   */
  get rttMs(): number | undefined {
    return this.connection.rtt ?? this.helloMs
  }

  /** When something came, on the clock of `performance.now()`. */
  get lastInMs(): number {
    return this.#lastInMs
  }

  get isEnded(): boolean {
    return this.#ended !== undefined
  }

  /** The handshake is done: from now on this is a peer stream for a content of these limits. */
  open(rootKey: RootKey, hello: Hello, limits: WireLimits): void {
    this.#rootKey = rootKey
    this.#hello = hello
    this.#limits = limits
    this.#reader.setLimits(limits)
  }

  /** Sends a frame of the handshake. */
  greet(frame: Uint8Array): void {
    if (this.#ended === undefined) this.#sendQueue.sendControl(frame)
  }

  start(handlers: PeerStreamHandlers): void {
    if (this.#handlers !== undefined) throw new Error('the peer stream was started before')
    this.#handlers = handlers
    const early = this.#early
    this.#early = []
    for (const message of early) {
      try {
        handlers.onMessage(message)
      } catch (err) {
        this.#handleFault(err)
      }
    }
    if (this.#ended !== undefined) handlers.onClose(this.#ended)
  }

  send(message: Message): void {
    if (this.#ended !== undefined) return
    if (message.type === 'request') {
      for (const piece of message.pieces) this.#requested.set(piece, (this.#requested.get(piece) ?? 0) + 1)
    }
    this.#sendQueue.sendControl(encodeMessage(message))
    if (this.#sendQueue.controlBytes > MAX_CONTROL_QUEUE_BYTES) this.close('not reading')
  }

  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent = false): Promise<boolean> {
    if (data.byteLength !== header.bytes)
      throw new RangeError(`piece of ${data.byteLength} bytes with a header of ${header.bytes}`)
    if (this.#ended !== undefined) return Promise.reject(new Error(`peer stream ended: ${this.#ended}`))
    if (this.#connectionOut !== undefined) return this.#connectionOut.sendPiece(header, data, isUrgent)
    this.#carryPieces(true)
    return this.#sendQueue.sendPiece(header, data, isUrgent)
  }

  async separatePieces(): Promise<boolean> {
    if (this.#connectionOut !== undefined || this.#ended !== undefined) return this.#connectionOut !== undefined
    this.#openingPieceConnection ??= this.#init.openPieceConnection().finally(() => {
      this.#openingPieceConnection = undefined
    })
    return this.#openingPieceConnection
  }

  #carryPieces(isCarrying: boolean): void {
    if (this.#carriesPieces === isCarrying) return
    this.#carriesPieces = isCarrying
    if (isDelaySensitive(this.#stream)) this.#stream.preferLowDelay(!isCarrying)
  }

  get hasPieceConnection(): boolean {
    return this.#connectionOut !== undefined
  }

  /** Whether the peer's pieces have a piece connection, so that it needs no other. */
  get hasPieceConnectionIn(): boolean {
    return this.#connectionIn !== undefined
  }

  /** From now on our pieces travel there, and what this stream carries is small. */
  attachPieceConnectionOut(pieceConnection: PieceConnection): void {
    this.#connectionOut = pieceConnection
    this.#carryPieces(false)
  }

  attachPieceConnectionIn(pieceConnection: PieceConnection): void {
    this.#connectionIn = pieceConnection
  }

  /**
   * A piece connection is no more, and with it pieces that were on their way. `isByPeer`: it said so, or the
   * connection is gone; else we found fault.
   */
  handlePieceConnectionEnded(pieceConnection: PieceConnection, reason: string, isByPeer: boolean): void {
    if (pieceConnection === this.#connectionIn && this.#peerEnded !== undefined) this.#finish(this.#peerEnded.reason)
    else if (pieceConnection === this.#connectionOut && isByPeer) this.#handlePeerEnded(reason)
    else this.close(reason)
  }

  close(reason: string): void {
    if (this.#ended !== undefined) return
    this.#finish(reason, encodeMessage({ type: 'goodbye', reason }))
  }

  /** Ends the peer stream when the peer has stood still for too long. Called every second or so. */
  checkProgress(nowMs: number, stallTimeoutMs: number): void {
    if (this.#ended !== undefined) return
    if (this.#sendQueue.blockedForMs(nowMs) > stallTimeoutMs) this.close('not reading')
    else if (this.#reader.midFrame && nowMs - this.#lastInMs > stallTimeoutMs) this.close('stopped inside a frame')
    this.#connectionOut?.checkProgress(nowMs, stallTimeoutMs)
    this.#connectionIn?.checkProgress(nowMs, stallTimeoutMs)
  }

  // ---- in ----

  #handleData({ data }: StreamMessageEvent): void {
    if (data instanceof Uint8Array) this.#handleChunk(data)
    else for (const chunk of data) this.#handleChunk(chunk)
  }

  #handleChunk(chunk: Uint8Array): void {
    this.bytesIn += chunk.byteLength
    if (this.#ended !== undefined) return
    this.#lastInMs = performance.now()
    try {
      this.#reader.push(chunk)
    } catch (err) {
      this.#handleFault(err)
    }
  }

  #handleMessage(message: Message, bytes: number): void {
    this.#chargeControl(bytes)
    if (message.type === 'goodbye') {
      this.#handlePeerEnded(message.reason)
      return
    }
    if (message.type === 'hello') {
      this.#init.onHello(message)
      return
    }
    if (message.type === 'reject') for (const piece of message.pieces) this.#forgetRequest(piece)
    if (this.#handlers !== undefined) this.#handlers.onMessage(message)
    else if (this.#early.push(message) > MAX_EARLY_MESSAGES) throw new ProtocolError('too many messages right after hello')
  }

  /** Decoding and answering messages costs far more than sending them: who floods us with them is ended. */
  #chargeControl(bytes: number): void {
    const earned = ((this.#lastInMs - this.#chargedMs) / 1000) * CONTROL_BYTES_PER_SECOND
    this.#chargedMs = this.#lastInMs
    this.#controlCredit = Math.min(CONTROL_BURST_BYTES, this.#controlCredit + earned) - bytes - MESSAGE_COST_BYTES
    if (this.#controlCredit < 0) throw new ProtocolError('too many messages')
  }

  /** Throws for a piece that we did not ask for. */
  checkPiece({ piece }: PieceHeader): void {
    if (!this.#forgetRequest(piece)) throw new ProtocolError(`piece ${piece} was not requested`)
  }

  handlePiece(header: PieceHeader, data: Uint8Array): void {
    this.#handlers?.onPiece(header, data)
  }

  /** Counts bytes that came over the piece connection. */
  countIn(bytes: number): void {
    this.bytesIn += bytes
  }

  /** One arrival or rejection less to expect; false when none was. */
  #forgetRequest(piece: number): boolean {
    const count = this.#requested.get(piece)
    if (count === undefined) return false
    if (count === 1) this.#requested.delete(piece)
    else this.#requested.set(piece, count - 1)
    return true
  }

  /**
   * What a remote's bytes set off went wrong. Its faults end the peer stream; ours do too, and are logged.
   */
  #handleFault(err: unknown): void {
    if (err instanceof ProtocolError) {
      this.close(err.message)
    } else {
      this.#init.log(`peer stream to ${this.peer}: handler failed: ${(err as Error).stack}`)
      this.close('internal error')
    }
  }

  // ---- end ----

  /** The peer says nothing more, but what it sent on the piece connection before may be slower. */
  #handlePeerEnded(reason: string): void {
    if (this.#connectionIn === undefined || this.#connectionIn.isEnded) {
      this.#finish(reason)
      return
    }
    this.#peerEnded ??= { reason, timer: setTimeout(() => this.#finish(reason), LAST_PIECES_MS).unref() }
  }

  #handleStreamClosed(event: StreamCloseEvent): void {
    if (event.error === undefined) this.#handlePeerEnded('stream closed')
    else this.#finish(`connection lost: ${event.error.message}`)
  }

  /**
   * The peer stream is over for its owner; the streams may still be finishing the frame under way and the
   * goodbye.
   */
  #finish(reason: string, goodbye?: Uint8Array): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    clearTimeout(this.#peerEnded?.timer)
    this.#reader.end()
    this.#requested.clear()
    const err = new Error(`peer stream ended: ${reason}`)
    this.#sendQueue.end(err, goodbye)
    this.#connectionOut?.end(err, goodbye)
    this.#connectionIn?.end(err, goodbye)
    this.#init.onEnd(reason)
    try {
      this.#handlers?.onClose(reason)
    } catch (failure) {
      this.#init.log(`peer stream to ${this.peer}: onClose failed: ${(failure as Error).stack}`)
    }
  }
}

/** 'tls' or 'noise' from the protocol's name ('/tls/1.0.0', '/noise'). */
function encryptionName(connection: Connection): string {
  return connection.encryption?.split('/')[1] ?? 'unknown'
}
