/** Time that passes as fast as the work in it allows: real promises, no real waiting. */

import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/node/clock.ts'
import { Heap } from '../../src/util/heap.ts'

export class VirtualTime implements Clock {
  #nowMs = 0
  readonly #due = new Heap<() => void>()

  nowMs(): number {
    return this.#nowMs
  }

  setDeadline(atMs: number, call: () => void): () => void {
    let isOff = false
    this.#due.push(Math.max(atMs, this.#nowMs), () => {
      if (!isOff) call()
    })
    return () => {
      isOff = true
    }
  }

  after(ms: number, call: () => void): void {
    this.setDeadline(this.#nowMs + ms, call)
  }

  /** Resolves when so much time has passed. */
  pass(ms: number): Promise<void> {
    return new Promise(resolve => this.after(ms, resolve))
  }

  /**
   * Goes on until `isDone`, letting all that each moment sets off settle before the next. Throws when time or
   * events run out before.
   */
  async runUntil(isDone: () => boolean, untilMs: number): Promise<void> {
    await turn()
    while (!isDone()) {
      const atMs = this.#due.peekKey()
      if (atMs === undefined || atMs > untilMs) throw new Error(`waited in vain until ${atMs ?? 'nothing more happens'}`)
      this.#nowMs = atMs
      this.#due.pop()?.()
      await turn()
    }
  }

  /** Goes on until the promise settles. */
  async until<T>(promise: Promise<T>, forMs = 60_000): Promise<T> {
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    promise.then(settle, settle)
    await this.runUntil(() => isSettled, this.#nowMs + forMs)
    return promise
  }
}
