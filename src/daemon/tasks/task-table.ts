/**
 * All tasks, with answers to frequent questions that would else take a look at all: the queue in order of
 * turn, places in it, claimed disk.
 *
 * Invariants: the queue is in order of turn; `usedBytes` is the sum of what the records claim; each change of
 * a record that matters here is followed by `note`. A task among ten thousand costs what one among a hundred
 * does.
 */

import { byTurn } from './order.ts'
import { claimedBytes, isEvictable } from './quota.ts'
import type { Task } from './task.ts'
import type { TaskState } from './transitions.ts'

/** How a task stood when it was noted last. */
interface Noted {
  state: TaskState
  claimed: number
  isEvictable: boolean
  /** As it lies in the queue; undefined: not queued. */
  turn: { priority: number; order: number } | undefined
}

export class TaskTable {
  /**
   * Goes up whenever the disk's account changes: a claim, or what could be evicted. What was found out about
   * room holds as long as it stays.
   */
  version = 0
  readonly #tasks = new Map<string, Task>()
  readonly #byRoot = new Map<string, Task>()
  readonly #noted = new Map<Task, Noted>()
  readonly #active = new Set<Task>()
  readonly #queue: Task[] = []
  readonly #arrived = new Set<Task>()
  #usedBytes = 0
  #lastOrder = 0

  get size(): number {
    return this.#tasks.size
  }

  /** Bytes of disk that downloads take, or will when active ones are complete. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Tasks that download now. */
  get active(): ReadonlySet<Task> {
    return this.#active
  }

  /** In order of turn. Changes under the caller. */
  get queue(): readonly Task[] {
    return this.#queue
  }

  /** Queued tasks that were not queued when this was cleared last. */
  get arrived(): Set<Task> {
    return this.#arrived
  }

  /** An order behind all others. */
  nextOrder(): number {
    this.#lastOrder++
    return this.#lastOrder
  }

  all(): IterableIterator<Task> {
    return this.#tasks.values()
  }

  get(id: string): Task | undefined {
    return this.#tasks.get(id)
  }

  ofRoot(root: string): Task | undefined {
    return this.#byRoot.get(root)
  }

  has(task: Task): boolean {
    return this.#noted.has(task)
  }

  add(task: Task): void {
    this.#tasks.set(task.record.id, task)
    this.#byRoot.set(task.record.root, task)
    this.#noted.set(task, { state: 'evicted', claimed: 0, isEvictable: false, turn: undefined })
    this.note(task)
  }

  delete(task: Task): void {
    const { id, root } = task.record
    const noted = this.#noted.get(task)
    if (noted === undefined) return
    this.#leaveQueue(task, noted)
    this.#arrived.delete(task)
    this.#active.delete(task)
    this.#usedBytes -= noted.claimed
    if (noted.claimed > 0 || noted.isEvictable) this.version++
    this.#noted.delete(task)
    this.#tasks.delete(id)
    if (this.#byRoot.get(root) === task) this.#byRoot.delete(root)
  }

  /** State, order, priority, claim, pin or readers of the task may have changed. */
  note(task: Task): void {
    const noted = this.#noted.get(task)
    if (noted === undefined) return
    const { record } = task
    this.#lastOrder = Math.max(this.#lastOrder, record.order)
    const claimed = claimedBytes(record)
    const evictable = isEvictable(task)
    if (claimed !== noted.claimed || evictable !== noted.isEvictable) this.version++
    this.#usedBytes += claimed - noted.claimed
    noted.claimed = claimed
    noted.isEvictable = evictable
    if (record.state === 'active' && record.kind === 'get') this.#active.add(task)
    else this.#active.delete(task)
    const isQueued = record.state === 'queued'
    const { turn } = noted
    if (turn?.priority === record.priority && turn.order === record.order && isQueued) return
    this.#leaveQueue(task, noted)
    if (!isQueued) this.#arrived.delete(task)
    else if (turn === undefined) this.#arrived.add(task)
    if (!isQueued) return
    this.#queue.splice(this.#placeOf(record), 0, task)
    noted.turn = { priority: record.priority, order: record.order }
  }

  /** 1 is next; undefined for a task that is not queued. */
  position(task: Task): number | undefined {
    const turn = this.#noted.get(task)?.turn
    return turn === undefined ? undefined : this.#placeOf(turn) + 1
  }

  #leaveQueue(task: Task, noted: Noted): void {
    if (noted.turn === undefined) return
    let place = this.#placeOf(noted.turn)
    // While orders are given out again two may have the same for a moment.
    while (this.#queue[place] !== task) place++
    this.#queue.splice(place, 1)
    noted.turn = undefined
  }

  /**
   * How many of the queue have their turn before. By the turns that were noted: the records may have changed
   * since.
   */
  #placeOf({ priority, order }: { priority: number; order: number }): number {
    let low = 0
    let high = this.#queue.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#noted.get(this.#queue[middle] as Task)?.turn as { priority: number; order: number }
      if (byTurn({ record: other }, { record: { priority, order } }) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
