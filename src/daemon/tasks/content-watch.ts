/**
 * Notices that contents on disk change, vanish or come back, without reading them: looks at the files of one task after the other.
 *
 * Invariants: a content that changed is told before it is looked at again, one that is whole again likewise; at most so many looks a second, however
 * many files there are. What changes between two looks is found by whoever reads it (store/guarded-reader.ts). Called by the queue.
 */

import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Manifest } from '../../content/manifest.ts'
import type { Entry } from './entry.ts'

export interface ContentWatchInit {
  entries: () => readonly Entry[]
  manifestOf: (entry: Entry) => Manifest | undefined
  /** Something about the files of a complete task is not as it was. */
  changed: (entry: Entry, isWhole: boolean) => Promise<void>
  /** Something about the files of a task that failed for its content is not as it was. */
  mayBeBack: (entry: Entry) => Promise<void>
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
  readonly #seen = new WeakMap<Entry, { digest: string; state: string }>()
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

  /** Whether the task failed because of what is on disk, so that it comes back with its bytes. */
  static waitsForBytes({ record }: Entry): boolean {
    if (record.state !== 'failed' || record.path === undefined) return false
    return (record.kind === 'seed' || record.finishedMs !== undefined) && record.error?.details.content === 'changed'
  }

  /** How the files of a content look that was just hashed or written: what comes after this is a change. Large folders are noted in their turn. */
  async note(entry: Entry): Promise<void> {
    const { record } = entry
    const manifest = this.#init.manifestOf(entry)
    if (manifest === undefined || record.path === undefined || record.only !== undefined) return
    if ((manifest.files?.length ?? 1) > NOTED_AT_ONCE) return
    const look = await this.#look(manifest, record.path, false)
    this.#seen.set(entry, { digest: look.digest, state: 'complete' })
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      for (const entry of this.#init.entries()) {
        if (signal.aborted) return
        await this.#watch(entry).catch(err => this.#init.log.warn({ err, path: entry.record.path }, 'cannot look at a content'))
      }
      await sleep(ROUND_MS, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #watch(entry: Entry): Promise<void> {
    const { record } = entry
    const isServed = record.state === 'complete' && entry.transfer !== undefined
    const isAwaited = ContentWatch.waitsForBytes(entry)
    const manifest = isServed || isAwaited ? this.#init.manifestOf(entry) : undefined
    if (manifest === undefined || record.path === undefined || record.only !== undefined) return
    const { transfer } = entry
    const look = await this.#look(manifest, record.path)
    if (this.#stop.signal.aborted || entry.transfer !== transfer) return
    const before = this.#seen.get(entry)
    this.#seen.set(entry, { digest: look.digest, state: record.state })
    const isSame = before?.digest === look.digest && before.state === record.state
    if (isServed && ((before !== undefined && !isSame) || !look.isWhole)) await this.#init.changed(entry, look.isWhole)
    if (isAwaited && !isSame && look.isWhole) await this.#init.mayBeBack(entry)
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
