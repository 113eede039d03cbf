/**
 * One `/swarm/pieces/1.0.0` stream: frames in, frames out, and an end with a reason.
 *
 * Invariants
 * - Every listener on the stream is guarded: whatever a remote sends ends this link and nothing else.
 * - Memory is bounded on both sides. In: one frame, and pieces only that we requested. Out: {@link MAX_CONTROL_QUEUE_BYTES} of control, and
 *   the stream's write buffer stays near {@link HIGH_WATER_BYTES}; pieces wait as references, their number is the caller's choice.
 * - Control messages overtake pieces that wait, never the inside of a piece frame.
 * - `onClose` comes exactly once, and nothing after it.
 *
 * libp2p facts that shape this (measured): `onDrain()` of a stream is broken, so the 'drain' event is used; 'drain' also fires while
 * the stream's window is exhausted, so the write buffer's length is looked at as well; a send of 65,507 bytes makes one multiplexer frame and one
 * noise record. Created by links.ts.
 */

import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { ProtocolError } from '../errors.ts'
import type { BufferPool } from '../util/buffer-pool.ts'
import { encodeMessage, encodePieceHeader, type WireLimits } from '../wire/codec.ts'
import type { Hello, Message, PieceHeader } from '../wire/messages.ts'
import { isReleasingSink, isVolatileSource } from './fast-path.ts'
import { FrameReader } from './frame-reader.ts'
import type { LinkHandlers, PeerLink } from './types.ts'

/** Longest single send: the 65,519 bytes that fit one noise record, less the multiplexer's header. */
const SEND_BYTES = 65_519 - 12
/** The same where the last send left within {@link QUICK_SEND_MS}: each costs a round of events and a system call (1 to 8: 4 to 9 % of all CPU). */
const QUICK_SEND_BYTES = 256 * 1024
const QUICK_SEND_MS = 20
/** A send that took longer than this is followed by short ones: a slow peer must be seen to take something now and then. */
const SLOW_SEND_MS = 200
/** No more is handed to the stream while it holds this much that it could not pass on. */
const HIGH_WATER_BYTES = 256 * 1024
/** A peer that lets this much control traffic pile up does not read. */
const MAX_CONTROL_QUEUE_BYTES = 1024 * 1024
/**
 * What a peer may say in the long run, and at once. A busy swarm needs some kilobytes per second, a large one some hundred when it is
 * joined: the bitfield of a million pieces is 128 KiB.
 */
const CONTROL_BYTES_PER_SECOND = 512 * 1024
const CONTROL_BURST_BYTES = 8 * 1024 * 1024
/** Each message counts for this much more than its bytes. */
const MESSAGE_COST_BYTES = 64
/** Messages that may arrive between the hello and `start`. */
const MAX_EARLY_MESSAGES = 256
/** From goodbye to the end of the stream, whatever the peer does. */
const CLOSE_TIMEOUT_MS = 2_000
/** Larger than the multiplexer's largest window, or a burst would abort the stream. */
const MAX_READ_BUFFER_BYTES = 16 * 1024 * 1024

export interface StreamLinkInit {
  stream: Stream
  peer: string
  initiator: boolean
  remoteAddress: string
  encryption: string
  buffers: BufferPool
  log(line: string): void
  /** Round trip of the connection as libp2p's pings measured it, in milliseconds. */
  pingMs(): number | undefined
  /** The peer's hello; the receiver calls `open` or `refuse` at once. */
  onHello(hello: Hello): void
  /** The link ended, at any stage. */
  onEnd(reason: string): void
}

interface QueuedPiece {
  header: PieceHeader
  data: Uint8Array
  isUrgent: boolean
  resolve(isReleased: boolean): void
  reject(err: Error): void
}

export class StreamLink implements PeerLink {
  readonly peer: string
  readonly initiator: boolean
  readonly remoteAddress: string
  readonly encryption: string
  readonly openedMs = performance.now()
  /** Round trip of the hellos as the initiator saw it, in milliseconds. */
  helloMs: number | undefined
  bytesIn = 0
  bytesOut = 0

  readonly #init: StreamLinkInit
  readonly #stream: Stream
  readonly #reader: FrameReader
  #hello: Hello | undefined
  #handlers: LinkHandlers | undefined
  /** Between hello and `start`. */
  #early: Message[] = []
  /** Why the link ended; set once. */
  #ended: string | undefined
  #closeTimer: NodeJS.Timeout | undefined
  #goodbye: Uint8Array | undefined

  /** How many arrivals of each piece we have asked for; a cancelled piece may still be on its way. */
  readonly #requested = new Map<number, number>()

  readonly #control: Uint8Array[] = []
  #controlBytes = 0
  readonly #pieces: QueuedPiece[] = []
  /** The piece being sent, and how many of its bytes the stream took. */
  #current: QueuedPiece | undefined
  #currentBytes = 0
  /** All handed over, waiting for room. */
  #settling: QueuedPiece | undefined
  /** Handed over, but still referred to below. */
  readonly #releasing = new Set<QueuedPiece>()
  /** Longest send of a piece's bytes for now. */
  #sendBytes = SEND_BYTES
  #pumpQueued = false
  #pumping = false
  /** Since when the stream takes nothing although something waits; and since when a frame is incomplete. */
  #blockedMs: number | undefined
  #lastInMs = performance.now()
  /** What the peer may still say at once, in bytes; see {@link CONTROL_BYTES_PER_SECOND}. */
  #controlCredit = CONTROL_BURST_BYTES
  #chargedMs = this.#lastInMs

  constructor(init: StreamLinkInit) {
    this.#init = init
    this.#stream = init.stream
    this.peer = init.peer
    this.initiator = init.initiator
    this.remoteAddress = init.remoteAddress
    this.encryption = init.encryption
    this.#reader = new FrameReader(
      {
        handleMessage: (message, bytes) => this.#handleMessage(message, bytes),
        checkPiece: header => this.#checkPiece(header),
        handlePiece: (header, data) => this.#handlePiece(header, data)
      },
      init.buffers
    )
    const { stream } = init
    stream.maxReadBufferLength = MAX_READ_BUFFER_BYTES
    stream.addEventListener('drain', () => this.#pump())
    stream.addEventListener('close', event => this.#handleStreamClosed(event))
    stream.addEventListener('remoteCloseWrite', () => this.#finish('peer ended the stream'))
    stream.addEventListener('message', event => this.#handleData(event))
    if (isVolatileSource(stream)) stream.takeVolatile = chunk => this.#handleChunk(chunk)
    // Later: whoever made this link does not have it yet, and nothing may be told to it before.
    if (stream.status !== 'open') queueMicrotask(() => this.#finish('stream closed'))
  }

  get hello(): Hello {
    if (this.#hello === undefined) throw new Error('link is not open')
    return this.#hello
  }

  /** Round trip in milliseconds: by pings, until the first of them by the hellos. */
  get rttMs(): number | undefined {
    return this.#init.pingMs() ?? this.helloMs
  }

  get isEnded(): boolean {
    return this.#ended !== undefined
  }

  /** The handshake is done: from now on this is a link for a content of these limits. */
  open(hello: Hello, limits: WireLimits): void {
    this.#hello = hello
    this.#reader.setLimits(limits)
  }

  start(handlers: LinkHandlers): void {
    if (this.#handlers !== undefined) throw new Error('link was started before')
    this.#handlers = handlers
    const early = this.#early
    this.#early = []
    for (const message of early) {
      try {
        if (this.#ended === undefined) handlers.onMessage(message)
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
    const frame = encodeMessage(message)
    this.#controlBytes += frame.byteLength
    this.#control.push(frame)
    if (this.#controlBytes > MAX_CONTROL_QUEUE_BYTES) {
      this.close('not reading')
      return
    }
    this.#queuePump()
  }

  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent = false): Promise<boolean> {
    if (data.byteLength !== header.bytes)
      throw new RangeError(`piece of ${data.byteLength} bytes with a header of ${header.bytes}`)
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new Error(`link ended: ${this.#ended}`))
        return
      }
      const before = isUrgent ? this.#pieces.findIndex(piece => !piece.isUrgent) : -1
      this.#pieces.splice(before < 0 ? this.#pieces.length : before, 0, { header, data, isUrgent, resolve, reject })
      this.#queuePump()
    })
  }

  close(reason: string): void {
    if (this.#ended !== undefined) return
    this.#goodbye = encodeMessage({ type: 'goodbye', reason })
    this.#finish(reason)
  }

  /** Ends the link when the peer has stood still for too long. Called every second or so. */
  checkProgress(nowMs: number, stallTimeoutMs: number): void {
    if (this.#ended !== undefined) return
    if (this.#blockedMs !== undefined && nowMs - this.#blockedMs > stallTimeoutMs) this.close('not reading')
    else if (this.#reader.midFrame && nowMs - this.#lastInMs > stallTimeoutMs) this.close('stopped inside a frame')
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
      this.#finish(message.reason)
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

  #checkPiece({ piece }: PieceHeader): void {
    if (!this.#forgetRequest(piece)) throw new ProtocolError(`piece ${piece} was not requested`)
  }

  #handlePiece(header: PieceHeader, data: Uint8Array): void {
    this.#handlers?.onPiece(header, data)
  }

  /** One arrival or rejection less to expect; false when none was. */
  #forgetRequest(piece: number): boolean {
    const count = this.#requested.get(piece)
    if (count === undefined) return false
    if (count === 1) this.#requested.delete(piece)
    else this.#requested.set(piece, count - 1)
    return true
  }

  /** What a remote's bytes set off went wrong. Its faults end the link; ours do too, and are logged. */
  #handleFault(err: unknown): void {
    if (err instanceof ProtocolError) {
      this.close(err.message)
    } else {
      this.#init.log(`link ${this.peer}: handler failed: ${(err as Error).stack}`)
      this.close('internal error')
    }
  }

  // ---- out ----

  /**
   * What is queued while one round of the event loop's input is handled leaves together: a busy node says many small things to many
   * neighbours, and each write costs a TLS record, a system call and a wake-up at the other side.
   */
  #queuePump(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    setImmediate(() => {
      this.#pumpQueued = false
      this.#pump()
    })
  }

  get #hasRoom(): boolean {
    return !this.#stream.writableNeedsDrain && this.#stream.writeBufferLength <= HIGH_WATER_BYTES
  }

  /** Hands over as much as the stream takes; the 'drain' event calls again. */
  #pump(): void {
    // A send can make the stream drain, and so call us, before it returns.
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#stream.writeStatus === 'writable') {
        if (!this.#hasRoom) {
          this.#blockedMs ??= performance.now()
          return
        }
        this.#endBlock()
        this.#settle()
        const next = this.#nextSend()
        if (next === undefined) {
          if (this.#ended !== undefined) this.#closeStream()
          return
        }
        this.bytesOut += next.byteLength
        this.#stream.send(next)
      }
    } catch (err) {
      this.#finish(`cannot send: ${(err as Error).message}`)
      this.#stream.abort(err as Error)
    } finally {
      this.#pumping = false
    }
  }

  /** The stream takes something: how long the last send took says how long the next may be. */
  #endBlock(): void {
    if (this.#blockedMs === undefined) return
    const tookMs = performance.now() - this.#blockedMs
    this.#blockedMs = undefined
    if (tookMs <= QUICK_SEND_MS) this.#sendBytes = QUICK_SEND_BYTES
    else if (tookMs > SLOW_SEND_MS) this.#sendBytes = SEND_BYTES
  }

  /** The last piece is handed over, and there is room for more. */
  #settle(): void {
    const piece = this.#settling
    if (piece === undefined) return
    this.#settling = undefined
    if (!isReleasingSink(this.#stream)) {
      piece.resolve(false)
      return
    }
    this.#releasing.add(piece)
    const willTell = this.#stream.whenReleased(() => {
      if (this.#releasing.delete(piece)) piece.resolve(true)
    })
    if (!willTell && this.#releasing.delete(piece)) piece.resolve(false)
  }

  #nextSend(): Uint8Array | Uint8ArrayList | undefined {
    if (this.#current !== undefined) return this.#nextOfPiece(this.#current)
    if (this.#control.length > 0) return this.#nextOfControl()
    if (this.#ended !== undefined) {
      const goodbye = this.#goodbye
      this.#goodbye = undefined
      return goodbye
    }
    this.#current = this.#pieces.shift()
    return this.#current === undefined ? undefined : this.#nextOfPiece(this.#current)
  }

  #nextOfControl(): Uint8Array | Uint8ArrayList {
    if (this.#control.length === 1) {
      this.#controlBytes = 0
      return this.#control.pop() as Uint8Array
    }
    const batch = new Uint8ArrayList()
    let taken = 0
    for (const frame of this.#control) {
      if (taken > 0 && batch.byteLength + frame.byteLength > SEND_BYTES) break
      batch.append(frame)
      taken++
    }
    this.#control.splice(0, taken)
    this.#controlBytes -= batch.byteLength
    return batch
  }

  #nextOfPiece(piece: QueuedPiece): Uint8Array | Uint8ArrayList {
    const from = this.#currentBytes
    const head = from === 0 ? encodePieceHeader(piece.header.piece, piece.header.bytes) : undefined
    const end = Math.min(piece.data.byteLength, from + this.#sendBytes - (head?.byteLength ?? 0))
    const view = piece.data.subarray(from, end)
    this.#currentBytes = end
    if (end === piece.data.byteLength) {
      this.#settling = piece
      this.#current = undefined
      this.#currentBytes = 0
    }
    return head === undefined ? view : new Uint8ArrayList(head, view)
  }

  // ---- end ----

  #handleStreamClosed(event: StreamCloseEvent): void {
    clearTimeout(this.#closeTimer)
    this.#finish(event.error === undefined ? 'stream closed' : `connection lost: ${event.error.message}`)
  }

  /** The link is over for its owner; the stream may still be finishing the frame under way and the goodbye. */
  #finish(reason: string): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#reader.end()
    this.#requested.clear()
    this.#early = []
    const err = new Error(`link ended: ${reason}`)
    for (const piece of this.#pieces.splice(0)) piece.reject(err)
    this.#current?.reject(err)
    this.#settling?.reject(err)
    this.#settling = undefined
    for (const piece of this.#releasing) piece.reject(err)
    this.#releasing.clear()
    this.#control.length = 0
    this.#controlBytes = 0
    if (this.#goodbye === undefined) this.#current = undefined
    if (this.#stream.status === 'open') {
      // Whatever the peer does or does not do, the stream ends within a bound.
      this.#closeTimer = setTimeout(() => this.#stream.abort(err), CLOSE_TIMEOUT_MS)
      this.#closeTimer.unref()
      // Not later: a host that stops ends the connection next, and the goodbye must be under way by then.
      queueMicrotask(() => this.#pump())
    }
    this.#init.onEnd(reason)
    try {
      this.#handlers?.onClose(reason)
    } catch (failure) {
      this.#init.log(`link ${this.peer}: onClose failed: ${(failure as Error).stack}`)
    }
  }

  #closeStream(): void {
    this.#stream.close({ signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }).catch(err => this.#stream.abort(err as Error))
  }
}
