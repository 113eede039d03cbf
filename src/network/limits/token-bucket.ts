/**
 * What may happen so often in the long run and so often at once: one bucket, and one for each key. Used by
 * the limits.
 */

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export class TokenBucket {
  /** Undefined: full. */
  #tokens: number | undefined
  #atMs = 0

  /** Takes `cost` of the budget; false, and nothing is taken, when there is not enough. */
  take({ perSecond, burst }: Rate, nowMs: number, cost = 1): boolean {
    const earned = (Math.max(0, nowMs - this.#atMs) / 1000) * perSecond
    const tokens = this.#tokens === undefined ? burst : Math.min(burst, this.#tokens + earned)
    this.#atMs = nowMs
    const isEnough = tokens >= cost
    this.#tokens = isEnough ? tokens - cost : tokens
    return isEnough
  }
}

/**
 * Keys remembered. Beyond them the one that was asked of longest ago is forgotten, which gives it a full
 * bucket again.
 */
const MAX_KEYS = 20_000

export class TokenBuckets {
  readonly #buckets = new Map<string, TokenBucket>()

  take(key: string, rate: Rate, nowMs: number, cost = 1): boolean {
    const bucket = this.#buckets.get(key) ?? new TokenBucket()
    // Moved to the end: the order is that of the last question.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > MAX_KEYS) this.#forgetOldest()
    return bucket.take(rate, nowMs, cost)
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key)
      return
    }
  }
}
