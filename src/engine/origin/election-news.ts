/**
 * What neighbours know of the keepers, and what we tell them: each hears only what it is not known to know.
 * Used by share.ts.
 */

import type { PeerKey } from '../contract.ts'
import type { Neighbour } from '../neighbour.ts'
import type { SwarmState } from '../state.ts'
import { ORIGIN } from '../tunables.ts'
import { type Election, MAX_KEEPERS } from './election.ts'

export class ElectionNews {
  readonly #state: SwarmState
  readonly #keepers: Election
  /** Per slot: the highest beat of each keeper that this neighbour is known to know. */
  readonly #known: (Map<PeerKey, number> | undefined)[] = []
  #toldMs = Number.NEGATIVE_INFINITY
  #isNews = false

  constructor(state: SwarmState, keepers: Election) {
    this.#state = state
    this.#keepers = keepers
  }

  /** When there is something to tell; Infinity: nothing. */
  get wakeMs(): number {
    return this.#isNews ? this.#toldMs + ORIGIN.TELL_MS : Number.POSITIVE_INFINITY
  }

  admit({ slot }: Neighbour): void {
    this.#known[slot] = new Map()
  }

  forget({ slot }: Neighbour): void {
    this.#known[slot] = undefined
  }

  /** The list of keepers changed, or somebody came who does not know it. */
  note(): void {
    this.#isNews = true
  }

  /** The neighbour said who the keepers are. `self`: our own key; undefined while we use no origin. */
  record(
    neighbour: Neighbour,
    entries: readonly { peer: PeerKey; beat: number }[],
    self: PeerKey | undefined,
    nowMs: number
  ): void {
    const known = this.#known[neighbour.slot]
    for (const { peer, beat } of entries) {
      if (peer === self) {
        this.#recordOurs(peer, beat, nowMs)
        continue
      }
      if (this.#keepers.record({ peer, beat }, nowMs)) this.#isNews = true
      if (known !== undefined && beat > (known.get(peer) ?? -1)) known.set(peer, beat)
    }
    if (known === undefined || known.size <= 4 * MAX_KEEPERS) return
    for (const peer of known.keys()) if (!this.#keepers.has(peer)) known.delete(peer)
  }

  /** What others remember of us from before a restart must not stand above what we say now. */
  #recordOurs(self: PeerKey, beat: number, nowMs: number): void {
    if (beat <= this.#keepers.beatOf(self) || !this.#keepers.has(self)) return
    this.#isNews = this.#keepers.record({ peer: self, beat: beat + 1 }, nowMs)
  }

  /** Tells each neighbour what it is not known to know, if it is time. */
  tell(nowMs: number): void {
    if (nowMs < this.wakeMs) return
    this.#isNews = false
    this.#toldMs = nowMs
    const entries = this.#keepers.entries()
    for (const neighbour of this.#state.neighbours) {
      const known = neighbour === undefined ? undefined : this.#known[neighbour.slot]
      if (neighbour === undefined || known === undefined) continue
      const news = entries.filter(({ peer, beat }) => beat > (known.get(peer) ?? -1) && peer !== neighbour.key)
      if (news.length === 0) continue
      for (const { peer, beat } of news) known.set(peer, beat)
      this.#state.send(neighbour, { type: 'keepers', keepers: news.map(entry => ({ ...entry, addresses: [] })) })
    }
  }
}
