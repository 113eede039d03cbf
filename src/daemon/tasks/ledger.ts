/**
 * The books of all tasks: the only writer of a task's state. Each change goes to the table, the store and the
 * feed from here.
 *
 * Invariants: a state follows from transitions.ts; what a caller asked for is stored before it holds, or
 * refused with `StoreError`; what happened by itself holds at once, and is stored again and again until the
 * state folder takes it; totals over all tasks never fall.
 */

import { RequestRefusedError } from '../../errors.ts'
import { faultOf } from '../fault.ts'
import { Feed } from './feed.ts'
import type { TaskRecord } from './record.ts'
import { absorbTotals, newTask, statusOf, type Task, type TaskStatus } from './task.ts'
import type { TaskStore } from './task-store.ts'
import { TaskTable } from './task-table.ts'
import { nextState, type TaskFact, type TaskRequest } from './transitions.ts'

interface TaskLedgerInit {
  store: Pick<TaskStore, 'save' | 'delete'>
  log: { warn: (facts: object, message: string) => void }
}

/** What an error says cannot be done to a task. */
const PAST: Readonly<Record<TaskRequest, string>> = {
  pause: 'paused',
  resume: 'resumed',
  reseed: 'resumed',
  cancel: 'cancelled',
  move: 'moved in the queue'
}

export interface Totals {
  downloaded: number
  uploaded: number
  wasted: number
}

export class TaskLedger {
  readonly table = new TaskTable()
  readonly feed = new Feed(task => this.statusOf(task))
  readonly #init: TaskLedgerInit
  readonly #departed: Totals = { downloaded: 0, uploaded: 0, wasted: 0 }
  /** Their records could not be stored. */
  readonly #unsaved = new Set<Task>()

  constructor(init: TaskLedgerInit) {
    this.#init = init
  }

  /** Takes up a record that is in the store, or is stored with what comes next. */
  open(record: TaskRecord): Task {
    const task = newTask(record)
    this.table.add(task)
    return task
  }

  /** A task that somebody asked for. Throws `StoreError`; then there is none. */
  add(record: TaskRecord): Task {
    this.#init.store.save(record)
    const task = this.open(record)
    this.feed.reportProgress(task)
    return task
  }

  statusOf(task: Task): TaskStatus {
    const status = statusOf(task, this.table.position(task))
    this.table.note(task)
    return status
  }

  /** Throws `RequestRefusedError` ('conflict') for a task that is not in the state for it. */
  check({ record }: Task, request: TaskRequest): void {
    if (nextState(record.state, request) !== undefined) return
    const { id, state } = record
    throw new RequestRefusedError('conflict', `a task that is ${state} cannot be ${PAST[request]}`, { id, state })
  }

  /**
   * Makes what a caller asked for, with other changes of the record. Throws `RequestRefusedError`
   * ('conflict') and `StoreError`.
   */
  recordRequest(task: Task, request: TaskRequest, change: Partial<TaskRecord> = {}): void {
    this.check(task, request)
    const { record } = task
    const state = nextState(record.state, request) ?? record.state
    this.#init.store.save({ ...record, ...change, state })
    Object.assign(record, change, { state })
    this.#stateWritten(task)
  }

  /**
   * Notes what happened by itself; false for a fact that comes too late for the task's state. `err` becomes
   * its error.
   */
  recordFact(task: Task, fact: TaskFact, err?: unknown): boolean {
    const state = nextState(task.record.state, fact)
    if (state === undefined || !this.table.has(task)) return false
    task.record.state = state
    if (err !== undefined) task.record.error = faultOf(err)
    this.#stateWritten(task)
    this.save(task)
    return true
  }

  /** Anything but the state changed by itself. */
  recordChange(task: Task): void {
    this.table.note(task)
    this.save(task)
    this.feed.reportProgress(task)
  }

  /** Stores other changes than of the state, then makes them. Throws `StoreError`; then none is made. */
  recordChanges(changes: Iterable<readonly [Task, Partial<TaskRecord>]>): void {
    const all = [...changes]
    this.#init.store.save(...all.map(([{ record }, change]) => ({ ...record, ...change })))
    for (const [task, change] of all) {
      Object.assign(task.record, change)
      this.table.note(task)
      this.feed.reportProgress(task)
    }
  }

  /** Stores what happened by itself. Where the state folder is full that is tried again until it works. */
  save(...tasks: readonly Task[]): void {
    if (tasks.length + this.#unsaved.size === 0) return
    try {
      this.#init.store.save(...new Set([...tasks, ...this.#unsaved].map(({ record }) => record)))
      this.#unsaved.clear()
    } catch (err) {
      if (this.#unsaved.size === 0) this.#init.log.warn({ err }, 'the state of tasks cannot be stored; it is tried again')
      for (const task of tasks) this.#unsaved.add(task)
    }
  }

  /** Throws `StoreError`; then the task is still there. */
  forget(task: Task): void {
    const { record } = task
    this.#init.store.delete(record)
    this.#departed.downloaded += record.bytesDownloaded
    this.#departed.uploaded += record.bytesUploaded
    this.#departed.wasted += record.bytesWasted
    this.table.delete(task)
    this.#unsaved.delete(task)
    this.feed.reportRemoved(task)
  }

  /** Payload bytes over all tasks, deleted ones included: what counters count never falls. */
  totals(): Totals {
    const totals = { ...this.#departed }
    for (const { record } of this.table.all()) {
      totals.downloaded += record.bytesDownloaded
      totals.uploaded += record.bytesUploaded
      totals.wasted += record.bytesWasted
    }
    return totals
  }

  /** Stores where everything stands. */
  close(): void {
    const tasks = [...this.table.all()]
    for (const task of tasks) absorbTotals(task)
    this.save(...tasks)
    this.feed.stop()
  }

  #stateWritten(task: Task): void {
    if (task.record.state !== 'queued') task.heldBack = undefined
    this.table.note(task)
    this.feed.reportState(task)
  }
}
