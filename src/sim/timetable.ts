/**
 * What happens in a simulated world, by time and machine, in windows shorter than any message between two
 * machines takes.
 *
 * Within a window no machine can learn what another does in it, so each one's events are handled together,
 * machine after machine, and its engine stays in the processor's cache meanwhile: in strict order of time a
 * world of 10,000 engines fetches nearly all that a step looks at from memory.
 */

import { Heap } from '../util/heap.ts'

/**
 * Longest and shortest window, ms. Powers of two, as any window is: multiples of one are exact, and no time
 * falls between two of them.
 */
const MAX_WINDOW_MS = 8
const MIN_WINDOW_MS = 0.25
/** Emptied windows kept for later ones. */
const MAX_SPARE = 64

/** Events of one window in the order of their making, in columns. */
class Window<Event> {
  size = 0
  machines = new Int32Array(64)
  times = new Float64Array(64)
  readonly events: (Event | undefined)[] = []

  add(machine: number, ms: number, event: Event): void {
    const place = this.size++
    if (place === this.machines.length) {
      const { machines, times } = this
      this.machines = new Int32Array(2 * place)
      this.machines.set(machines)
      this.times = new Float64Array(2 * place)
      this.times.set(times)
    }
    this.machines[place] = machine
    this.times[place] = ms
    if (place < this.events.length) this.events[place] = event
    else this.events.push(event)
  }
}

export class Timetable<Event> {
  readonly windowMs: number
  readonly #windows = new Map<number, Window<Event>>()
  readonly #starts = new Heap<Window<Event>>()
  readonly #spare: Window<Event>[] = []
  /** What the machine at work has to do in this window. */
  readonly #agenda = new Heap<Event>()
  /** Whose turn it is; undefined between windows. */
  #machine: number | undefined
  /** Where the present window ends; between windows the earliest time that is not over. */
  #endMs = 0
  /** For the sort by machines: where each one's events end, and the places of all in that order. */
  #ends = new Int32Array(64)
  #order = new Int32Array(64)
  #machines = 0

  /** `shortestMs`: the least time that anything takes from one machine to another. */
  constructor(shortestMs: number) {
    let windowMs = MAX_WINDOW_MS
    while (windowMs > shortestMs && windowMs > MIN_WINDOW_MS) windowMs /= 2
    this.windowMs = windowMs
  }

  /** The start of the next window with an event, or undefined. */
  get nextMs(): number | undefined {
    const index = this.#starts.peekKey()
    return index === undefined ? undefined : index * this.windowMs
  }

  /** The first start of a window at or after `ms` that is not over. */
  boundaryMs(ms: number): number {
    return Math.max(this.#endMs, Math.ceil(ms / this.windowMs) * this.windowMs)
  }

  /**
   * Adds an event of `machine` at `ms`, or as soon as it can be: what one machine does to another takes
   * effect in the next window at the earliest.
   */
  push(machine: number, ms: number, event: Event): void {
    if (machine === this.#machine && ms < this.#endMs) {
      this.#agenda.push(ms, event)
      return
    }
    const atMs = Math.max(ms, this.#endMs)
    const index = Math.floor(atMs / this.windowMs)
    let window = this.#windows.get(index)
    if (window === undefined) {
      window = this.#spare.pop() ?? new Window()
      this.#windows.set(index, window)
      this.#starts.push(index, window)
    }
    window.add(machine, atMs, event)
    if (machine >= this.#machines) this.#machines = machine + 1
  }

  /** Time goes on to `startMs`, the start of a window. */
  advanceTo(startMs: number): void {
    this.#endMs = startMs
  }

  /**
   * Handles the events of the window that starts where time stands, and those that they make within it;
   * answers how many.
   */
  runWindow(handle: (ms: number, event: Event, machine: number) => void): number {
    const index = this.#endMs / this.windowMs
    this.#endMs += this.windowMs
    const window = this.#windows.get(index)
    if (window === undefined) return 0
    this.#windows.delete(index)
    this.#starts.pop()
    this.#sort(window)
    const { times, events } = window
    const agenda = this.#agenda
    const machines = this.#machines
    let handled = 0
    let next = 0
    for (let machine = 0; machine < machines; machine++) {
      const end = this.#ends[machine] as number
      if (end === next) continue
      for (; next < end; next++) {
        const place = this.#order[next] as number
        agenda.push(times[place] as number, events[place] as Event)
      }
      this.#machine = machine
      for (let ms = agenda.peekKey(); ms !== undefined; ms = agenda.peekKey()) {
        handle(ms, agenda.pop() as Event, machine)
        handled++
      }
    }
    this.#machine = undefined
    events.fill(undefined, 0, window.size)
    window.size = 0
    if (this.#spare.length < MAX_SPARE) this.#spare.push(window)
    return handled
  }

  /**
   * Puts the places of the window's events into {@link #order}: by machine, of one machine in the order of
   * their making.
   */
  #sort({ size, machines }: Window<Event>): void {
    if (this.#ends.length <= this.#machines) this.#ends = new Int32Array(2 * this.#machines)
    if (this.#order.length < size) this.#order = new Int32Array(2 * size)
    const ends = this.#ends
    const order = this.#order
    ends.fill(0, 0, this.#machines + 1)
    // Counted one place higher, summed up, and moved on as places are given: each machine's start becomes its
    // end.
    for (let place = 0; place < size; place++) {
      const machine = (machines[place] as number) + 1
      ends[machine] = (ends[machine] as number) + 1
    }
    for (let machine = 1; machine <= this.#machines; machine++)
      ends[machine] = (ends[machine] as number) + (ends[machine - 1] as number)
    for (let place = 0; place < size; place++) {
      const machine = machines[place] as number
      const at = ends[machine] as number
      order[at] = place
      ends[machine] = at + 1
    }
  }
}
