/**
 * Writes one body from front to back into a buffer that grows. What it is asked to write must be within the
 * wire's bounds: anything else is a bug of ours and a `RangeError`.
 */

import { encodeUtf8 } from '../util/bytes.ts'
import { MAX_VARINT_BYTES } from './bytes-reader.ts'

export class BytesWriter {
  #bytes: Uint8Array<ArrayBuffer>
  #offset = 0

  /** `capacity` in bytes is a first guess. */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity)
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#offset++] = value
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#bytes[this.#offset++] = value >>> 24
    this.#bytes[this.#offset++] = value >>> 16
    this.#bytes[this.#offset++] = value >>> 8
    this.#bytes[this.#offset++] = value
  }

  /** Unsigned LEB128; `value` is an integer below 2^31. */
  varint(value: number): void {
    if (!(value >= 0 && value <= 0x7fffffff && Number.isInteger(value)))
      throw new RangeError(`${value} cannot be written as a varint`)
    this.#reserve(MAX_VARINT_BYTES)
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#offset++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#offset++] = rest
  }

  put(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength)
    this.#bytes.set(bytes, this.#offset)
    this.#offset += bytes.byteLength
  }

  /** A varint and as many bytes of UTF-8, at most `most`. */
  text(text: string, most: number): void {
    const bytes = encodeUtf8(text)
    if (bytes.byteLength > most) throw new RangeError(`text of ${bytes.byteLength} bytes, at most ${most}`)
    this.varint(bytes.byteLength)
    this.put(bytes)
  }

  /** Replaces the four bytes at `offset`, written before. */
  patchU32(offset: number, value: number): void {
    new DataView(this.#bytes.buffer).setUint32(offset, value)
  }

  get length(): number {
    return this.#offset
  }

  /** What was written; a view on the writer's buffer, which is not used again. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#offset)
  }

  #reserve(bytes: number): void {
    if (this.#offset + bytes <= this.#bytes.byteLength) return
    const grown = new Uint8Array(Math.max(this.#offset + bytes, this.#bytes.byteLength * 2))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}
