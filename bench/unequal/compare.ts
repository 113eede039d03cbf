/**
 * Measures rows: each a few times alone and beside its neighbours, of which the median counts. Used by
 * main.ts and the tests.
 */

import type { Row } from './rows.ts'
import { type Outcome, type RunOptions, runOnce, type Setting } from './swarm.ts'

export interface Compared {
  readonly name: string
  readonly bytes: number
  readonly aloneSeconds: number
  /** Infinity when a leecher did not finish in time. */
  readonly besideSeconds: number
  readonly ratio: number
  readonly target: number
  readonly ok: boolean
  readonly faults: readonly string[]
}

export class Comparison {
  readonly #runs: number
  readonly #options: RunOptions
  /** Rows with the same setting share what it takes alone. */
  readonly #alone = new Map<string, number>()

  constructor(runs: number, options: RunOptions) {
    this.#runs = runs
    this.#options = options
  }

  /** `factor`: of the row's size. Throws when it cannot be done even alone. */
  async measure({ name, target, alone, beside }: Row, factor = 1): Promise<Compared> {
    const bytes = beside.bytes * factor
    const aloneSeconds = await this.#secondsAlone({ ...alone, bytes })
    const outcomes = await this.#repeat({ ...beside, bytes })
    const besideSeconds = median(outcomes.map(slowest))
    const ratio = besideSeconds / aloneSeconds
    const faults = outcomes.flatMap(outcome => outcome.faults)
    return { name, bytes, aloneSeconds, besideSeconds, ratio, target, ok: ratio <= target && faults.length === 0, faults }
  }

  async #secondsAlone(setting: Setting): Promise<number> {
    const key = JSON.stringify(setting)
    const known = this.#alone.get(key)
    if (known !== undefined) return known
    const outcomes = await this.#repeat(setting)
    const faults = outcomes.flatMap(outcome => outcome.faults)
    if (faults.length > 0) throw new Error(`alone: ${faults.join('; ')}`)
    const seconds = median(outcomes.map(slowest))
    this.#alone.set(key, seconds)
    return seconds
  }

  async #repeat(setting: Setting): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    for (let run = 0; run < this.#runs; run++) {
      const outcome = await runOnce(setting, this.#options)
      outcomes.push(outcome)
      // Once hung, the row is red; two more waits tell nothing.
      if (outcome.faults.length > 0) break
    }
    return outcomes
  }
}

/** Of the timed leechers in one run; Infinity when one was not done. */
function slowest({ seconds, faults }: Outcome): number {
  if (faults.length > 0) return Number.POSITIVE_INFINITY
  return Math.max(...seconds.filter(value => value !== undefined))
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.POSITIVE_INFINITY
}
