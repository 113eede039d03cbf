/**
 * The feed of changes: which tasks changed, which are gone, and what is being hashed to become one.
 *
 * Invariants: progress of a task is reported at most four times a second, another state almost at once; the
 * end of hashing is reported after the task that came of it, so that a watcher sees a seed as one or the
 * other all the time.
 */

import { EventEmitter } from 'node:events'
import { type Hashing, HashingBoard } from './hashing-board.ts'
import type { Task, TaskStatus } from './task.ts'

export interface FeedListener {
  changed: (task: TaskStatus) => void
  removed: (id: string) => void
  hashing: (hashing: Hashing) => void
  /** The path is not hashed any more; the task that came of it was reported before. */
  hashed: (path: string) => void
}

/** Longest that progress waits to be reported. */
const CHANGE_INTERVAL_MS = 250
/** Longest that another state waits: a program that waits for the end should not wait longer. */
const STATE_INTERVAL_MS = 5

export class Feed {
  readonly hashing = new HashingBoard({
    moved: hashing => this.#events.emit('hashing', hashing),
    over: path => {
      this.#hashed.add(path)
      this.#reportSoon(CHANGE_INTERVAL_MS)
    }
  })
  readonly #statusOf: (task: Task) => TaskStatus
  readonly #events = new EventEmitter()
  readonly #changed = new Set<Task>()
  /** Paths whose hashing is over, to be reported. */
  readonly #hashed = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #dueMs = 0
  #isStopped = false

  constructor(statusOf: (task: Task) => TaskStatus) {
    this.#statusOf = statusOf
    this.#events.setMaxListeners(0)
  }

  watch(listener: FeedListener): () => void {
    for (const [event, handler] of Object.entries(listener)) this.#events.on(event, handler)
    return () => {
      for (const [event, handler] of Object.entries(listener)) this.#events.off(event, handler)
    }
  }

  reportProgress(task: Task): void {
    this.#changed.add(task)
    this.#reportSoon(CHANGE_INTERVAL_MS)
  }

  reportState(task: Task): void {
    this.#changed.add(task)
    this.#reportSoon(STATE_INTERVAL_MS)
  }

  reportRemoved(task: Task): void {
    this.#changed.delete(task)
    this.#events.emit('removed', task.record.id)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#events.removeAllListeners()
  }

  #reportSoon(withinMs: number): void {
    if (this.#isStopped) return
    const dueMs = performance.now() + withinMs
    if (this.#timer !== undefined && this.#dueMs <= dueMs) return
    clearTimeout(this.#timer)
    this.#dueMs = dueMs
    this.#timer = setTimeout(() => this.#reportAll(), withinMs)
  }

  #reportAll(): void {
    this.#timer = undefined
    const changed = [...this.#changed]
    const hashed = [...this.#hashed]
    this.#changed.clear()
    this.#hashed.clear()
    if (this.#events.listenerCount('changed') === 0) return
    for (const each of changed) this.#events.emit('changed', this.#statusOf(each))
    for (const path of hashed) if (!this.hashing.has(path)) this.#events.emit('hashed', path)
  }
}
