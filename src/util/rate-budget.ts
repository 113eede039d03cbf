/**
 * A token bucket in bytes per second. One may be shared by several swarms of a node (its own limit) beside
 * each swarm's.
 *
 * A piece is spent whole as soon as the balance is not negative, so the balance may go into debt by one piece
 * per spender and the long-run rate is exact, while a limit far below one piece per second still moves.
 */

export class RateBudget {
  #bytesPerSecond: number
  #balance = 0
  #sinceMs: number

  /** `bytesPerSecond` 0: unlimited. */
  constructor(bytesPerSecond: number, nowMs: number) {
    this.#bytesPerSecond = bytesPerSecond
    this.#sinceMs = nowMs
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  setRate(bytesPerSecond: number, nowMs: number): void {
    this.#refill(nowMs)
    this.#bytesPerSecond = bytesPerSecond
    if (bytesPerSecond === 0) this.#balance = 0
  }

  canSpend(nowMs: number): boolean {
    if (this.#bytesPerSecond === 0) return true
    this.#refill(nowMs)
    return this.#balance >= -1e-6
  }

  spend(bytes: number, nowMs: number): void {
    if (this.#bytesPerSecond === 0) return
    this.#refill(nowMs)
    this.#balance -= bytes
  }

  /** Gives back what was reserved and not used. */
  refund(bytes: number): void {
    if (this.#bytesPerSecond !== 0) this.#balance += bytes
  }

  /** When {@link canSpend} will be true; at or before `nowMs` when it is. */
  readyMs(nowMs: number): number {
    if (this.#bytesPerSecond === 0) return nowMs
    this.#refill(nowMs)
    return this.#balance >= -1e-6 ? nowMs : nowMs + (-this.#balance / this.#bytesPerSecond) * 1000
  }

  #refill(nowMs: number): void {
    if (nowMs > this.#sinceMs) {
      // A quarter second may be saved up: smooths timers, never a burst that fills a link.
      const cap = this.#bytesPerSecond / 4
      this.#balance = Math.min(cap, this.#balance + (this.#bytesPerSecond * (nowMs - this.#sinceMs)) / 1000)
      this.#sinceMs = nowMs
    }
  }
}
