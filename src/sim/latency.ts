/** Delays between machines: the same range for every pair, drawn from a generator of its own. */

import type { Random } from '../util/random.ts'
import type { SimulationOptions } from './options.ts'

/** How long others take to notice that a machine is gone without a word. */
const CRASH_NOTICE_LOW_MS = 200
const CRASH_NOTICE_HIGH_MS = 5000

export class Latency {
  readonly #latencyMs: number
  readonly #jitter: number
  readonly #random: Random

  constructor({ latencyMs, jitter }: SimulationOptions, random: Random) {
    this.#latencyMs = latencyMs
    this.#jitter = jitter
    this.#random = random
  }

  /** One way between some two machines without jitter, ms. */
  get meanMs(): number {
    return this.#latencyMs
  }

  /** One way, ms. */
  draw(): number {
    return this.#latencyMs * (1 + this.#jitter * (2 * this.#random.nextFloat() - 1))
  }

  drawCrashNotice(): number {
    return this.#random.nextBetween(CRASH_NOTICE_LOW_MS, CRASH_NOTICE_HIGH_MS)
  }
}
