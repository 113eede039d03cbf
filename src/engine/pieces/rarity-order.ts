/**
 * A set of pieces kept in order of a small level (how many neighbours hold or expect each), updated in
 * constant time.
 *
 * One array holds the pieces grouped by level; a level change by one swaps the piece with the edge of its
 * group and moves the edge. With a hundred million `have` deliveries in one simulation nothing here may
 * allocate or search.
 *
 * Where a piece stands is kept in the caller's cells (see {@link PieceTable}), next to what is read and
 * written at the same time: in a large world each array touched is a cache miss. Two orders may share the
 * cells when no piece is in both: one writes positions as index + 1, the other (`sign` -1) as -(index + 1); 0
 * is "in neither".
 *
 * Invariant: group k is [#start[k], #start[k + 1]).
 */

export class RarityOrder {
  readonly #order: Uint32Array
  readonly #sign: 1 | -1
  #cells: Int32Array
  #stride: number
  #offset: number
  /** #start[k]: first index of level k; one past the last level holds the size. */
  #start: Uint32Array
  #size = 0

  /** The position of piece p is at `cells[p * stride + offset]`. */
  constructor(pieceCount: number, maxLevel: number, sign: 1 | -1, cells: Int32Array, stride: number, offset: number) {
    this.#order = new Uint32Array(pieceCount)
    this.#sign = sign
    this.#cells = cells
    this.#stride = stride
    this.#offset = offset
    this.#start = new Uint32Array(maxLevel + 2)
  }

  get size(): number {
    return this.#size
  }

  get maxLevel(): number {
    return this.#start.length - 2
  }

  has(piece: number): boolean {
    return (this.#cells[piece * this.#stride + this.#offset] as number) * this.#sign > 0
  }

  at(index: number): number {
    return this.#order[index] as number
  }

  /** First index whose piece has at least this level. */
  startOf(level: number): number {
    return level >= this.#start.length ? this.#size : (this.#start[level] as number)
  }

  insert(piece: number, level: number): void {
    let index = this.#size++
    const start = this.#start
    start[start.length - 1] = this.#size
    for (let above = start.length - 2; above > level; above--) {
      const first = start[above] as number
      if (first !== index) this.#place(this.#order[first] as number, index)
      index = first
      start[above] = first + 1
    }
    this.#place(piece, index)
  }

  remove(piece: number, level: number): void {
    let index = this.#indexOf(piece)
    const start = this.#start
    for (let above = level + 1; above < start.length; above++) {
      const last = (start[above] as number) - 1
      if (last !== index) this.#place(this.#order[last] as number, index)
      index = last
      start[above] = last
    }
    this.#size--
    this.#cells[piece * this.#stride + this.#offset] = 0
  }

  /** `level`: before the change. */
  increment(piece: number, level: number): void {
    const last = (this.#start[level + 1] as number) - 1
    this.#swap(piece, last)
    this.#start[level + 1] = last
  }

  /** `level`: before the change. */
  decrement(piece: number, level: number): void {
    const first = this.#start[level] as number
    this.#swap(piece, first)
    this.#start[level] = first + 1
  }

  /** The caller's cells moved, and levels may be higher. */
  grow(maxLevel: number, cells: Int32Array, stride: number, offset: number): void {
    const start = new Uint32Array(maxLevel + 2).fill(this.#size)
    start.set(this.#start)
    this.#start = start
    this.#cells = cells
    this.#stride = stride
    this.#offset = offset
  }

  assertInvariants(levelOf: (piece: number) => number): void {
    if (this.#start[this.#start.length - 1] !== this.#size) throw new Error('rarity order: size and last edge differ')
    for (let index = 0; index < this.#size; index++) {
      const piece = this.#order[index] as number
      if (!this.has(piece) || this.#indexOf(piece) !== index) throw new Error(`rarity order: piece ${piece} is misplaced`)
      const level = levelOf(piece)
      if (index < this.startOf(level) || index >= this.startOf(level + 1)) {
        throw new Error(`rarity order: piece ${piece} of level ${level} is outside its group`)
      }
    }
  }

  #indexOf(piece: number): number {
    return (this.#cells[piece * this.#stride + this.#offset] as number) * this.#sign - 1
  }

  #swap(piece: number, target: number): void {
    const index = this.#indexOf(piece)
    if (index === target) return
    this.#place(this.#order[target] as number, index)
    this.#place(piece, target)
  }

  #place(piece: number, index: number): void {
    this.#order[index] = piece
    this.#cells[piece * this.#stride + this.#offset] = (index + 1) * this.#sign
  }
}
