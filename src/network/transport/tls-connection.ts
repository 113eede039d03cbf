/**
 * The decrypted side of a TLS socket as libp2p's stream: what the muxer reads from and writes to.
 *
 * Invariants: everything sent goes to the socket at once and in order, the buffers of one send as one write
 * (so header and payload share records and system calls); `send` answers false while the socket is full, and
 * 'drain' follows. Made by raw-tls.ts.
 */

import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type AbortOptions, type MessageStream, type MultiaddrConnection, StreamStateError } from '@libp2p/interface'
import { AbstractMessageStream, type SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Uint8ArrayList } from 'uint8arraylist'
import { TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL } from '../../wire/handshake.ts'
import type { ChannelBound, DelaySensitive, ReleasingSink, VolatileSource } from './fast-path.ts'
import { setLowDelay } from './socket-priority.ts'

/** One TLS record's plaintext is at most 16 KiB, and Node hands out no more at a time. */
const READ_BYTES = 16 * 1024

export class TlsConnection extends AbstractMessageStream implements VolatileSource, ReleasingSink, DelaySensitive, ChannelBound {
  takeVolatile: ((chunk: Uint8Array) => void) | undefined

  /** Bytes given to the socket, ever; those that it still holds are its writableLength. */
  #givenBytes = 0
  readonly #releasing: { atBytes: number; callback: () => void }[] = []
  readonly #below: MessageStream
  readonly #socket: TLSSocket
  readonly #tcp: Socket
  #binding: Uint8Array | undefined

  /** `socket` is TLS over `tcp`, which is the socket of `below`. */
  constructor(below: MessageStream, socket: TLSSocket, tcp: Socket) {
    super({
      log: below.log,
      inactivityTimeout: below.inactivityTimeout,
      maxReadBufferLength: below.maxReadBufferLength,
      direction: below.direction
    })
    this.#below = below
    this.#socket = socket
    this.#tcp = tcp
    if (!readIntoOneBuffer(socket, chunk => this.#handleChunk(chunk))) socket.on('data', data => this.#handleChunk(data))
    socket.on('drain', () => {
      this.writableNeedsDrain = false
      this.safeDispatchEvent('drain')
    })
    socket.on('error', err => this.abort(err))
    socket.on('close', () => {
      this.onTransportClosed()
      below.close().catch(err => below.abort(err))
    })
    below.addEventListener('close', event => {
      socket.destroy()
      if (event.error === undefined) this.onTransportClosed()
      else if (event.local) this.abort(event.error)
      else this.onRemoteReset()
    })
    if (socket.destroyed || below.status !== 'open') queueMicrotask(() => this.onTransportClosed())
  }

  override send(data: Uint8Array | Uint8ArrayList): boolean {
    if (this.writeStatus !== 'writable') throw new StreamStateError(`Cannot write to a stream that is ${this.writeStatus}`)
    const hasRoom = this.#write(data)
    if (!hasRoom) this.writableNeedsDrain = true
    return hasRoom
  }

  #write(data: Uint8Array | Uint8ArrayList): boolean {
    this.#givenBytes += data.byteLength
    if (data instanceof Uint8Array) return this.#socket.write(data, this.#onWritten)
    let hasRoom = true
    this.#socket.cork()
    for (const part of data) hasRoom = this.#socket.write(part, this.#onWritten)
    this.#socket.uncork()
    return hasRoom
  }

  /** The socket keeps what it could not encrypt yet, in order. */
  whenReleased(callback: () => void): boolean {
    if (this.#socket.writableLength === 0) callback()
    else this.#releasing.push({ atBytes: this.#givenBytes, callback })
    return true
  }

  preferLowDelay(isPreferred: boolean): void {
    setLowDelay(this.#tcp, isPreferred)
  }

  /** Where the other end is. */
  get remoteAddr(): Multiaddr | undefined {
    return (this.#below as Partial<MultiaddrConnection>).remoteAddr
  }

  channelBinding(): Uint8Array | undefined {
    // The handshake is over, or this would not be here; a socket that is gone exports nothing.
    if (this.#socket.destroyed) return undefined
    // An empty context is the same as none since TLS 1.3.
    this.#binding ??= new Uint8Array(this.#socket.exportKeyingMaterial(TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL, Buffer.alloc(0)))
    return this.#binding
  }

  readonly #onWritten = (): void => {
    const releasedBytes = this.#givenBytes - this.#socket.writableLength
    while ((this.#releasing[0]?.atBytes ?? Number.POSITIVE_INFINITY) <= releasedBytes) this.#releasing.shift()?.callback()
  }

  /** `chunk` is valid during the call only. */
  #handleChunk(chunk: Uint8Array): void {
    if (this.takeVolatile !== undefined && this.readStatus === 'readable' && this.readBuffer.byteLength === 0) {
      this.takeVolatile(chunk)
    } else {
      this.onData(new Uint8Array(chunk))
    }
  }

  /** Ends TLS and the socket after what was sent has left. Resolves when it is closed. */
  async drainAndClose({ signal }: AbortOptions = {}): Promise<void> {
    if (this.#socket.closed) return
    const closed = once(this.#socket, 'close', signal === undefined ? {} : { signal })
    this.#socket.destroySoon()
    await closed
  }

  override async close(options?: AbortOptions): Promise<void> {
    if (this.status !== 'open') return
    this.status = 'closing'
    this.writeStatus = 'closing'
    await this.drainAndClose(options)
    this.onTransportClosed()
  }

  override sendData(data: Uint8ArrayList): SendResult {
    return { sentBytes: data.byteLength, canSendMore: this.#write(data) }
  }

  override sendReset(err: Error): void {
    // Aborting what is below destroys the TLS socket, which closes the TCP socket.
    this.#below.abort(err)
  }

  override sendPause(): void {
    this.#socket.pause()
  }

  override sendResume(): void {
    this.#socket.resume()
  }
}

/**
 * Reads into the same buffer again and again, as `net.connect` can with its `onread` option. A TLS socket
 * over a socket that exists already ignores that option, so this sets what the option would have set. False,
 * and nothing changed, where Node's internals are not as expected.
 */
function readIntoOneBuffer(socket: TLSSocket, onChunk: (chunk: Uint8Array) => void): boolean {
  const fields = new Map(Object.getOwnPropertySymbols(socket).map(symbol => [symbol.description, symbol]))
  const bufferField = fields.get('kBuffer')
  const callbackField = fields.get('kBufferCb')
  const generatorField = fields.get('kBufferGen')
  const internals = socket as unknown as Record<symbol, unknown> & { _handle?: { useUserBuffer?(buffer: Uint8Array): void } }
  const handle = internals._handle
  if (bufferField === undefined || callbackField === undefined || generatorField === undefined) return false
  if (typeof handle?.useUserBuffer !== 'function' || internals[bufferField] !== null) return false
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  internals[bufferField] = buffer
  internals[generatorField] = null
  internals[callbackField] = (bytes: number) => {
    onChunk(buffer.subarray(0, bytes))
    return true
  }
  handle.useUserBuffer(buffer)
  // What came before.
  for (let chunk: Uint8Array | null = socket.read(); chunk !== null; chunk = socket.read()) onChunk(chunk)
  socket.resume()
  return true
}
