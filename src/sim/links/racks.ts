/**
 * The links between racks: one for each rack and direction, which carries what passes it first come, first
 * served.
 */

import type { Schedule } from '../schedule.ts'

export class RackLinks {
  /** What a rack's link carries each way, in bytes per ms. */
  rate = Number.POSITIVE_INFINITY
  /** Payload bytes between machines whose rack labels differ. */
  bytes = 0
  readonly #schedule: Schedule
  /** When each rack's link has carried everything under way, by rack and direction. */
  readonly #freeMs = new Map<string, number>()

  constructor(schedule: Schedule) {
    this.#schedule = schedule
  }

  /** Takes bytes from one rack to another, and calls back with the time at which they are there. */
  pass(from: string | undefined, to: string | undefined, bytes: number, then: (ms: number) => void): void {
    const { nowMs } = this.#schedule
    if (from === to) {
      then(nowMs)
      return
    }
    this.bytes += bytes
    this.#passOne(from, 'out', bytes, nowMs, passedMs => this.#passOne(to, 'in', bytes, passedMs, then))
  }

  /** Over a rack's link in one direction, behind what came before `ms` and it carries already. */
  #passOne(rack: string | undefined, direction: 'in' | 'out', bytes: number, ms: number, then: (ms: number) => void): void {
    if (rack === undefined || this.rate === Number.POSITIVE_INFINITY) {
      then(ms)
      return
    }
    // Machines share it, so its turns are between windows, in the order of their times.
    this.#schedule.at(ms, () => {
      const key = `${rack} ${direction}`
      const doneMs = Math.max(ms, this.#freeMs.get(key) ?? 0) + bytes / this.rate
      this.#freeMs.set(key, doneMs)
      then(doneMs)
    })
  }
}
