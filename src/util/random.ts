/**
 * Seeded pseudo-random numbers: the only randomness of the pure parts.
 *
 * sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, integer arithmetic only, so that the same seed
 * gives the same numbers on any machine. Every part draws from its own generator, forked by name, so that a
 * draw more in one part never shifts the numbers of another. Not for secrets.
 */

export class Random {
  #a: number
  #b: number
  #c: number
  #counter: number

  /** `seed`: any number or text; equal seeds give equal sequences. */
  constructor(seed: number | string) {
    const text = String(seed)
    this.#a = hashText(text, 0x9e3779b9)
    this.#b = hashText(text, 0x85ebca6b)
    this.#c = hashText(text, 0xc2b2ae35)
    this.#counter = 1
    for (let i = 0; i < 12; i++) this.nextUint32()
  }

  /** An independent generator named `part`; draws four numbers from this one. */
  fork(part: string): Random {
    return new Random(`${part}/${this.nextUint32()}/${this.nextUint32()}/${this.nextUint32()}/${this.nextUint32()}`)
  }

  nextUint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }

  /** In [0, 1). */
  nextFloat(): number {
    return this.nextUint32() / 4294967296
  }

  /** An integer in [0, bound); `bound` from 1 to 2^32. */
  nextInt(bound: number): number {
    return Math.floor((this.nextUint32() / 4294967296) * bound)
  }

  /** In [low, high). */
  nextBetween(low: number, high: number): number {
    return low + this.nextFloat() * (high - low)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.nextFloat() < probability
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('pick from nothing')
    return items[this.nextInt(items.length)] as T
  }

  /** Puts `items` in random order, in place (Fisher-Yates). */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.nextInt(i + 1)
      const swapped = items[i] as T
      items[i] = items[j] as T
      items[j] = swapped
    }
    return items
  }
}

/** FNV-1a with a finishing mix (MurmurHash3's), 32 bits. */
function hashText(text: string, basis: number): number {
  let hash = basis | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** A generator from any seed; see {@link Random}. */
export function createRandom(seed: number | string): Random {
  return new Random(seed)
}
