/**
 * Buffers of pieces, used again. Fresh memory for each piece costs page faults, and the garbage collector
 * runs for every few dozen of them: together a third of what a transfer costs.
 *
 * Invariants: a buffer is handed to one taker at a time; what is kept is bounded; a buffer given twice is a
 * bug and throws. Nobody must give, a buffer that is dropped instead is garbage like any other. Used by links
 * and stores, which share one pool per node.
 */

export class BufferPool {
  readonly #maxBytes: number
  readonly #free = new Map<number, Set<Uint8Array>>()
  #freeBytes = 0

  /** `maxBytes` bounds what lies unused. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that lie unused. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A buffer of exactly this length with anything in it. */
  take(bytes: number): Uint8Array {
    const free = this.#free.get(bytes)
    const buffer = free?.values().next().value
    if (free === undefined || buffer === undefined) return new Uint8Array(bytes)
    free.delete(buffer)
    if (free.size === 0) this.#free.delete(bytes)
    this.#freeBytes -= bytes
    return buffer
  }

  /**
   * The caller, and everybody whom it gave the buffer to, does not use it any more. A view of something
   * larger is not kept.
   */
  give(buffer: Uint8Array): void {
    const bytes = buffer.byteLength
    if (bytes !== buffer.buffer.byteLength || this.#freeBytes + bytes > this.#maxBytes) return
    const free = this.#free.get(bytes) ?? new Set()
    if (free.has(buffer)) throw new Error('buffer was given back twice')
    free.add(buffer)
    this.#free.set(bytes, free)
    this.#freeBytes += bytes
  }
}
