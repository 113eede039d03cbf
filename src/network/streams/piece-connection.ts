/**
 * A `/swarm/lane/2.0.0` stream: one side's pieces of a link on a connection of their own, so that offers, answers and acknowledgements do not
 * wait behind them in a slow uplink's queue. Each side opens its own: what the receiver sends on it (TCP's acknowledgements above all) is small
 * then, and can go before its own pieces.
 *
 * Invariants: nothing but the handshake, pieces and goodbye passes; a piece must have been requested on the link; whatever a remote sends ends this lane, and
 * with it the link that it belongs to, and nothing else; `onEnd` comes exactly once. Created by peer-streams.ts, used by peer-stream.ts.
 */

import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import { encodeMessage } from '../../wire/codec.ts'
import type { HandshakeFrame } from '../../wire/handshake.ts'
import type { Message, PieceHeader } from '../../wire/messages.ts'
import { isDelaySensitive, isVolatileSource } from '../transport/fast-path.ts'
import { FrameReader } from './frame-reader.ts'
import { MAX_READ_BUFFER_BYTES, type StreamLink } from './peer-stream.ts'
import { Outlet } from './send-queue.ts'

export interface LaneInit {
  stream: Stream
  buffers: BufferPool
  log(line: string): void
  /** A frame of the handshake; the receiver goes on, opens or refuses. Throws `ProtocolError` when it is out of order or proves nothing. */
  onHandshake(frame: HandshakeFrame): void
  /** The lane ended, at any stage. */
  onEnd(): void
}

export class Lane {
  readonly #init: LaneInit
  readonly #outlet: Outlet
  readonly #reader: FrameReader
  #link: StreamLink | undefined
  #isEnded = false
  #lastInMs = performance.now()

  constructor(init: LaneInit) {
    this.#init = init
    const { stream } = init
    this.#outlet = new Outlet(stream, err => this.#finish(`cannot send: ${err.message}`, true))
    this.#reader = new FrameReader(
      {
        handleMessage: message => this.#handleMessage(message),
        handleHandshake: frame => init.onHandshake(frame),
        checkPiece: header => this.#link?.checkPiece(header),
        handlePiece: (header, data) => this.#link?.handlePiece(header, data)
      },
      init.buffers
    )
    stream.maxReadBufferLength = MAX_READ_BUFFER_BYTES
    stream.addEventListener('message', event => this.#handleData(event))
    if (isVolatileSource(stream)) stream.takeVolatile = chunk => this.#handleChunk(chunk)
    stream.addEventListener('remoteCloseWrite', () => this.#finish('peer ended the lane', true))
    stream.addEventListener('close', ({ error }) => this.#finish(`lane lost: ${error?.message ?? 'closed'}`, true))
    if (stream.status !== 'open') queueMicrotask(() => this.#finish('lane closed', true))
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get bytesOut(): number {
    return this.#outlet.bytes
  }

  /** Sends a frame of the handshake. */
  greet(frame: Uint8Array): void {
    this.#outlet.sendControl(frame)
  }

  /** Both sides have proven the root: our pieces may go this way. */
  openOut(link: StreamLink): void {
    this.#link = link
    // No piece comes this way.
    this.#reader.setLimits({ ...link.limits, maxPieceBytes: 0 })
    const { stream } = this.#init
    if (isDelaySensitive(stream)) stream.preferLowDelay(false)
    link.attachLaneOut(this)
  }

  /** Both sides have proven the root: the peer's pieces may come this way. */
  openIn(link: StreamLink): void {
    this.#link = link
    this.#reader.setLimits(link.limits)
    link.attachLaneIn(this)
  }

  refuse(reason: string): void {
    this.#fail(reason)
  }

  /** As `PeerLink.sendPiece`. */
  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent: boolean): Promise<boolean> {
    return this.#outlet.sendPiece(header, data, isUrgent)
  }

  checkProgress(nowMs: number, stallTimeoutMs: number): void {
    if (this.#outlet.blockedForMs(nowMs) > stallTimeoutMs) this.#fail('not reading')
    else if (this.#reader.midFrame && nowMs - this.#lastInMs > stallTimeoutMs) this.#fail('stopped inside a frame')
  }

  /** Ends it as its link ends, or refuses it. */
  end(err: Error, goodbye?: Uint8Array): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#reader.end()
    this.#outlet.end(err, goodbye)
    this.#init.onEnd()
  }

  #handleData({ data }: StreamMessageEvent): void {
    if (data instanceof Uint8Array) this.#handleChunk(data)
    else for (const chunk of data) this.#handleChunk(chunk)
  }

  #handleChunk(chunk: Uint8Array): void {
    if (this.#isEnded) return
    this.#link?.countIn(chunk.byteLength)
    this.#lastInMs = performance.now()
    try {
      this.#reader.push(chunk)
    } catch (err) {
      if (!(err instanceof ProtocolError)) this.#init.log(`lane: handler failed: ${(err as Error).stack}`)
      this.#fail(err instanceof ProtocolError ? err.message : 'internal error')
    }
  }

  #handleMessage(message: Message): void {
    if (message.type === 'goodbye') this.#finish(message.reason, true)
    else throw new ProtocolError(`${message.type} on a lane`)
  }

  #fail(reason: string): void {
    this.#finish(reason, false, encodeMessage({ type: 'goodbye', reason }))
  }

  #finish(reason: string, isByPeer: boolean, goodbye?: Uint8Array): void {
    if (this.#isEnded) return
    this.end(new Error(reason), goodbye)
    this.#link?.handleLaneEnded(this, reason, isByPeer)
  }
}
