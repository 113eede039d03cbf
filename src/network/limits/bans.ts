/**
 * Peers refused at connection time, until a moment each. Used by host.ts.
 */

/** Entries from which those that are over are thrown away. */
const CLEANUP_AT = 10_000

export class Bans {
  readonly #until = new Map<string, number>()

  add(peer: string, untilMs: number): void {
    if (this.#until.size >= CLEANUP_AT) {
      const nowMs = Date.now()
      for (const [other, until] of this.#until) if (until <= nowMs) this.#until.delete(other)
    }
    this.#until.set(peer, untilMs)
  }

  has(peer: string): boolean {
    const until = this.#until.get(peer)
    if (until === undefined) return false
    if (until > Date.now()) return true
    this.#until.delete(peer)
    return false
  }
}
