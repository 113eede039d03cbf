/**
 * Where readers (playback, gateway, `Transfer.read`) stand, and what they wait for. Bounded by {@link
 * READER.MAX_READERS}.
 */

import { MISSING, type SwarmState } from '../state.ts'
import { READER } from '../tunables.ts'

export interface Reader {
  readonly first: number
  readonly last: number
  /** When it came to stand at `first`. */
  readonly movedMs: number
  /** The first piece that it asked for has not come yet. */
  isStarting: boolean
}

export class Readers {
  readonly #state: SwarmState
  readonly #readers = new Map<string, Reader>()

  constructor(state: SwarmState) {
    this.#state = state
  }

  get size(): number {
    return this.#readers.size
  }

  all(): Iterable<Reader> {
    return this.#readers.values()
  }

  /** The reader stands at `first` and wants up to `last`. True when it is new or jumped out of its window. */
  move(id: string, first: number, last: number, nowMs: number): boolean {
    const known = this.#readers.get(id)
    if (known === undefined && this.#readers.size >= READER.MAX_READERS) return false
    const hasJumped = known === undefined || first > known.last || first < known.first
    const movedMs = known?.first === first ? known.movedMs : nowMs
    const isStarting = hasJumped || (known.isStarting && known.first === first)
    this.#readers.set(id, { first, last, movedMs, isStarting })
    return hasJumped
  }

  delete(id: string): void {
    this.#readers.delete(id)
  }

  /** Whether some reader waits for the piece now. */
  want(piece: number): boolean {
    for (const reader of this.#readers.values()) if (piece >= reader.first && piece <= this.lastWanted(reader)) return true
    return false
  }

  /**
   * The end of what a reader waits for now: while its first piece can be had and is not there, that and the
   * next few.
   */
  lastWanted({ first, last, isStarting }: Reader): number {
    return isStarting && this.#state.table.holdersOf(first) > 0 ? Math.min(last, first + READER.START_PIECES - 1) : last
  }

  /**
   * A reader lacks something of its window that can be had: until it has that, other pieces would only stand
   * in its way on the downlink.
   */
  get isBehind(): boolean {
    const { status, table } = this.#state
    for (const reader of this.#readers.values()) {
      const end = Math.min(this.lastWanted(reader), reader.first + READER.AHEAD_PIECES - 1)
      for (let piece = reader.first; piece <= end; piece++)
        if (status[piece] === MISSING && this.#state.wants(piece) && table.holdersOf(piece) > 0) return true
    }
    return false
  }
}
