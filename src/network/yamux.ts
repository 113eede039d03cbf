/**
 * Yamux (github.com/hashicorp/yamux/blob/master/spec.md) for connections that carry pieces: the same wire as everybody's, faster and bounded.
 *
 * What differs from the stock module, all within the specification:
 * - A frame's payload is passed on as it arrives. The stock decoder gathers the whole frame first, before it compares the frame's length
 *   with the window: a header alone could make it hold 4 GiB.
 * - The window is renewed when half of it is used up, not after every frame, and only for bytes that somebody took: a stream that nobody
 *   reads holds one window and no more.
 * - Header and payload leave in one send, which TlsConnection writes as one.
 * - Answers to pings and refusals to a peer that does not read are bounded.
 *
 * Used by host.ts.
 */

import {
  type AbortOptions,
  type MessageStream,
  MuxerClosedError,
  type StreamMuxerFactory,
  serviceCapabilities,
  TooManyOutboundProtocolStreamsError
} from '@libp2p/interface'
import { AbstractStream, type AbstractStreamInit, AbstractStreamMuxer, type SendResult } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { ProtocolError } from '../errors.ts'
import {
  type ChannelBound,
  type DelaySensitive,
  isChannelBound,
  isDelaySensitive,
  isReleasingSink,
  isVolatileSource,
  type ReleasingSink,
  type VolatileSource
} from './fast-path.ts'

const PROTOCOL = '/yamux/1.0.0'
const VERSION = 0
const HEADER_BYTES = 12

const TYPE = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const
const FLAG = { syn: 1, ack: 2, fin: 4, rst: 8 } as const
const GO_AWAY = { normal: 0, protocolError: 1, internalError: 2 } as const

/** What the specification gives every stream at its start. */
const INITIAL_WINDOW_BYTES = 256 * 1024
/** Answers and refusals that may wait for a peer that does not read. */
const MAX_BLOCKED_CONTROL_BYTES = 64 * 1024

export interface YamuxOptions {
  readonly maxInboundStreams: number
  readonly maxOutboundStreams: number
  /** Largest receive window of a stream; never more than what the stream may hold unread. Raised: fills longer links. */
  readonly maxWindowBytes: number
  /** A stream that holds more unsent than this is aborted. */
  readonly maxWriteBufferBytes: number
}

export function yamux(options: YamuxOptions): () => StreamMuxerFactory {
  return () => ({
    protocol: PROTOCOL,
    [serviceCapabilities]: ['@libp2p/stream-multiplexing'],
    createStreamMuxer: (connection: MessageStream) => new YamuxMuxer(connection, options)
  })
}

class YamuxMuxer extends AbstractStreamMuxer<YamuxStream> {
  readonly #options: YamuxOptions
  readonly #byId = new Map<number, YamuxStream>()
  /** Streams opened by the side that dialled are odd. */
  readonly #isClient: boolean
  #nextId: number
  #inbound = 0
  #outbound = 0
  #wentAway = false
  #blockedControlBytes = 0

  readonly #head = new Uint8Array(HEADER_BYTES)
  readonly #headView = new DataView(this.#head.buffer)
  #headBytes = 0
  /** Payload of the data frame under way that has not come yet, and whose it is (undefined: of a stream that is gone). */
  #payloadBytes = 0
  #payloadStream: YamuxStream | undefined
  #payloadFlags = 0

  constructor(connection: MessageStream, options: YamuxOptions) {
    super(connection, { protocol: PROTOCOL, name: 'yamux' })
    this.#options = options
    this.#isClient = connection.direction === 'outbound'
    this.#nextId = this.#isClient ? 1 : 2
    connection.addEventListener('drain', () => {
      this.#blockedControlBytes = 0
    })
    if (isVolatileSource(connection)) {
      connection.takeVolatile = chunk => {
        try {
          this.#read(chunk, true)
        } catch (err) {
          this.abort(err as Error)
          connection.abort(err as Error)
        }
      }
    }
  }

  // ---- in ----

  override onData(data: Uint8Array | Uint8ArrayList): void {
    if (data instanceof Uint8Array) this.#read(data, false)
    else for (const chunk of data) this.#read(chunk, false)
  }

  #read(chunk: Uint8Array, isVolatile: boolean): void {
    let offset = 0
    while (offset < chunk.byteLength) {
      if (this.#payloadBytes > 0) {
        const taken = Math.min(this.#payloadBytes, chunk.byteLength - offset)
        this.#payloadBytes -= taken
        this.#payloadStream?.handlePayload(chunk.subarray(offset, offset + taken), isVolatile)
        offset += taken
        if (this.#payloadBytes === 0) this.#endPayload()
      } else {
        while (this.#headBytes < HEADER_BYTES && offset < chunk.byteLength) {
          this.#head[this.#headBytes++] = chunk[offset++] as number
        }
        if (this.#headBytes === HEADER_BYTES) {
          this.#headBytes = 0
          this.#handleHeader()
        }
      }
    }
  }

  #endPayload(): void {
    const stream = this.#payloadStream
    this.#payloadStream = undefined
    stream?.handleEndFlags(this.#payloadFlags)
  }

  #handleHeader(): void {
    const head = this.#headView
    if (head.getUint8(0) !== VERSION) throw new ProtocolError('yamux: unknown version')
    const type = head.getUint8(1)
    const flags = head.getUint16(2)
    const id = head.getUint32(4)
    const value = head.getUint32(8)
    if (id === 0) this.#handleSession(type, flags, value)
    else if (type === TYPE.data || type === TYPE.windowUpdate) this.#handleStream(type, flags, id, value)
    else throw new ProtocolError(`yamux: frame type ${type}`)
  }

  #handleSession(type: number, flags: number, value: number): void {
    if (type === TYPE.ping) {
      // We never ping on this level, so an answer is none of ours; libp2p's own ping measures.
      if ((flags & FLAG.syn) !== 0) this.#sendControl(TYPE.ping, FLAG.ack, 0, value)
    } else if (type === TYPE.goAway) {
      this.#wentAway = true
      if (value === GO_AWAY.normal) this.onTransportClosed()
      else this.abort(new ProtocolError('yamux: the peer went away'))
    } else {
      throw new ProtocolError(`yamux: session frame of type ${type}`)
    }
  }

  #handleStream(type: number, flags: number, id: number, value: number): void {
    if ((flags & FLAG.syn) !== 0) this.#accept(id)
    const stream = this.#byId.get(id)
    if (type === TYPE.windowUpdate) {
      stream?.handleWindowUpdate(value)
      stream?.handleEndFlags(flags)
      return
    }
    stream?.reserve(value)
    this.#payloadStream = stream
    this.#payloadFlags = flags
    this.#payloadBytes = value
    if (value === 0) this.#endPayload()
  }

  #accept(id: number): void {
    if ((id % 2 === 1) === this.#isClient) throw new ProtocolError('yamux: stream id of the wrong side')
    if (this.#byId.has(id)) return
    if (this.status !== 'open' || this.#inbound >= this.#options.maxInboundStreams) {
      this.#sendControl(TYPE.windowUpdate, FLAG.rst, id, 0)
      return
    }
    this.#inbound++
    this.onRemoteStream(this.#createStream(id, 'inbound'))
  }

  // ---- out ----

  override onCreateStream(): YamuxStream {
    if (this.#wentAway) throw new MuxerClosedError('The peer went away')
    if (this.#outbound >= this.#options.maxOutboundStreams) {
      throw new TooManyOutboundProtocolStreamsError('Too many streams on this connection')
    }
    const id = this.#nextId
    this.#nextId += 2
    this.#outbound++
    const stream = this.#createStream(id, 'outbound')
    // After libp2p has the stream in its list, or the answer could come first.
    queueMicrotask(() => stream.announce())
    return stream
  }

  #createStream(id: number, direction: 'inbound' | 'outbound'): YamuxStream {
    const stream = new YamuxStream({
      id: `${id}`,
      number: id,
      direction,
      log: this.log.newScope(`${direction}:${id}`),
      maxWriteBufferLength: this.#options.maxWriteBufferBytes,
      maxWindowBytes: this.#options.maxWindowBytes,
      sendFrame: (type, flags, value, payload) => this.#sendFrame(type, flags, id, value, payload),
      whenReleased: callback => isReleasingSink(this.maConn) && this.maConn.whenReleased(callback),
      preferLowDelay: isPreferred => {
        if (isDelaySensitive(this.maConn)) this.maConn.preferLowDelay(isPreferred)
      },
      channelBinding: () => (isChannelBound(this.maConn) ? this.maConn.channelBinding() : undefined)
    })
    this.#byId.set(id, stream)
    stream.addEventListener(
      'close',
      () => {
        this.#byId.delete(id)
        if (direction === 'inbound') this.#inbound--
        else this.#outbound--
      },
      { once: true }
    )
    return stream
  }

  /** Whether the connection takes more. */
  #sendFrame(type: number, flags: number, id: number, value: number, payload: Iterable<Uint8Array> | undefined): boolean {
    const header = new Uint8Array(HEADER_BYTES)
    const view = new DataView(header.buffer)
    view.setUint8(1, type)
    view.setUint16(2, flags)
    view.setUint32(4, id)
    view.setUint32(8, value)
    return this.send(payload === undefined ? header : new Uint8ArrayList(header, ...payload))
  }

  /** A frame that the peer made us send: one that does not read cannot make them pile up. */
  #sendControl(type: number, flags: number, id: number, value: number): void {
    if (this.maConn.writableNeedsDrain) {
      this.#blockedControlBytes += HEADER_BYTES
      if (this.#blockedControlBytes > MAX_BLOCKED_CONTROL_BYTES) throw new ProtocolError('yamux: the peer does not read')
    }
    this.#sendFrame(type, flags, id, value, undefined)
  }

  // ---- end ----

  override async close(options?: AbortOptions): Promise<void> {
    if (this.status !== 'open') return
    await super.close(options)
    this.#goAway(GO_AWAY.normal)
  }

  override abort(err: Error): void {
    if (this.status === 'closed') return
    super.abort(err)
    this.#goAway(err instanceof ProtocolError ? GO_AWAY.protocolError : GO_AWAY.internalError)
  }

  #goAway(reason: number): void {
    try {
      this.#sendFrame(TYPE.goAway, 0, 0, reason, undefined)
    } catch {
      // The connection is gone already, which says the same.
    }
  }
}

interface YamuxStreamInit extends AbstractStreamInit {
  number: number
  maxWindowBytes: number
  sendFrame(type: number, flags: number, value: number, payload?: Iterable<Uint8Array>): boolean
  whenReleased(callback: () => void): boolean
  preferLowDelay(isPreferred: boolean): void
  channelBinding(): Uint8Array | undefined
}

class YamuxStream extends AbstractStream implements VolatileSource, ReleasingSink, DelaySensitive, ChannelBound {
  takeVolatile: ((chunk: Uint8Array) => void) | undefined

  readonly #sendFrame: YamuxStreamInit['sendFrame']
  readonly #whenReleased: YamuxStreamInit['whenReleased']
  /** For the whole connection. */
  readonly preferLowDelay: (isPreferred: boolean) => void
  readonly channelBinding: () => Uint8Array | undefined
  readonly #maxWindowBytes: number
  /** Flag for the next frame: we open, or we accept. */
  #firstFlag: number
  /** What the peer may take of us. */
  #sendWindow = INITIAL_WINDOW_BYTES
  /** Receive window as granted in full, and what is left of it. */
  #window = INITIAL_WINDOW_BYTES
  #windowLeft = INITIAL_WINDOW_BYTES
  #isPaused = false

  constructor(init: YamuxStreamInit) {
    super(init)
    this.#sendFrame = init.sendFrame
    this.#whenReleased = init.whenReleased
    this.preferLowDelay = init.preferLowDelay
    this.channelBinding = init.channelBinding
    this.#maxWindowBytes = init.maxWindowBytes
    this.#firstFlag = init.direction === 'outbound' ? FLAG.syn : FLAG.ack
  }

  /** Opens the stream at the other side. */
  announce(): void {
    if (this.#firstFlag === 0 || this.writeStatus !== 'writable') return
    this.#sendWindowUpdate(0)
  }

  // ---- in ----

  /** A data frame of this many bytes begins. Throws when the window does not allow it, which ends the connection. */
  reserve(bytes: number): void {
    if (bytes > this.#windowLeft) throw new ProtocolError(`yamux: ${bytes} bytes where ${this.#windowLeft} may come`)
    this.#windowLeft -= bytes
  }

  /** `isVolatile`: the bytes are valid during the call only. */
  handlePayload(data: Uint8Array, isVolatile: boolean): void {
    if (this.takeVolatile !== undefined && this.readStatus === 'readable' && this.readBuffer.byteLength === 0) {
      this.takeVolatile(data)
    } else {
      this.onData(isVolatile ? new Uint8Array(data) : data)
    }
    this.#renewWindow()
  }

  protected override dispatchReadBuffer(): void {
    super.dispatchReadBuffer()
    this.#renewWindow()
  }

  /** Grants more once half is used up and nothing waits unread; twice as much each time, up to the bound. */
  #renewWindow(): void {
    if (this.#windowLeft > this.#window / 2 || this.readBuffer.byteLength > 0 || this.#isPaused) return
    if (this.readStatus !== 'readable' || this.remoteWriteStatus === 'closed') return
    this.#window = Math.max(this.#window, Math.min(this.#window * 2, this.#maxWindowBytes, this.maxReadBufferLength))
    const delta = this.#window - this.#windowLeft
    this.#windowLeft = this.#window
    this.#sendWindowUpdate(delta)
  }

  #sendWindowUpdate(delta: number): void {
    const flag = this.#firstFlag
    this.#firstFlag = 0
    this.#sendFrame(TYPE.windowUpdate, flag, delta)
  }

  handleWindowUpdate(delta: number): void {
    const wasExhausted = this.#sendWindow === 0
    this.#sendWindow += delta
    if (wasExhausted && this.#sendWindow > 0 && (this.writableNeedsDrain || this.writeBuffer.byteLength > 0)) {
      this.safeDispatchEvent('drain')
    }
  }

  handleEndFlags(flags: number): void {
    if ((flags & FLAG.rst) !== 0) this.onRemoteReset()
    else if ((flags & FLAG.fin) !== 0) this.onRemoteCloseWrite()
  }

  // ---- out ----

  /** 'drain' would come although the window is exhausted, and let one more send through each time. */
  override onMuxerDrain(): void {
    if (this.#sendWindow > 0) super.onMuxerDrain()
  }

  override send(data: Uint8Array | Uint8ArrayList): boolean {
    const isIdle = this.writeBuffer.byteLength === 0 && !this.sendingData && !this.writableNeedsDrain
    if (!isIdle || this.writeStatus !== 'writable' || data.byteLength > this.#sendWindow) return super.send(data)
    // The common case without a detour through the write buffer.
    const flag = this.#firstFlag
    this.#firstFlag = 0
    this.#sendWindow -= data.byteLength
    const canSendMore = this.#sendFrame(TYPE.data, flag, data.byteLength, data instanceof Uint8Array ? [data] : data)
    if (!canSendMore) this.writableNeedsDrain = true
    return canSendMore
  }

  override sendData(data: Uint8ArrayList): SendResult {
    let sentBytes = 0
    let canSendMore = true
    while (data.byteLength > 0 && canSendMore) {
      if (this.#sendWindow === 0) return { sentBytes, canSendMore: false }
      const bytes = Math.min(this.#sendWindow, data.byteLength)
      const payload = bytes === data.byteLength ? data : data.sublist(0, bytes)
      const flag = this.#firstFlag
      this.#firstFlag = 0
      this.#sendWindow -= bytes
      sentBytes += bytes
      canSendMore = this.#sendFrame(TYPE.data, flag, bytes, payload)
      if (payload === data) break
      data.consume(bytes)
    }
    return { sentBytes, canSendMore }
  }

  whenReleased(callback: () => void): boolean {
    return this.writeBuffer.byteLength === 0 && this.#whenReleased(callback)
  }

  override sendReset(): void {
    this.#sendFrame(TYPE.windowUpdate, FLAG.rst, 0)
  }

  override async sendCloseWrite(): Promise<void> {
    const flag = this.#firstFlag
    this.#firstFlag = 0
    this.#sendFrame(TYPE.windowUpdate, flag | FLAG.fin, 0)
  }

  override async sendCloseRead(options?: AbortOptions): Promise<void> {
    options?.signal?.throwIfAborted()
  }

  override sendPause(): void {
    this.#isPaused = true
  }

  override sendResume(): void {
    this.#isPaused = false
    this.#renewWindow()
  }
}
