/**
 * Server-sent events: tasks as they change, and what is being hashed, coalesced so that a slow reader costs
 * one state of each and no more.
 *
 * Invariants: an event carries the whole state of what it tells of, so that losing some loses nothing;
 * nothing is pushed to a reader who did not take the last batch. Called by the routes.
 */

import { Readable } from 'node:stream'
import { type Caller, mayReach } from '../daemon/access/caller.ts'
import type { TaskQueue } from '../daemon/tasks/queue.ts'
import type { Hashing, Task } from './schema/tasks.ts'
import { viewTask } from './views/tasks.ts'

const HEARTBEAT_MS = 15_000

/**
 * Text of `text/event-stream`, of what the caller may reach: first all that is hashed and every task (or the
 * one asked for), then changes. `end` when the one asked for is gone.
 */
export function taskEvents(queue: TaskQueue, id: string | undefined, caller: Caller): Readable {
  const waiting = new Map<string, Task | undefined>()
  for (const task of id === undefined ? queue.contents.list() : [queue.contents.get(id)])
    if (mayReach(caller, task)) waiting.set(task.id, viewTask(task))
  const hearsOfHashing = id === undefined && caller.reach === undefined
  /** By path; undefined: it is over. Not for those who asked for one task. */
  const hashings = new Map<string, Hashing | undefined>()
  if (hearsOfHashing) for (const hashing of queue.hashing()) hashings.set(hashing.path, hashing)
  let wanted = false
  // A first line even when there is no task: until something is sent, readers do not know that they are
  // connected.
  let heartbeat = true
  const flush = (): void => {
    const isEmpty = waiting.size + hashings.size === 0
    if (!wanted || (isEmpty && !heartbeat)) return
    wanted = false
    heartbeat = false
    let text = isEmpty ? ': still here\n\n' : ''
    for (const hashing of hashings.values()) if (hashing !== undefined) text += message('hashing', hashing)
    for (const [taskId, task] of waiting) {
      text += task === undefined ? message('removed', { id: taskId }) : message('task', task)
    }
    for (const [path, hashing] of hashings) if (hashing === undefined) text += message('hashed', { path })
    const isOver = id !== undefined && waiting.has(id) && waiting.get(id) === undefined
    waiting.clear()
    hashings.clear()
    stream.push(text)
    if (isOver) stream.push(null)
  }
  const stream = new Readable({
    highWaterMark: 16 * 1024,
    read() {
      wanted = true
      flush()
    }
  })
  const unwatch = queue.watch({
    changed: task => {
      if ((id !== undefined && task.id !== id) || !mayReach(caller, task)) return
      waiting.set(task.id, viewTask(task))
      flush()
    },
    removed: taskId => {
      if (id !== undefined && taskId !== id) return
      waiting.set(taskId, undefined)
      flush()
    },
    hashing: hashing => {
      if (!hearsOfHashing) return
      hashings.set(hashing.path, hashing)
      flush()
    },
    hashed: path => {
      if (!hearsOfHashing) return
      hashings.set(path, undefined)
      flush()
    }
  })
  const timer = setInterval(() => {
    heartbeat = true
    flush()
  }, HEARTBEAT_MS)
  stream.once('close', () => {
    clearInterval(timer)
    unwatch()
  })
  return stream
}

function message(event: string, data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
