/**
 * Holds back reads and writes while what they work on changes under them: a flush with its state, a move, the
 * end.
 */

export class Gate {
  #active = 0
  #drained: (() => void)[] = []
  #shut: Promise<void> | undefined

  /** Reads and writes under way. */
  get active(): number {
    return this.#active
  }

  get isShut(): boolean {
    return this.#shut !== undefined
  }

  /** Resolves when it opens next; it may be shut again by then. */
  async opened(): Promise<void> {
    await this.#shut
  }

  /** Only while it is not shut. */
  enter(): void {
    this.#active++
  }

  leave(): void {
    this.#active--
    if (this.#active === 0) for (const wake of this.#drained.splice(0)) wake()
  }

  /** Runs `action` with no read or write under way and none beginning. */
  async alone(action: () => Promise<void>): Promise<void> {
    while (this.#shut !== undefined) await this.#shut
    let open = (): void => {}
    this.#shut = new Promise(resolve => {
      open = resolve
    })
    try {
      if (this.#active > 0) await new Promise<void>(resolve => this.#drained.push(resolve))
      await action()
    } finally {
      this.#shut = undefined
      open()
    }
  }
}
