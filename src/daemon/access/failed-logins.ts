/**
 * Slows those who guess: after a few wrong secrets an address waits, longer each time.
 *
 * Only a secret that a person chose can be guessed, so only that one is not compared while its caller waits;
 * tokens of ours go through, and nobody behind the same address is locked out. Bounded: the address that
 * failed longest ago is forgotten first. Called by access.ts.
 */

/** Wrong secrets that cost nothing: people mistype. */
const FREE_FAILURES = 10
const FIRST_WAIT_MS = 1000
const MAX_WAIT_MS = 60_000
/** After this long without a failure an address starts again. */
const FORGET_MS = 10 * 60_000
const MAX_ADDRESSES = 10_000

export class FailedLogins {
  readonly #byAddress = new Map<string, { failures: number; lastMs: number; untilMs: number }>()

  /** How long the address has to wait, in ms; 0: not at all. */
  waitMs(address: string, nowMs: number): number {
    return Math.max(0, (this.#byAddress.get(address)?.untilMs ?? 0) - nowMs)
  }

  failed(address: string, nowMs: number): void {
    const before = this.#byAddress.get(address)
    const failures = (before === undefined || nowMs - before.lastMs > FORGET_MS ? 0 : before.failures) + 1
    const over = failures - FREE_FAILURES
    const waitMs = over < 1 ? 0 : Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (over - 1))
    this.#byAddress.delete(address)
    this.#byAddress.set(address, { failures, lastMs: nowMs, untilMs: nowMs + waitMs })
    const [oldest] = this.#byAddress.keys()
    if (this.#byAddress.size > MAX_ADDRESSES && oldest !== undefined) this.#byAddress.delete(oldest)
  }

  succeeded(address: string): void {
    this.#byAddress.delete(address)
  }
}
