/**
 * What every neighbour has and expects, piece by piece: the uploader's and the leecher's view of rarity.
 *
 * Neighbours sit in numbered slots. Per piece there is one bit per slot for "holds it" and one for "expects
 * it" (we offered or send it, or the neighbour said that another peer does), so that "who lacks this piece"
 * is a few bit operations whatever the number of neighbours. Pieces that we have are ordered by spread
 * (holders + expecters), pieces that we miss by holders.
 *
 * Invariants: a slot's `expects` bit is never set together with its `holds` bit; `held[slot]` and
 * `expected[slot]` count its bits; a piece is in exactly one of the orders: `own` (we have it), `missing` (we
 * want it), or none (unwanted, or being verified). Used by swarm.ts and the pickers.
 */

import type { Bitfield } from '../../content/bitfield.ts'
import { SlotSet } from '../slot-set.ts'
import { RarityOrder } from './rarity-order.ts'

const ONE_SPREAD = 1 << 16
const HOLDERS_MASK = ONE_SPREAD - 1

export class PieceTable {
  readonly pieceCount: number
  /** 32-bit words of slots per piece. */
  words: number
  /** Pieces that each slot holds. */
  held: Uint32Array
  /** Slots that hold every piece. */
  readonly complete = new SlotSet()
  /** Pieces that each slot expects. */
  expected: Uint32Array
  /** Pieces that we have, by spread. */
  readonly own: RarityOrder
  /** Pieces that we want and neither have nor verify, by holders. */
  readonly missing: RarityOrder
  /**
   * Per piece, side by side so that a `have` touches one cache line: `words` words of "holds" bits, as many
   * of "expects" bits, the counts (holders, and spread << 16), and the piece's position in `own` or
   * `missing`.
   */
  #cells: Int32Array
  #stride: number

  constructor(pieceCount: number, slots: number) {
    this.pieceCount = pieceCount
    this.words = Math.max(1, Math.ceil(slots / 32))
    this.#stride = 2 * this.words + 2
    this.#cells = new Int32Array(pieceCount * this.#stride)
    this.held = new Uint32Array(this.words * 32)
    this.expected = new Uint32Array(this.words * 32)
    this.own = new RarityOrder(pieceCount, this.words * 32, 1, this.#cells, this.#stride, this.#stride - 1)
    this.missing = new RarityOrder(pieceCount, this.words * 32, -1, this.#cells, this.#stride, this.#stride - 1)
  }

  get slots(): number {
    return this.words * 32
  }

  /** Makes room for at least `slots` neighbours. */
  grow(slots: number): void {
    const words = Math.ceil(slots / 32)
    if (words <= this.words) return
    const stride = 2 * words + 2
    const cells = new Int32Array(this.pieceCount * stride)
    for (let piece = 0; piece < this.pieceCount; piece++) {
      const from = piece * this.#stride
      const to = piece * stride
      for (let word = 0; word < this.words; word++) {
        cells[to + word] = this.#cells[from + word] as number
        cells[to + words + word] = this.#cells[from + this.words + word] as number
      }
      cells[to + stride - 2] = this.#cells[from + this.#stride - 2] as number
      cells[to + stride - 1] = this.#cells[from + this.#stride - 1] as number
    }
    const held = new Uint32Array(words * 32)
    held.set(this.held)
    const expected = new Uint32Array(words * 32)
    expected.set(this.expected)
    this.words = words
    this.#stride = stride
    this.#cells = cells
    this.held = held
    this.expected = expected
    this.own.grow(words * 32, cells, stride, stride - 1)
    this.missing.grow(words * 32, cells, stride, stride - 1)
  }

  /** Neighbours that hold the piece. */
  holdersOf(piece: number): number {
    return (this.#cells[piece * this.#stride + this.#stride - 2] as number) & HOLDERS_MASK
  }

  /** Neighbours that hold or expect the piece. */
  spreadOf(piece: number): number {
    return (this.#cells[piece * this.#stride + this.#stride - 2] as number) >> 16
  }

  /** Bits of the slots in this word that neither hold nor expect the piece. */
  lackingIn(piece: number, word: number): number {
    const index = piece * this.#stride + word
    return ~((this.#cells[index] as number) | (this.#cells[index + this.words] as number))
  }

  slotHolds(slot: number, piece: number): boolean {
    return (((this.#cells[piece * this.#stride + (slot >>> 5)] as number) >>> (slot & 31)) & 1) !== 0
  }

  slotExpects(slot: number, piece: number): boolean {
    return (((this.#cells[piece * this.#stride + this.words + (slot >>> 5)] as number) >>> (slot & 31)) & 1) !== 0
  }

  /** The neighbour has the piece. True when that is news; then it no longer expects it. */
  recordHave(slot: number, piece: number): boolean {
    const cells = this.#cells
    const base = piece * this.#stride
    const index = base + (slot >>> 5)
    const bit = 1 << (slot & 31)
    const holds = cells[index] as number
    if ((holds & bit) !== 0) return false
    cells[index] = holds | bit
    const held = (this.held[slot] as number) + 1
    this.held[slot] = held
    if (held === this.pieceCount) this.complete.add(slot)
    const countsAt = base + this.#stride - 2
    const counts = cells[countsAt] as number
    const position = cells[countsAt + 1] as number
    if (position < 0) this.missing.increment(piece, counts & HOLDERS_MASK)
    const expectsAt = index + this.words
    const expects = cells[expectsAt] as number
    if ((expects & bit) !== 0) {
      cells[expectsAt] = expects & ~bit
      this.expected[slot] = (this.expected[slot] as number) - 1
      cells[countsAt] = counts + 1
    } else {
      cells[countsAt] = counts + 1 + ONE_SPREAD
      if (position > 0) this.own.increment(piece, counts >> 16)
    }
    return true
  }

  /** The neighbour has the piece no longer (it said `missing`, or its bitfield was wrong). */
  recordLacks(slot: number, piece: number): void {
    const index = piece * this.#stride + (slot >>> 5)
    const bit = 1 << (slot & 31)
    const holds = this.#cells[index] as number
    if ((holds & bit) === 0) return
    this.#cells[index] = holds & ~bit
    this.held[slot] = (this.held[slot] as number) - 1
    this.complete.delete(slot)
    const countsAt = piece * this.#stride + this.#stride - 2
    const counts = this.#cells[countsAt] as number
    this.#cells[countsAt] = counts - 1 - ONE_SPREAD
    if (this.missing.has(piece)) this.missing.decrement(piece, counts & HOLDERS_MASK)
    if (this.own.has(piece)) this.own.decrement(piece, counts >> 16)
  }

  /** The neighbour expects the piece, from us or another peer. */
  recordExpects(slot: number, piece: number): void {
    const index = piece * this.#stride + (slot >>> 5)
    const bit = 1 << (slot & 31)
    const expects = this.#cells[index + this.words] as number
    if ((((this.#cells[index] as number) | expects) & bit) !== 0) return
    this.#cells[index + this.words] = expects | bit
    this.expected[slot] = (this.expected[slot] as number) + 1
    const countsAt = piece * this.#stride + this.#stride - 2
    const counts = this.#cells[countsAt] as number
    this.#cells[countsAt] = counts + ONE_SPREAD
    if (this.own.has(piece)) this.own.increment(piece, counts >> 16)
  }

  recordExpectsNot(slot: number, piece: number): void {
    const index = piece * this.#stride + this.words + (slot >>> 5)
    const bit = 1 << (slot & 31)
    const expects = this.#cells[index] as number
    if ((expects & bit) === 0) return
    this.#cells[index] = expects & ~bit
    this.expected[slot] = (this.expected[slot] as number) - 1
    const countsAt = piece * this.#stride + this.#stride - 2
    const counts = this.#cells[countsAt] as number
    this.#cells[countsAt] = counts - ONE_SPREAD
    if (this.own.has(piece)) this.own.decrement(piece, counts >> 16)
  }

  /** A neighbour's whole bitfield, on top of what is known. */
  recordBitfield(slot: number, bits: Bitfield): void {
    if (bits.isFull) for (let piece = 0; piece < this.pieceCount; piece++) this.recordHave(slot, piece)
    else for (const piece of bits.ones()) this.recordHave(slot, piece)
  }

  /** Forgets everything about the slot. */
  clearSlot(slot: number): void {
    for (let piece = 0; piece < this.pieceCount; piece++) {
      this.recordLacks(slot, piece)
      this.recordExpectsNot(slot, piece)
    }
  }

  /** We have the piece, verified. */
  addOwn(piece: number): void {
    this.removeMissing(piece)
    if (!this.own.has(piece)) this.own.insert(piece, this.spreadOf(piece))
  }

  removeOwn(piece: number): void {
    if (this.own.has(piece)) this.own.remove(piece, this.spreadOf(piece))
  }

  /** We want the piece and do not have it. */
  addMissing(piece: number): void {
    if (!this.missing.has(piece)) this.missing.insert(piece, this.holdersOf(piece))
  }

  removeMissing(piece: number): void {
    if (this.missing.has(piece)) this.missing.remove(piece, this.holdersOf(piece))
  }

  /** Neighbours that hold each piece. */
  holders(): number[] {
    return Array.from({ length: this.pieceCount }, (_, piece) => this.holdersOf(piece))
  }

  assertInvariants(): void {
    this.own.assertInvariants(piece => this.spreadOf(piece))
    this.missing.assertInvariants(piece => this.holdersOf(piece))
    const held = new Uint32Array(this.slots)
    const expected = new Uint32Array(this.slots)
    for (let piece = 0; piece < this.pieceCount; piece++) {
      let holders = 0
      let expecters = 0
      for (let slot = 0; slot < this.slots; slot++) {
        const holds = this.slotHolds(slot, piece)
        const expects = this.slotExpects(slot, piece)
        if (holds && expects) throw new Error(`slot ${slot} holds and expects piece ${piece}`)
        if (holds) {
          holders++
          held[slot] = (held[slot] as number) + 1
        }
        if (expects) {
          expecters++
          expected[slot] = (expected[slot] as number) + 1
        }
      }
      if (holders !== this.holdersOf(piece) || holders + expecters !== this.spreadOf(piece)) {
        throw new Error(`piece ${piece} is counted wrongly`)
      }
    }
    for (let slot = 0; slot < this.slots; slot++) {
      if (held[slot] !== this.held[slot] || expected[slot] !== this.expected[slot]) {
        throw new Error(`slot ${slot} is counted wrongly`)
      }
      if (this.complete.has(slot) !== (held[slot] === this.pieceCount)) {
        throw new Error(`slot ${slot} is taken for complete, or not`)
      }
    }
  }
}
