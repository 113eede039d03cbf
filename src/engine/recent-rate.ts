/**
 * Bytes per second over the last one to two spans: two buckets, integer steps of time, no transcendental
 * function, so that decisions built on it are the same on every machine. (util/rate-meter.ts is smoother and
 * for people.)
 */

const SPAN_MS = 2000

export class RecentRate {
  #startMs: number
  #current = 0
  #previous = 0
  #previousSpanMs = 0

  constructor(nowMs: number) {
    this.#startMs = nowMs
  }

  record(bytes: number, nowMs: number): void {
    this.#roll(nowMs)
    this.#current += bytes
  }

  /** Bytes per second. */
  rate(nowMs: number): number {
    this.#roll(nowMs)
    const spanMs = nowMs - this.#startMs + this.#previousSpanMs
    return ((this.#current + this.#previous) / Math.max(SPAN_MS / 8, spanMs)) * 1000
  }

  #roll(nowMs: number): void {
    const elapsedMs = nowMs - this.#startMs
    if (elapsedMs < SPAN_MS) return
    const isLong = elapsedMs >= 2 * SPAN_MS
    this.#previous = isLong ? 0 : this.#current
    this.#previousSpanMs = SPAN_MS
    this.#current = 0
    this.#startMs = isLong ? nowMs : this.#startMs + SPAN_MS
  }
}
