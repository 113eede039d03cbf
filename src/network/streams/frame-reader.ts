/**
 * Cuts the bytes of a pieces stream into frames, however they were split on the way.
 *
 * Invariants: nothing is allocated for a frame before its length was found possible, and nothing for a piece
 * before the sink agreed to its header; the bytes of a piece are gathered straight into one buffer of its
 * own; at most one frame is held. A malformed frame throws `ProtocolError`, after which the reader is of no
 * more use. Used by peer-stream.ts.
 */

import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import {
  checkFrame,
  decodeMessage,
  decodePieceHeader,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  PIECE_FRAME_TYPE,
  PIECE_HEADER_BYTES,
  type WireLimits
} from '../../wire/codec.ts'
import { decodeHandshake, type HandshakeFrame, handshakeBodyBytes } from '../../wire/handshake.ts'
import type { Message, PieceHeader } from '../../wire/messages.ts'

export interface FrameSink {
  /** `bytes` is the length of its frame. */
  handleMessage(message: Message, bytes: number): void
  /**
   * Comes only before the limits are set; in which order is the sink's business. Throws `ProtocolError` to
   * end the stream.
   */
  handleHandshake(frame: HandshakeFrame, bytes: number): void
  /** Throws `ProtocolError` to refuse the piece before anything is allocated for it. */
  checkPiece(header: PieceHeader): void
  /** `data` is a buffer of its own. */
  handlePiece(header: PieceHeader, data: Uint8Array): void
}

/**
 * Before the hello nothing is known of the content, and nothing but the handshake, a hello or a goodbye may
 * come.
 */
const NO_CONTENT: WireLimits = { pieceCount: 0, maxPieceBytes: 0 }

export class FrameReader {
  readonly #sink: FrameSink
  readonly #buffers: BufferPool
  #limits: WireLimits | undefined
  /** Length, type and, for a piece, its number. */
  readonly #head = new Uint8Array(PIECE_HEADER_BYTES)
  readonly #headView = new DataView(this.#head.buffer)
  #headBytes = 0
  #headWanted = FRAME_HEADER_BYTES
  /** What is gathered behind the head. */
  #body: Uint8Array | undefined
  #bodyBytes = 0
  #piece: PieceHeader | undefined
  #ended = false

  constructor(sink: FrameSink, buffers: BufferPool) {
    this.#sink = sink
    this.#buffers = buffers
  }

  /** Whether a frame has begun that is not complete. */
  get midFrame(): boolean {
    return this.#headBytes > 0
  }

  /** From the next frame on everything that this content allows may come. */
  setLimits(limits: WireLimits): void {
    this.#limits = limits
  }

  /** The sink wants no more, also not the rest of the chunk being read. */
  end(): void {
    this.#ended = true
    if (this.#piece !== undefined && this.#body !== undefined) this.#buffers.give(this.#body)
    this.#body = undefined
    this.#piece = undefined
  }

  push(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.byteLength && !this.#ended) {
      offset = this.#body === undefined ? this.#readHead(chunk, offset) : this.#readBody(this.#body, chunk, offset)
    }
  }

  #readHead(chunk: Uint8Array, from: number): number {
    let offset = from
    while (this.#headBytes < this.#headWanted) {
      if (offset === chunk.byteLength) return offset
      this.#head[this.#headBytes++] = chunk[offset++] as number
    }
    const length = this.#headView.getUint32(0)
    const type = this.#headView.getUint8(4)
    if (this.#headBytes === FRAME_HEADER_BYTES) {
      this.#checkStart(length, type)
      if (type === PIECE_FRAME_TYPE) {
        this.#headWanted = PIECE_HEADER_BYTES
        return offset
      }
      this.#body = new Uint8Array(length - 1)
      if (length === 1) this.#endFrame()
    } else {
      const header = decodePieceHeader(length, this.#head.subarray(FRAME_HEADER_BYTES), this.#limits ?? NO_CONTENT)
      this.#sink.checkPiece(header)
      this.#piece = header
      this.#body = this.#buffers.take(header.bytes)
    }
    return offset
  }

  /** Refuses a frame by its length and type. */
  #checkStart(length: number, type: number): void {
    const handshakeBytes = handshakeBodyBytes(type)
    if (this.#limits !== undefined) {
      if (type === FRAME_TYPES.hello) throw new ProtocolError('second hello')
      if (handshakeBytes !== undefined) throw new ProtocolError('handshake after hello')
    } else if (handshakeBytes === undefined && type !== FRAME_TYPES.hello && type !== FRAME_TYPES.goodbye) {
      throw new ProtocolError(`frame of type ${type} before hello`)
    }
    if (handshakeBytes === undefined) checkFrame(length, type, this.#limits ?? NO_CONTENT)
    else if (length !== 1 + handshakeBytes) throw new ProtocolError(`frame of type ${type} with length ${length}`)
  }

  #readBody(body: Uint8Array, chunk: Uint8Array, from: number): number {
    const wanted = body.byteLength - this.#bodyBytes
    const available = chunk.byteLength - from
    const taken = Math.min(wanted, available)
    body.set(taken === available && from === 0 ? chunk : chunk.subarray(from, from + taken), this.#bodyBytes)
    this.#bodyBytes += taken
    if (taken === wanted) this.#endFrame()
    return from + taken
  }

  #endFrame(): void {
    const body = this.#body as Uint8Array
    const piece = this.#piece
    const type = this.#headView.getUint8(4)
    this.#body = undefined
    this.#piece = undefined
    this.#bodyBytes = 0
    this.#headBytes = 0
    this.#headWanted = FRAME_HEADER_BYTES
    const bytes = FRAME_HEADER_BYTES + body.byteLength
    if (piece !== undefined) this.#sink.handlePiece(piece, body)
    else if (handshakeBodyBytes(type) !== undefined) this.#sink.handleHandshake(decodeHandshake(type, body), bytes)
    else this.#sink.handleMessage(decodeMessage(type, body, this.#limits ?? NO_CONTENT), bytes)
  }
}
