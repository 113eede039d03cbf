/**
 * One stream of yamux.ts: its windows, and what it sends.
 */

import type { AbortOptions } from '@libp2p/interface'
import { AbstractStream, type AbstractStreamInit, type SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import { ProtocolError } from '../../errors.ts'
import type { ChannelBound, DelaySensitive, ReleasingSink, VolatileSource } from './fast-path.ts'

export const TYPE = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const
export const FLAG = { syn: 1, ack: 2, fin: 4, rst: 8 } as const

/** What the specification gives every stream at its start. */
const INITIAL_WINDOW_BYTES = 256 * 1024

interface YamuxStreamInit extends AbstractStreamInit {
  number: number
  maxWindowBytes: number
  sendFrame(type: number, flags: number, value: number, payload?: Iterable<Uint8Array>): boolean
  whenReleased(callback: () => void): boolean
  preferLowDelay(isPreferred: boolean): void
  channelBinding(): Uint8Array | undefined
}

export class YamuxStream extends AbstractStream implements VolatileSource, ReleasingSink, DelaySensitive, ChannelBound {
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

  /**
   * A data frame of this many bytes begins. Throws when the window does not allow it, which ends the
   * connection.
   */
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
