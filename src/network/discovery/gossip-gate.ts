/**
 * What of the gossip that arrives is looked at further, decided before its signature is checked: that is the
 * dear part, and anybody can send thousands.
 *
 * In this order: a topic that we joined; sealed for it by somebody who knows the root; within the budgets of
 * the peer that passed it on and of its author. A peer that passes on what nobody sealed loses score, and
 * gossipsub stops listening to it. Used by gossip.ts.
 */

import type { Refusals } from '../limits/refusals.ts'
import { TokenBuckets } from '../limits/token-bucket.ts'

/**
 * Messages that a peer may pass on: a swarm of hundreds that joins at once, then one of a thousand that says
 * something every 30 s.
 */
const FORWARDED = { perSecond: 40, burst: 100 }
/** Messages of one author about one root; ours come every 30 s at most, but for some at the start. */
const AUTHORED = { perSecond: 0.5, burst: 10 }
/** A fault counts half after this. */
const FORGET_MS = 60_000
const MAX_FAULTY = 10_000
/** Peers that were connected, of whom gossip is passed on. */
const MAX_MET = 10_000

export class GossipGate {
  readonly #refusals: Refusals
  readonly #budgets = new TokenBuckets()
  readonly #faults = new Map<string, { count: number; atMs: number }>()
  /** In the order in which they were met last. */
  readonly #met = new Set<string>()

  constructor(refusals: Refusals) {
    this.#refusals = refusals
  }

  /** A peer is connected, so it exists. */
  handleMet(peer: string): void {
    this.#met.delete(peer)
    this.#met.add(peer)
    if (this.#met.size > MAX_MET) for (const oldest of this.#met) return void this.#met.delete(oldest)
  }

  hasMet(peer: string): boolean {
    return this.#met.has(peer)
  }

  /** For gossipsub: 0 is good, and each fault one less. */
  scoreOf(peer: string): number {
    return -this.#faultsOf(peer, performance.now())
  }

  /**
   * Whether a new message is worth the check of its signature. `from` passed it on; `address` is where that
   * is.
   */
  admits(from: string, address: string, topic: string, author: string, isSealed: boolean): boolean {
    const nowMs = performance.now()
    if (!isSealed) {
      this.#faults.set(from, { count: this.#faultsOf(from, nowMs) + 1, atMs: nowMs })
      if (this.#faults.size > MAX_FAULTY) for (const oldest of this.#faults.keys()) if (this.#faults.delete(oldest)) break
    } else if (
      this.#budgets.take(`from ${from}`, FORWARDED, nowMs) &&
      this.#budgets.take(`${author} ${topic}`, AUTHORED, nowMs)
    ) {
      return true
    }
    this.#refusals.count('gossip', address)
    return false
  }

  #faultsOf(peer: string, nowMs: number): number {
    const faults = this.#faults.get(peer)
    return faults === undefined ? 0 : faults.count * 0.5 ** ((nowMs - faults.atMs) / FORGET_MS)
  }
}
