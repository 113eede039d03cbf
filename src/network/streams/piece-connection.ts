/**
 * A `/swarm/lane/2.0.0` stream: one side's pieces of a peer stream on a connection of their own, so that
 * offers, answers and acknowledgements do not wait behind them in a slow uplink's queue. Each side opens its
 * own: what the receiver sends on it (TCP's acknowledgements above all) is small then, and can go before its
 * own pieces.
 *
 * Invariants: nothing but the handshake, pieces and goodbye passes; a piece must have been requested on the
 * peer stream; whatever a remote sends ends this piece connection, and with it the peer stream that it
 * belongs to, and nothing else; `onEnd` comes exactly once. Created by peer-streams.ts, used by
 * peer-stream.ts.
 */

import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import { encodeMessage } from '../../wire/codec.ts'
import type { HandshakeFrame } from '../../wire/handshake.ts'
import type { Message, PieceHeader } from '../../wire/messages.ts'
import { isDelaySensitive, isVolatileSource } from '../transport/fast-path.ts'
import { FrameReader } from './frame-reader.ts'
import { type Libp2pPeerStream, MAX_READ_BUFFER_BYTES } from './peer-stream.ts'
import { SendQueue } from './send-queue.ts'

export interface PieceConnectionInit {
  stream: Stream
  buffers: BufferPool
  log(line: string): void
  /**
   * A frame of the handshake; the receiver goes on, opens or refuses. Throws `ProtocolError` when it is out
   * of order or proves nothing.
   */
  onHandshake(frame: HandshakeFrame): void
  /** The piece connection ended, at any stage. */
  onEnd(): void
}

export class PieceConnection {
  readonly #init: PieceConnectionInit
  readonly #sendQueue: SendQueue
  readonly #reader: FrameReader
  #peerStream: Libp2pPeerStream | undefined
  #isEnded = false
  #lastInMs = performance.now()

  constructor(init: PieceConnectionInit) {
    this.#init = init
    const { stream } = init
    this.#sendQueue = new SendQueue(stream, err => this.#finish(`cannot send: ${err.message}`, true))
    this.#reader = new FrameReader(
      {
        handleMessage: message => this.#handleMessage(message),
        handleHandshake: frame => init.onHandshake(frame),
        checkPiece: header => this.#peerStream?.checkPiece(header),
        handlePiece: (header, data) => this.#peerStream?.handlePiece(header, data)
      },
      init.buffers
    )
    stream.maxReadBufferLength = MAX_READ_BUFFER_BYTES
    stream.addEventListener('message', event => this.#handleData(event))
    if (isVolatileSource(stream)) stream.takeVolatile = chunk => this.#handleChunk(chunk)
    stream.addEventListener('remoteCloseWrite', () => this.#finish('peer ended the piece connection', true))
    stream.addEventListener('close', ({ error }) => this.#finish(`piece connection lost: ${error?.message ?? 'closed'}`, true))
    if (stream.status !== 'open') queueMicrotask(() => this.#finish('piece connection closed', true))
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get bytesOut(): number {
    return this.#sendQueue.bytes
  }

  /** Sends a frame of the handshake. */
  greet(frame: Uint8Array): void {
    this.#sendQueue.sendControl(frame)
  }

  /** Both sides have proven the root: our pieces may go this way. */
  openOut(peerStream: Libp2pPeerStream): void {
    this.#peerStream = peerStream
    // No piece comes this way.
    this.#reader.setLimits({ ...peerStream.limits, maxPieceBytes: 0 })
    const { stream } = this.#init
    if (isDelaySensitive(stream)) stream.preferLowDelay(false)
    peerStream.attachPieceConnectionOut(this)
  }

  /** Both sides have proven the root: the peer's pieces may come this way. */
  openIn(peerStream: Libp2pPeerStream): void {
    this.#peerStream = peerStream
    this.#reader.setLimits(peerStream.limits)
    peerStream.attachPieceConnectionIn(this)
  }

  refuse(reason: string): void {
    this.#fail(reason)
  }

  /** As `PeerStream.sendPiece`. */
  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent: boolean): Promise<boolean> {
    return this.#sendQueue.sendPiece(header, data, isUrgent)
  }

  checkProgress(nowMs: number, stallTimeoutMs: number): void {
    if (this.#sendQueue.blockedForMs(nowMs) > stallTimeoutMs) this.#fail('not reading')
    else if (this.#reader.midFrame && nowMs - this.#lastInMs > stallTimeoutMs) this.#fail('stopped inside a frame')
  }

  /** Ends it as its peer stream ends, or refuses it. */
  end(err: Error, goodbye?: Uint8Array): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#reader.end()
    this.#sendQueue.end(err, goodbye)
    this.#init.onEnd()
  }

  #handleData({ data }: StreamMessageEvent): void {
    if (data instanceof Uint8Array) this.#handleChunk(data)
    else for (const chunk of data) this.#handleChunk(chunk)
  }

  #handleChunk(chunk: Uint8Array): void {
    if (this.#isEnded) return
    this.#peerStream?.countIn(chunk.byteLength)
    this.#lastInMs = performance.now()
    try {
      this.#reader.push(chunk)
    } catch (err) {
      if (!(err instanceof ProtocolError)) this.#init.log(`piece connection: handler failed: ${(err as Error).stack}`)
      this.#fail(err instanceof ProtocolError ? err.message : 'internal error')
    }
  }

  #handleMessage(message: Message): void {
    if (message.type === 'goodbye') this.#finish(message.reason, true)
    else throw new ProtocolError(`${message.type} on a piece connection`)
  }

  #fail(reason: string): void {
    this.#finish(reason, false, encodeMessage({ type: 'goodbye', reason }))
  }

  #finish(reason: string, isByPeer: boolean, goodbye?: Uint8Array): void {
    if (this.#isEnded) return
    this.end(new Error(reason), goodbye)
    this.#peerStream?.handlePieceConnectionEnded(this, reason, isByPeer)
  }
}
