/**
 * Yamux (github.com/hashicorp/yamux/blob/master/spec.md) for connections that carry pieces: the same wire as
 * everybody's, faster and bounded.
 *
 * What differs from the stock module, all within the specification:
 * - A frame's payload is passed on as it arrives. The stock decoder gathers the whole frame first, before it
 *   compares the frame's length with the window: a header alone could make it hold 4 GiB.
 * - The window is renewed when half of it is used up, not after every frame, and only for bytes that somebody
 *   took: a stream that nobody reads holds one window and no more.
 * - Header and payload leave in one send, which TlsConnection writes as one.
 * - Answers to pings and refusals to a peer that does not read are bounded.
 * - A stream that a peer opens costs nothing before its first byte: nobody hears of it. A peer that opens
 *   streams, or pings, faster than any use asks for, or opens and resets them, is told to go away.
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
import { AbstractStreamMuxer } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { ProtocolError } from '../../errors.ts'
import { TokenBucket } from '../limits/token-bucket.ts'
import { isChannelBound, isDelaySensitive, isReleasingSink, isVolatileSource } from './fast-path.ts'
import { FLAG, TYPE, YamuxStream } from './yamux-stream.ts'

const PROTOCOL = '/yamux/1.0.0'
const VERSION = 0
const HEADER_BYTES = 12

const GO_AWAY = { normal: 0, protocolError: 1, internalError: 2 } as const

/**
 * Streams opened by a peer, and pings: a peer stream for each of {@link YamuxOptions.maxInboundStreams} roots
 * at once, then what a busy DHT asks. Each costs 0.2 ms.
 */
const OPENED = { perSecond: 256, burst: 1024 }
/** Streams that it opened and reset, or that were too many: hardly any in honest use. */
const RESET = { perSecond: 50, burst: 200 }

/** Answers and refusals that may wait for a peer that does not read. */
const MAX_BLOCKED_CONTROL_BYTES = 64 * 1024

export interface YamuxOptions {
  readonly maxInboundStreams: number
  readonly maxOutboundStreams: number
  /**
   * Largest receive window of a stream; never more than what the stream may hold unread. Raised: fills longer
   * lines.
   */
  readonly maxWindowBytes: number
  /** A stream that holds more unsent than this is aborted. */
  readonly maxWriteBufferBytes: number
  /** A peer went beyond the budgets for opening streams; its connection ends. */
  onFlood(connection: object): void
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
  /** Streams that the peer has opened and not used yet: what it grants to send beyond the first window. */
  readonly #unused = new Map<number, number>()
  readonly #opened = new TokenBucket()
  readonly #reset = new TokenBucket()
  #wentAway = false
  #blockedControlBytes = 0

  readonly #head = new Uint8Array(HEADER_BYTES)
  readonly #headView = new DataView(this.#head.buffer)
  #headBytes = 0
  /**
   * Payload of the data frame under way that has not come yet, and whose it is (undefined: of a stream that
   * is gone).
   */
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
      if ((flags & FLAG.syn) === 0) return
      this.#charge(this.#opened, OPENED)
      this.#sendControl(TYPE.ping, FLAG.ack, 0, value)
    } else if (type === TYPE.goAway) {
      this.#wentAway = true
      if (value === GO_AWAY.normal) this.onTransportClosed()
      else this.abort(new ProtocolError('yamux: the peer went away'))
    } else {
      throw new ProtocolError(`yamux: session frame of type ${type}`)
    }
  }

  #handleStream(type: number, flags: number, id: number, value: number): void {
    if ((flags & FLAG.syn) !== 0) this.#handleOpened(id)
    if (this.#unused.has(id)) {
      if (type === TYPE.windowUpdate || value === 0) {
        this.#handleUnused(id, flags, type === TYPE.windowUpdate ? value : 0)
        return
      }
      this.#accept(id)
    }
    const stream = this.#byId.get(id)
    if ((flags & FLAG.rst) !== 0 && stream?.direction === 'inbound') this.#charge(this.#reset, RESET)
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

  #handleOpened(id: number): void {
    if ((id % 2 === 1) === this.#isClient) throw new ProtocolError('yamux: stream id of the wrong side')
    if (this.#byId.has(id) || this.#unused.has(id)) return
    this.#charge(this.#opened, OPENED)
    if (this.status !== 'open' || this.#inbound >= this.#options.maxInboundStreams) {
      this.#charge(this.#reset, RESET)
      this.#sendControl(TYPE.windowUpdate, FLAG.rst, id, 0)
      return
    }
    this.#inbound++
    this.#unused.set(id, 0)
  }

  /** Something other than a first byte came for it. */
  #handleUnused(id: number, flags: number, delta: number): void {
    if ((flags & (FLAG.rst | FLAG.fin)) === 0) {
      this.#unused.set(id, (this.#unused.get(id) ?? 0) + delta)
      return
    }
    this.#unused.delete(id)
    this.#inbound--
    this.#charge(this.#reset, RESET)
    if ((flags & FLAG.rst) === 0) this.#sendControl(TYPE.windowUpdate, FLAG.rst, id, 0)
  }

  /** Its first byte comes. */
  #accept(id: number): void {
    const delta = this.#unused.get(id) ?? 0
    this.#unused.delete(id)
    const stream = this.#createStream(id, 'inbound')
    if (delta > 0) stream.handleWindowUpdate(delta)
    this.onRemoteStream(stream)
  }

  #charge(bucket: TokenBucket, rate: typeof OPENED): void {
    if (bucket.take(rate, performance.now())) return
    this.#options.onFlood(this.maConn)
    throw new ProtocolError('yamux: too many streams opened')
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
