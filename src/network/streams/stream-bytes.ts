/**
 * Reads a stream of a question and an answer by so many bytes at a time. Bounded: what came and nobody asked
 * for ends it. Used by piece-list-fetch.ts.
 */

import type { Stream } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'

/** A frame of the handshake and the start of a list: what may come while the one before is looked at. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024

export class StreamBytes {
  readonly #stream: Stream
  readonly #unread: Uint8Array[] = []
  #unreadBytes = 0
  /** What is being filled. */
  #target: { into: Uint8Array; filled: number; resolve(): void; reject(err: unknown): void } | undefined
  /** Nothing more can be read. */
  #failure: { reason: unknown } | undefined

  constructor(stream: Stream) {
    this.#stream = stream
    stream.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) this.#push(data)
      else for (const chunk of data) this.#push(chunk)
    })
    stream.addEventListener('remoteCloseWrite', () => this.fail(new ProtocolError('stream ended early')))
    stream.addEventListener('close', ({ error }) => this.fail(error ?? new ProtocolError('stream ended early')))
    if (stream.status !== 'open') this.fail(new ProtocolError('stream ended early'))
  }

  /** Bytes that came and were not asked for yet. */
  get unreadBytes(): number {
    return this.#unreadBytes
  }

  /** Fills `into`. One at a time. Rejects when the stream ends before, or with what `fail` was given. */
  read(into: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#target = { into, filled: 0, resolve, reject }
    this.#fill()
    return promise
  }

  /** Ends this and every later reading, once what has come is used up. The first reason counts. */
  fail(reason: unknown): void {
    this.#failure ??= { reason }
    this.#fill()
  }

  #push(chunk: Uint8Array): void {
    this.#unread.push(chunk)
    this.#unreadBytes += chunk.byteLength
    this.#fill()
    if (this.#unreadBytes <= MAX_UNREAD_BYTES) return
    const err = new ProtocolError('more bytes than asked for')
    this.#unread.length = 0
    this.fail(err)
    this.#stream.abort(err)
  }

  #fill(): void {
    const target = this.#target
    if (target === undefined) return
    for (let chunk = this.#unread[0]; chunk !== undefined && target.filled < target.into.byteLength; chunk = this.#unread[0]) {
      const taken = chunk.subarray(0, target.into.byteLength - target.filled)
      target.into.set(taken, target.filled)
      target.filled += taken.byteLength
      this.#unreadBytes -= taken.byteLength
      if (taken.byteLength === chunk.byteLength) this.#unread.shift()
      else this.#unread[0] = chunk.subarray(taken.byteLength)
    }
    const isFull = target.filled === target.into.byteLength
    if (!isFull && this.#failure === undefined) return
    this.#target = undefined
    if (isFull) target.resolve()
    else target.reject(this.#failure?.reason)
  }
}
