/**
 * Virtual time: what happens on which machine and when.
 *
 * Machines take turns in windows of a few milliseconds (timetable.ts), so what one does to another is an
 * event of the other; what concerns several at once (dialling, ends of connections, links between racks, the
 * origin) is done between windows.
 */

import { Heap } from '../util/heap.ts'
import type { Machine } from './machine.ts'
import { Timetable } from './timetable.ts'

/** Something that happens on a machine: the one whose turn it is. */
export type Happening = (machine: Machine) => void

export class Schedule {
  nowMs = 0
  /** Events handled so far. */
  steps = 0
  readonly machines: Machine[] = []
  readonly #timetable: Timetable<Happening>
  /** What concerns several machines, by its time. */
  readonly #calls = new Heap<() => void>()

  /** `shortestMs`: the least time that anything takes from one machine to another. */
  constructor(shortestMs: number) {
    this.#timetable = new Timetable(shortestMs)
  }

  /** Calls back between windows, some ms after `ms` at most; for what concerns more than one machine. */
  at(ms: number, call: () => void): void {
    this.#calls.push(ms, call)
  }

  /** Something happens at `ms` that concerns this machine alone. */
  on(machine: Machine, ms: number, happening: Happening): void {
    this.#timetable.push(machine.index, ms, happening)
  }

  /** As {@link on}, by {@link Machine.index}: for what happens to many. */
  onIndex(machine: number, ms: number, happening: Happening): void {
    this.#timetable.push(machine, ms, happening)
  }

  /**
   * Handles windows until `isDone`, `untilMs`, or at least `maxSteps` more events. False when it stopped
   * before `isDone`.
   */
  run(isDone: () => boolean, untilMs: number, maxSteps: number): boolean {
    const timetable = this.#timetable
    const lastStep = this.steps + maxSteps
    while (this.steps < lastStep) {
      if (isDone()) return true
      const callMs = this.#calls.peekKey() ?? Number.POSITIVE_INFINITY
      const startMs = Math.min(timetable.nextMs ?? Number.POSITIVE_INFINITY, timetable.boundaryMs(callMs))
      if (startMs > untilMs) {
        this.nowMs = untilMs
        return isDone()
      }
      timetable.advanceTo(startMs)
      this.nowMs = startMs
      for (let ms = this.#calls.peekKey(); ms !== undefined && ms <= startMs; ms = this.#calls.peekKey()) {
        this.#calls.pop()?.()
        this.steps++
      }
      this.steps += timetable.runWindow(this.#handle)
    }
    return isDone()
  }

  readonly #handle = (ms: number, happening: Happening, machine: number): void => {
    const where = this.machines[machine] as Machine
    if (where.stopped !== undefined && ms >= where.stopped.fromMs && ms < where.stopped.untilMs) {
      this.onIndex(machine, where.stopped.untilMs, happening)
      return
    }
    this.nowMs = ms
    happening(where)
  }
}
