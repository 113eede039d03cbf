/**
 * What may happen so often in the long run and so often at once. One for each key; those that are full again are forgotten. Used by the limits.
 */

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

interface Bucket {
  tokens: number
  atMs: number
}

/** Keys remembered. Beyond them the one that was asked of longest ago is forgotten, which gives it a full bucket again. */
const MAX_KEYS = 20_000

export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>()

  /** Takes `cost` of the key's budget; false, and nothing is taken, when there is not enough. */
  take(key: string, { perSecond, burst }: Rate, nowMs: number, cost = 1): boolean {
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs }
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond)
    bucket.atMs = nowMs
    // Moved to the end: the order is that of the last question.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > MAX_KEYS) this.#forgetOldest()
    if (bucket.tokens < cost) return false
    bucket.tokens -= cost
    return true
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key)
      return
    }
  }
}
