/**
 * What the page knows: tasks and what is being hashed from the event stream, and a short history of rates.
 */

import { useEffect, useRef, useState } from 'preact/hooks'
import type { Hashing, Task } from '../schema/tasks.ts'

export type Connection = 'connecting' | 'live' | 'lost'

/** One second of the past. Bytes per second. */
export interface RateSample {
  down: number
  up: number
}

export const HISTORY_SECONDS = 180

/** Tasks, and what is being hashed, as they change. `enabled` false while a token is asked for. */
export function useTasks(enabled: boolean): { tasks: Task[]; hashing: Hashing[]; connection: Connection } {
  const [tasks, setTasks] = useState<ReadonlyMap<string, Task>>(new Map())
  const [hashing, setHashing] = useState<ReadonlyMap<string, Hashing>>(new Map())
  const [connection, setConnection] = useState<Connection>('connecting')
  useEffect(() => {
    if (!enabled) return
    const events = new EventSource('/v1/events')
    let known = new Map<string, Task>()
    let isFresh = true
    const show = (): void => setTasks(new Map(known))
    events.addEventListener('open', () => {
      // After a lost connection the stream begins with every task, and what is being hashed.
      isFresh = true
      setHashing(new Map())
      setConnection('live')
    })
    events.addEventListener('task', event => {
      if (isFresh) known = new Map()
      isFresh = false
      const task = JSON.parse((event as MessageEvent<string>).data) as Task
      known.set(task.id, task)
      show()
    })
    events.addEventListener('removed', event => {
      known.delete((JSON.parse((event as MessageEvent<string>).data) as { id: string }).id)
      show()
    })
    events.addEventListener('hashing', event => {
      const each = JSON.parse((event as MessageEvent<string>).data) as Hashing
      setHashing(before => new Map(before).set(each.path, each))
    })
    events.addEventListener('hashed', event => {
      const { path } = JSON.parse((event as MessageEvent<string>).data) as { path: string }
      setHashing(before => new Map([...before].filter(([other]) => other !== path)))
    })
    events.addEventListener('error', () => setConnection('lost'))
    return () => events.close()
  }, [enabled])
  return { tasks: [...tasks.values()].sort(inOrder), hashing: [...hashing.values()], connection }
}

const GROUP: Record<Task['state'], number> = { active: 0, queued: 1, paused: 2, failed: 3, complete: 4, cancelled: 5, evicted: 6 }

function inOrder(a: Task, b: Task): number {
  return (
    GROUP[a.state] - GROUP[b.state] ||
    (a.position ?? 0) - (b.position ?? 0) ||
    b.createdMs - a.createdMs ||
    a.id.localeCompare(b.id)
  )
}

/** The last minutes, a sample a second, newest last. */
export function useRates(tasks: readonly Task[]): RateSample[] {
  const [samples, setSamples] = useState<RateSample[]>([])
  const latest = useRef(tasks)
  latest.current = tasks
  useEffect(() => {
    const timer = setInterval(() => {
      const sample = {
        down: latest.current.reduce((sum, task) => sum + task.downloadRate, 0),
        up: latest.current.reduce((sum, task) => sum + task.uploadRate, 0)
      }
      setSamples(before => [...before.slice(1 - HISTORY_SECONDS), sample])
    }, 1000)
    return () => clearInterval(timer)
  }, [])
  return samples
}

/**
 * Calls `load` now and every `everyMs`, not while the page is hidden or `key` is undefined; `undefined` until
 * the first answer.
 */
export function usePolled<T>(load: () => Promise<T>, everyMs: number, key: string | undefined): T | undefined {
  const [value, setValue] = useState<{ key: string | undefined; value: T }>()
  useEffect(() => {
    if (key === undefined) return
    let isOver = false
    const ask = async (): Promise<void> => {
      if (document.hidden) return
      try {
        const answer = await load()
        if (!isOver) setValue({ key, value: answer })
      } catch {
        // Shown by the connection state; the next round may succeed.
      }
    }
    void ask()
    const timer = setInterval(() => void ask(), everyMs)
    return () => {
      isOver = true
      clearInterval(timer)
    }
  }, [key, everyMs])
  return key !== undefined && value?.key === key ? value.value : undefined
}
