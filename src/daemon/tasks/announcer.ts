/**
 * Tells those who watch what changes: tasks, and what is being hashed to become one.
 *
 * Invariants: a task is told of at most four times a second, and of another state almost at once; hashing that is over is told behind the task that came of
 * it, so that who watches sees a seed as one or the other all the time. Called by the queue.
 */

import { EventEmitter } from 'node:events'
import type { Hashing, Task } from '../../api/schema.ts'
import type { Entry } from './entry.ts'
import { HashingBoard } from './hashing-board.ts'

export interface QueueListener {
  changed: (task: Task) => void
  removed: (id: string) => void
  hashing: (hashing: Hashing) => void
  /** The path is not hashed any more; the task that came of it was told of before. */
  hashed: (path: string) => void
}

/** Those who watch hear of progress within this, and of another state within the next: a program that waits for the end should not wait longer. */
const CHANGE_INTERVAL_MS = 250
const STATE_INTERVAL_MS = 5

export class Announcer {
  readonly hashing = new HashingBoard({
    moved: hashing => this.#events.emit('hashing', hashing),
    over: path => {
      this.#hashed.add(path)
      this.#tellSoon(CHANGE_INTERVAL_MS)
    }
  })
  readonly #view: (entry: Entry) => Task
  readonly #events = new EventEmitter()
  readonly #changed = new Set<Entry>()
  /** Paths whose hashing is over, to be told. */
  readonly #hashed = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #dueMs = 0
  #isStopped = false

  constructor(view: (entry: Entry) => Task) {
    this.#view = view
    this.#events.setMaxListeners(0)
  }

  watch(listener: QueueListener): () => void {
    for (const [event, handler] of Object.entries(listener)) this.#events.on(event, handler)
    return () => {
      for (const [event, handler] of Object.entries(listener)) this.#events.off(event, handler)
    }
  }

  /** Something about the task changed. */
  tell(entry: Entry): void {
    this.#changed.add(entry)
    this.#tellSoon(CHANGE_INTERVAL_MS)
  }

  tellState(entry: Entry): void {
    this.#changed.add(entry)
    this.#tellSoon(STATE_INTERVAL_MS)
  }

  removed(entry: Entry): void {
    this.#changed.delete(entry)
    this.#events.emit('removed', entry.record.id)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#events.removeAllListeners()
  }

  #tellSoon(withinMs: number): void {
    if (this.#isStopped) return
    const dueMs = performance.now() + withinMs
    if (this.#timer !== undefined && this.#dueMs <= dueMs) return
    clearTimeout(this.#timer)
    this.#dueMs = dueMs
    this.#timer = setTimeout(() => this.#tellAll(), withinMs)
  }

  #tellAll(): void {
    this.#timer = undefined
    const changed = [...this.#changed]
    const hashed = [...this.#hashed]
    this.#changed.clear()
    this.#hashed.clear()
    if (this.#events.listenerCount('changed') === 0) return
    for (const each of changed) this.#events.emit('changed', this.#view(each))
    for (const path of hashed) if (!this.hashing.has(path)) this.#events.emit('hashed', path)
  }
}
