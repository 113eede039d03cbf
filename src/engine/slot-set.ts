/**
 * A set of neighbour slots, one bit each: questions about all neighbours become a few operations on adjacent
 * words.
 */

export class SlotSet {
  /** 32 slots each; as many words as the highest slot so far needs. */
  readonly #words: number[] = [0]

  /** Word `index` (slots 32 `index` to 32 `index` + 31) as bits. */
  word(index: number): number {
    return index < this.#words.length ? (this.#words[index] as number) : 0
  }

  has(slot: number): boolean {
    return ((this.word(slot >>> 5) >>> (slot & 31)) & 1) !== 0
  }

  add(slot: number): void {
    const index = slot >>> 5
    while (this.#words.length <= index) this.#words.push(0)
    this.#words[index] = (this.#words[index] as number) | (1 << (slot & 31))
  }

  delete(slot: number): void {
    const index = slot >>> 5
    if (index < this.#words.length) this.#words[index] = (this.#words[index] as number) & ~(1 << (slot & 31))
  }

  /** How many slots are in it. */
  get size(): number {
    let size = 0
    for (const word of this.#words) size += countBits(word)
    return size
  }

  /** Adds or deletes. */
  mark(slot: number, isIn: boolean): void {
    if (isIn) this.add(slot)
    else this.delete(slot)
  }
}

/** The place of the lowest bit that is set; `bits` is not 0. */
export function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

export function countBits(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}
