/**
 * Tells every neighbour what we have now, at once or batched when pieces come faster than `haveBatchMs`; and
 * what we expect, which saves them four offers of ten, and others the choice of what comes to us anyway. Used
 * by swarm.ts.
 */

import { perMessage } from '../wire/messages.ts'
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
    const neighbours = this.#state.neighbourOf.size
    const haves = this.#haves
    this.#haves = []
    if (neighbours > 0) this.#tellAll('have', haves)
    const untold = this.#downloader.takeUntold()
    // A lone neighbour is the one that they are expected from.
    if (neighbours > 1) this.#tellAll('expecting', untold)
    this.#toldMs = nowMs
  }

  #tellAll(type: 'have' | 'expecting', pieces: readonly number[]): void {
    for (const list of perMessage(pieces)) this.#state.emit({ type: 'broadcast', message: { type, pieces: list } })
  }
}
