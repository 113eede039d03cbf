/**
 * Which neighbour gets a connection of its own for the pieces that we send it, so that messages do not wait
 * behind them.
 *
 * On a slow uplink that is worth a handshake. One is asked for with each piece that comes or goes, so that
 * handshakes take a small part of the time. On a busy machine no uplink counts as slow: acknowledgements come
 * late there whatever the link, and a handshake is what such a machine can afford least.
 *
 * Invariants: a neighbour is asked for once, and again only after a failure and {@link RETRY_MS}. Pure; used
 * by swarm.ts.
 */

import type { PeerKey } from '../contract.ts'

/**
 * Busy: housekeeping comes later than this on average, ms. Raised: crowds on busy machines open connections
 * that bring them nothing; lowered: where the uplink is slow as well, messages wait behind pieces.
 */
const BUSY_LATE_MS = 20
/** Rounds that the average covers. Raised: it follows slowly; lowered: one late round counts. */
const LATE_ROUNDS = 16
/** No round counts for more, ms: after a machine has slept one is late by hours. */
const MAX_LATE_MS = 250
/**
 * From a failure to the next try, ms. Raised: messages wait behind pieces for longer; lowered: handshakes
 * with peers that cannot.
 */
const RETRY_MS = 60_000

export class PieceConnections {
  /** Neighbours without one, in the order of their turns, and when each turn comes. */
  readonly #lacking = new Map<PeerKey, number>()
  /** How late housekeeping comes, on average. */
  #lateMs = 0

  handleHousekeeping(lateMs: number): void {
    this.#lateMs += (Math.min(lateMs, MAX_LATE_MS) - this.#lateMs) / LATE_ROUNDS
  }

  handleJoined(peer: PeerKey): void {
    this.#lacking.set(peer, Number.NEGATIVE_INFINITY)
  }

  handleLeft(peer: PeerKey): void {
    this.#lacking.delete(peer)
  }

  handleFailed(peer: PeerKey, nowMs: number): void {
    this.#lacking.set(peer, nowMs + RETRY_MS)
  }

  /**
   * The neighbour whose turn it is, which is asked for from now on; undefined when nobody lacks one, or this
   * machine is busy.
   */
  next(nowMs: number): PeerKey | undefined {
    if (this.#lateMs > BUSY_LATE_MS) return undefined
    // Failures come in the order of their times, so the first decides.
    for (const [peer, turnMs] of this.#lacking) {
      if (turnMs > nowMs) return undefined
      this.#lacking.delete(peer)
      return peer
    }
    return undefined
  }
}
