/**
 * How many pieces a node sends at once, over all its transfers.
 *
 * Invariants: never more than `limit` are out (0: no bound); who waits is served in order. Called by the
 * drivers of one node.
 */

export class UploadSlots {
  #limit = 0
  #taken = 0
  readonly #waiting: (() => void)[] = []

  get limit(): number {
    return this.#limit
  }

  set limit(limit: number) {
    this.#limit = limit
    this.#admit()
  }

  /** Resolves when it is our turn; give the slot back with {@link release}. */
  acquire(): Promise<void> {
    if (this.#isFree) {
      this.#taken++
      return Promise.resolve()
    }
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  release(): void {
    this.#taken--
    this.#admit()
  }

  get #isFree(): boolean {
    return this.#limit === 0 || this.#taken < this.#limit
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#isFree) {
      this.#taken++
      this.#waiting.shift()?.()
    }
  }
}
