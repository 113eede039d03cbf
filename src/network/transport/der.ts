/**
 * The little DER (ITU-T X.690) that a certificate needs: writing nested values, and walking received ones
 * without believing a length. Used by tls-certificate.ts.
 */

import { concatBytes } from '../../util/bytes.ts'

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  generalizedTime: 0x18,
  utcTime: 0x17,
  sequence: 0x30,
  context0: 0xa0,
  context3: 0xa3
} as const

/** One value: tag, length, and the parts as its content. */
export function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = concatBytes(parts)
  return concatBytes([Uint8Array.of(tag), derLength(content.byteLength), content])
}

function derLength(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length)
  if (length < 0x100) return Uint8Array.of(0x81, length)
  return Uint8Array.of(0x82, length >> 8, length & 0xff)
}

/** `bytes` is big-endian in shortest form and not negative. */
export function derInteger(bytes: Uint8Array): Uint8Array {
  return der(TAG.integer, bytes)
}

export function derOid(arcs: readonly number[]): Uint8Array {
  const [first = 0, second = 0, ...rest] = arcs
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let high = arc >>> 7; high > 0; high >>>= 7) groups.unshift((high & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return der(TAG.oid, Uint8Array.from(bytes))
}

/** UTCTime up to 2049, GeneralizedTime after, as RFC 5280 4.1.2.5 wants. */
export function derTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')
  const isShort = new Date(ms).getUTCFullYear() < 2050
  const text = isShort ? digits.slice(2) : digits
  return der(isShort ? TAG.utcTime : TAG.generalizedTime, new TextEncoder().encode(text))
}

/** Walks received DER. Everything that does not fit throws. */
export class DerReader {
  readonly #bytes: Uint8Array
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#offset === this.#bytes.byteLength
  }

  /** The next value's tag, or undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#offset]
  }

  /** Content of the next value, which must have this tag; a view. */
  take(tag: number): Uint8Array {
    return this.#next(tag).content
  }

  /** The next value with its tag and length; a view. */
  takeWhole(tag: number): Uint8Array {
    return this.#next(tag).whole
  }

  enter(tag: number): DerReader {
    return new DerReader(this.take(tag))
  }

  #next(tag: number): { content: Uint8Array; whole: Uint8Array } {
    const start = this.#offset
    if (this.#byte() !== tag) throw new Error(`certificate is malformed: expected tag ${tag}`)
    let length = this.#byte()
    if (length >= 0x80) {
      const lengthBytes = length & 0x7f
      if (lengthBytes === 0 || lengthBytes > 2) throw new Error('certificate is malformed: length')
      length = 0
      for (let i = 0; i < lengthBytes; i++) length = length * 256 + this.#byte()
    }
    const end = this.#offset + length
    if (end > this.#bytes.byteLength) throw new Error('certificate is malformed: truncated')
    const content = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return { content, whole: this.#bytes.subarray(start, end) }
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) throw new Error('certificate is malformed: truncated')
    this.#offset++
    return byte
  }
}
