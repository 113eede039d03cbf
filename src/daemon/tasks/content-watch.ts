/**
 * Notices that contents on disk change, vanish or come back, without reading them: looks at the files of one
 * task after the other.
 *
 * Invariants: a change is reported before the content is looked at again, and so is a content that is whole
 * again; at most so many looks a second, however many files there are. A change between two looks is found
 * when the content is read (store/guarded-reader.ts).
 */

import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Manifest } from '../../content/manifest.ts'
import { type Task, waitsForBytes } from './task.ts'

interface ContentWatchInit {
  tasks: () => Iterable<Task>
  manifestOf: (task: Task) => Manifest | undefined
  /** Something about the files of a complete task is not as it was. */
  changed: (task: Task, isWhole: boolean) => Promise<void>
  /** Something about the files of a task that failed for its content is not as it was. */
  mayBeBack: (task: Task) => Promise<void>
  log: { warn: (facts: object, message: string) => void }
}

/** Files looked at in a row, and the pause after that: 500 a second, some 1 % of a processor. */
const LOOKS = 100
const PAUSE_MS = 200
/** Pause after each round. */
const ROUND_MS = 1000
const NOTED_AT_ONCE = LOOKS

interface Look {
  digest: string
  /** Every file is there with its length. */
  isWhole: boolean
}

export class ContentWatch {
  readonly #init: ContentWatchInit
  readonly #stop = new AbortController()
  readonly #seen = new WeakMap<Task, { digest: string; state: string }>()
  #running: Promise<void> = Promise.resolve()
  #looks = 0

  constructor(init: ContentWatchInit) {
    this.#init = init
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /**
   * How the files of a content look that was just hashed or written: what comes after this is a change. Large
   * folders are noted in their turn.
   */
  async note(task: Task): Promise<void> {
    const { record } = task
    const manifest = this.#init.manifestOf(task)
    if (manifest === undefined || record.path === undefined || record.only !== undefined) return
    if ((manifest.files?.length ?? 1) > NOTED_AT_ONCE) return
    const look = await this.#look(manifest, record.path, false)
    this.#seen.set(task, { digest: look.digest, state: 'complete' })
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      for (const task of [...this.#init.tasks()]) {
        if (signal.aborted) return
        await this.#watch(task).catch(err => this.#init.log.warn({ err, path: task.record.path }, 'cannot look at a content'))
      }
      await sleep(ROUND_MS, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #watch(task: Task): Promise<void> {
    const { record } = task
    const isServed = record.state === 'complete' && task.transfer !== undefined
    const isAwaited = waitsForBytes(task)
    const manifest = isServed || isAwaited ? this.#init.manifestOf(task) : undefined
    if (manifest === undefined || record.path === undefined || record.only !== undefined) return
    const { transfer } = task
    const look = await this.#look(manifest, record.path)
    if (this.#stop.signal.aborted || task.transfer !== transfer) return
    const before = this.#seen.get(task)
    this.#seen.set(task, { digest: look.digest, state: record.state })
    const isSame = before?.digest === look.digest && before.state === record.state
    if (isServed && ((before !== undefined && !isSame) || !look.isWhole)) await this.#init.changed(task, look.isWhole)
    if (isAwaited && !isSame && look.isWhole) await this.#init.mayBeBack(task)
  }

  async #look(manifest: Manifest, path: string, isPaced = true): Promise<Look> {
    const files = manifest.files?.map(file => ({ path: join(path, ...file.path.split('/')), length: file.length })) ?? [
      { path, length: manifest.length }
    ]
    const digest = createHash('sha1')
    let isWhole = true
    for (const file of files) {
      if (isPaced && ++this.#looks % LOOKS === 0)
        await sleep(PAUSE_MS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {})
      const stats = await stat(file.path, { bigint: true }).catch(() => undefined)
      if (stats?.isFile() !== true || stats.size !== BigInt(file.length)) isWhole = false
      digest.update(stats === undefined ? '-' : `${stats.size} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.ino};`)
    }
    return { digest: digest.digest('hex'), isWhole }
  }
}
