/**
 * Smoothed bytes per second: an exponentially decaying sum over about `windowMs`, and the total. Pure; time
 * is handed in.
 *
 * Young meters divide by the time that they have existed instead of the window (bias correction as in Adam,
 * Kingma and Ba 2015), so that the first second does not read as a slow one. Reads zero after long silence.
 */

/** The shortest time that a rate is divided by; a burst in the first millisecond is not a rate. */
const MIN_SPAN_MS = 250

export class RateMeter {
  readonly #windowMs: number
  readonly #startMs: number
  #weight = 0
  #sinceMs: number
  #total = 0

  constructor(nowMs: number, windowMs = 3000) {
    this.#windowMs = windowMs
    this.#startMs = nowMs
    this.#sinceMs = nowMs
  }

  /** All bytes ever recorded. */
  get total(): number {
    return this.#total
  }

  record(bytes: number, nowMs: number): void {
    this.#decay(nowMs)
    this.#weight += bytes
    this.#total += bytes
  }

  /** Bytes per second now. */
  rate(nowMs: number): number {
    this.#decay(nowMs)
    const spanMs = this.#windowMs * (1 - Math.exp((this.#startMs - nowMs) / this.#windowMs))
    return (this.#weight / Math.max(MIN_SPAN_MS, spanMs)) * 1000
  }

  #decay(nowMs: number): void {
    if (nowMs <= this.#sinceMs) return
    this.#weight *= Math.exp((this.#sinceMs - nowMs) / this.#windowMs)
    if (this.#weight < 1e-6) this.#weight = 0
    this.#sinceMs = nowMs
  }
}
