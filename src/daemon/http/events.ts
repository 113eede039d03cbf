/**
 * Server-sent events: tasks as they change, coalesced per task so that a slow reader costs one state per task and no more.
 *
 * Invariants: an event carries the whole state of its task, so that losing some loses nothing; nothing is pushed to a reader who did
 * not take the last batch. Called by the routes.
 */

import { Readable } from 'node:stream'
import type { Task } from '../schema.ts'
import type { TaskQueue } from '../task-queue.ts'

const HEARTBEAT_MS = 15_000

/** Text of `text/event-stream`: first every task (or the one asked for), then changes. `end` when the one asked for is gone. */
export function taskEvents(queue: TaskQueue, id: string | undefined): Readable {
  const waiting = new Map<string, Task | undefined>()
  for (const task of id === undefined ? queue.list() : [queue.get(id)]) waiting.set(task.id, task)
  let wanted = false
  // A first line even when there is no task: until something is sent, readers do not know that they are connected.
  let heartbeat = true
  const flush = (): void => {
    if (!wanted || (waiting.size === 0 && !heartbeat)) return
    wanted = false
    heartbeat = false
    let text = waiting.size === 0 ? ': still here\n\n' : ''
    for (const [taskId, task] of waiting) {
      text +=
        task === undefined
          ? `event: removed\ndata: ${JSON.stringify({ id: taskId })}\n\n`
          : `event: task\ndata: ${JSON.stringify(task)}\n\n`
    }
    const isOver = id !== undefined && waiting.has(id) && waiting.get(id) === undefined
    waiting.clear()
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
      if (id !== undefined && task.id !== id) return
      waiting.set(task.id, task)
      flush()
    },
    removed: taskId => {
      if (id !== undefined && taskId !== id) return
      waiting.set(taskId, undefined)
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
