/**
 * Reads one received body from front to back. Everything is checked before it is believed: running off the
 * end, numbers in a longer form than needed, text that is not UTF-8 and bytes left over are each a
 * `ProtocolError`.
 */

import { ProtocolError } from '../errors.ts'
import { decodeUtf8 } from '../util/bytes.ts'

export class BytesReader {
  readonly #bytes: Uint8Array
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#offset === this.#bytes.byteLength
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#offset
  }

  u8(what: string): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) throw new ProtocolError(`truncated at ${what}`)
    this.#offset++
    return byte
  }

  u32(what: string): number {
    const high = (this.u8(what) << 8) | this.u8(what)
    const low = (this.u8(what) << 8) | this.u8(what)
    return high * 0x10000 + low
  }

  /** Unsigned LEB128 in its shortest form, at most `most`. */
  varint(most: number, what: string): number {
    let value = 0
    let scale = 1
    for (let length = 1; ; length++) {
      const byte = this.u8(what)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (byte === 0 && length > 1) throw new ProtocolError(`${what} is not in its shortest form`)
        break
      }
      if (length === MAX_VARINT_BYTES) throw new ProtocolError(`${what} is longer than ${MAX_VARINT_BYTES} bytes`)
      scale *= 128
    }
    if (value > most) throw new ProtocolError(`${what} ${value} is more than ${most}`)
    return value
  }

  /** A view, not a copy. */
  take(length: number, what: string): Uint8Array {
    if (length > this.remaining) throw new ProtocolError(`truncated at ${what}`)
    this.#offset += length
    return this.#bytes.subarray(this.#offset - length, this.#offset)
  }

  /** A varint of at most `most`, and as many bytes of UTF-8. */
  text(most: number, what: string): string {
    return decodeText(this.take(this.varint(most, `length of ${what}`), what), what)
  }

  end(what: string): void {
    if (!this.atEnd) throw new ProtocolError(`${this.remaining} bytes behind the end of ${what}`)
  }
}

/** Longest varint: 35 bits, more than any number on the wire. */
export const MAX_VARINT_BYTES = 5

export function decodeText(bytes: Uint8Array, what: string): string {
  const text = decodeUtf8(bytes)
  if (text === undefined) throw new ProtocolError(`${what} is not UTF-8`)
  return text
}
