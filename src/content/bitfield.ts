/**
 * A fixed-size set of piece numbers. Bit 0 is the highest bit of byte 0, as on the wire.
 *
 * Pure. `count` is kept while bits change, so asking whether a peer is a seeder costs nothing.
 */

export class Bitfield {
  readonly size: number
  readonly #bytes: Uint8Array
  #count = 0

  constructor(size: number) {
    this.size = size
    this.#bytes = new Uint8Array(Math.ceil(size / 8))
  }

  /** Copies `bytes`. Throws `RangeError` when the length is wrong or a bit behind the end is set. */
  static fromBytes(bytes: Uint8Array, size: number): Bitfield {
    const field = new Bitfield(size)
    if (bytes.byteLength !== field.#bytes.byteLength) {
      throw new RangeError(`bitfield of ${bytes.byteLength} bytes for ${size} pieces, expected ${field.#bytes.byteLength}`)
    }
    field.#bytes.set(bytes)
    const spare = field.#bytes.byteLength * 8 - size
    if (spare > 0 && ((field.#bytes.at(-1) ?? 0) & ((1 << spare) - 1)) !== 0) {
      throw new RangeError('bitfield has bits set behind its end')
    }
    for (const byte of field.#bytes) field.#count += POPCOUNT[byte] as number
    return field
  }

  static full(size: number): Bitfield {
    const field = new Bitfield(size)
    field.#bytes.fill(0xff)
    const spare = field.#bytes.byteLength * 8 - size
    if (spare > 0) field.#bytes[field.#bytes.byteLength - 1] = (0xff << spare) & 0xff
    field.#count = size
    return field
  }

  /** How many bits are set. */
  get count(): number {
    return this.#count
  }

  get isFull(): boolean {
    return this.#count === this.size
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  get(index: number): boolean {
    return ((this.#bytes[index >> 3] as number) & (0x80 >> (index & 7))) !== 0
  }

  /** Sets the bit; true when it was clear before. */
  set(index: number): boolean {
    if (index < 0 || index >= this.size) throw new RangeError(`piece ${index} of ${this.size}`)
    const mask = 0x80 >> (index & 7)
    const byte = this.#bytes[index >> 3] as number
    if ((byte & mask) !== 0) return false
    this.#bytes[index >> 3] = byte | mask
    this.#count++
    return true
  }

  /** Clears the bit; true when it was set before. */
  clear(index: number): boolean {
    if (index < 0 || index >= this.size) throw new RangeError(`piece ${index} of ${this.size}`)
    const mask = 0x80 >> (index & 7)
    const byte = this.#bytes[index >> 3] as number
    if ((byte & mask) === 0) return false
    this.#bytes[index >> 3] = byte & ~mask
    this.#count--
    return true
  }

  /** The set bits, ascending. */
  *ones(): Generator<number> {
    for (let i = 0; i < this.#bytes.byteLength; i++) {
      const byte = this.#bytes[i] as number
      if (byte === 0) continue
      for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) yield i * 8 + bit
    }
  }

  clone(): Bitfield {
    const copy = new Bitfield(this.size)
    copy.#bytes.set(this.#bytes)
    copy.#count = this.#count
    return copy
  }

  /** A copy in wire form. */
  toBytes(): Uint8Array {
    return this.#bytes.slice()
  }
}

const POPCOUNT = Uint8Array.from({ length: 256 }, (_, n) => {
  let count = 0
  for (let bits = n; bits > 0; bits >>= 1) count += bits & 1
  return count
})
