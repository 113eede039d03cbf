/**
 * Tells every neighbour what we have now, at once or batched when pieces come faster than `haveBatchMs`; and
 * what we expect, which saves them four offers of ten, and others the choice of what comes to us anyway. Used
 * by swarm.ts.
 */

import { MAX_PIECES_PER_MESSAGE, type Message } from '../wire/messages.ts'
import type { Downloader } from './download/downloader.ts'
import type { SwarmState } from './state.ts'

export class News {
  readonly #state: SwarmState
  readonly #downloader: Downloader
  #haves: number[] = []
  #toldMs = Number.NEGATIVE_INFINITY

  constructor(state: SwarmState, downloader: Downloader) {
    this.#state = state
    this.#downloader = downloader
  }

  /** When there is something to tell; Infinity: nothing. */
  get wakeMs(): number {
    return this.#haves.length === 0 ? Number.POSITIVE_INFINITY : this.#toldMs + this.#state.options.haveBatchMs
  }

  recordHave(piece: number): void {
    this.#haves.push(piece)
  }

  recordLost(piece: number): void {
    const index = this.#haves.indexOf(piece)
    if (index >= 0) this.#haves.splice(index, 1)
  }

  tell(nowMs: number): void {
    if (nowMs < this.wakeMs) return
    const { neighbourOf } = this.#state
    while (this.#haves.length > 0) {
      const message: Message = { type: 'have', pieces: this.#haves.splice(0, MAX_PIECES_PER_MESSAGE) }
      if (neighbourOf.size > 0) this.#state.emit({ type: 'broadcast', message })
    }
    const pieces = this.#downloader.takeUntold()
    // A lone neighbour is the one that they are expected from.
    for (let start = 0; start < pieces.length && neighbourOf.size > 1; start += MAX_PIECES_PER_MESSAGE) {
      const message: Message = { type: 'expecting', pieces: pieces.slice(start, start + MAX_PIECES_PER_MESSAGE) }
      this.#state.emit({ type: 'broadcast', message })
    }
    this.#toldMs = nowMs
  }
}
