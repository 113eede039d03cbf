/**
 * How many pieces a node is sending. Counted where they are sent, apart from the slots that bound them, so
 * that it shows whether the bound holds.
 *
 * Called by the drivers of one node; read through the node.
 */

export class UploadCount {
  #active = 0
  #most = 0

  get active(): number {
    return this.#active
  }

  /** The most at once so far. */
  get most(): number {
    return this.#most
  }

  async during<T>(send: () => Promise<T>): Promise<T> {
    this.#active++
    this.#most = Math.max(this.#most, this.#active)
    try {
      return await send()
    } finally {
      this.#active--
    }
  }
}
