/**
 * Deleting what downloads put on disk: because somebody asks, or to keep the disk quota.
 *
 * Invariants: what is about to be deleted is stored before the first file goes, and a start finishes what a crash cut short, so that no file is left that
 * no quota counts; an eviction that meets a file that is not ours deletes nothing and fails the task. Called by the queue.
 */

import type { TaskState } from '../../api/schema.ts'
import type { Manifest } from '../../content/manifest.ts'
import { RequestRefusedError } from '../../errors.ts'
import type { RemoveReport, SwarmNode } from '../../node/types.ts'
import type { Entry } from './entry.ts'
import type { TaskStore } from './task-store.ts'

export interface DeletionInit {
  node: Pick<SwarmNode, 'remove'>
  store: TaskStore
  parseManifest: (text: string) => Manifest
  incompleteDir: string | undefined
  /** Leaves the swarm and lets go of the files. */
  close: (entry: Entry) => Promise<void>
  setState: (entry: Entry, state: TaskState, error?: unknown) => void
  /** The task is gone. */
  forget: (entry: Entry) => void
  log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
}

/** Paths named in an answer or error; there may be as many as a content has files. */
const MOST_NAMED = 100

const NOTHING_LEFT: RemoveReport = { changed: [], beside: [] }

export class Deletion {
  readonly #init: DeletionInit

  constructor(init: DeletionInit) {
    this.#init = init
  }

  /** Forgets the task and deletes what it put on disk; what was not ours is left and told. Throws `StoreError`; then the task is failed. */
  async remove(entry: Entry): Promise<RemoveReport> {
    this.#intend(entry, 'delete')
    try {
      const report = await this.#delete(entry, false)
      this.#init.forget(entry)
      return report
    } catch (err) {
      this.#giveUp(entry, err)
      throw err
    }
  }

  /** Deletes the content of a task that is kept. Never throws: what cannot be deleted fails the task. */
  async evict(entry: Entry): Promise<void> {
    const { record } = entry
    this.#init.log.info({ root: record.root, path: record.path, bytes: record.length }, 'evicted to keep the disk quota')
    try {
      this.#intend(entry, 'evict')
    } catch (err) {
      // Not deleted, not failed: the next time that room is needed it is tried again.
      return this.#init.log.warn({ err, root: record.root }, 'cannot be evicted: the intent cannot be stored')
    }
    try {
      const { changed } = await this.#delete(entry, true)
      if (changed.length > 0) throw foreign(changed)
      record.removing = undefined
      record.bytesDone = 0
      this.#init.setState(entry, 'evicted')
    } catch (err) {
      this.#giveUp(entry, err)
    }
  }

  /** After a start: what a crash cut short. */
  async finish(entry: Entry): Promise<void> {
    if (entry.record.removing === 'evict') return this.evict(entry)
    await this.remove(entry).catch(err => this.#init.log.warn({ err, id: entry.record.id }, 'could not be deleted'))
  }

  #intend(entry: Entry, removing: 'delete' | 'evict'): void {
    this.#init.store.save({ ...entry.record, removing })
    entry.record.removing = removing
  }

  #giveUp(entry: Entry, err: unknown): void {
    entry.record.removing = undefined
    this.#init.setState(entry, 'failed', err)
  }

  async #delete(entry: Entry, unlessChanged: boolean): Promise<RemoveReport> {
    const { record } = entry
    const { node, store, parseManifest, incompleteDir } = this.#init
    const text = store.manifest(record.root)
    await this.#init.close(entry)
    if (record.path === undefined || text === undefined) return NOTHING_LEFT
    const report = await node.remove(parseManifest(text), {
      output: record.path,
      finished: record.finishedMs !== undefined,
      unlessChanged,
      ...(record.only === undefined ? {} : { only: record.only }),
      ...(incompleteDir === undefined ? {} : { incompleteDir })
    })
    const { changed, beside } = report
    if (changed.length + beside.length > 0)
      this.#init.log.warn({ root: record.root, changed: changed.slice(0, MOST_NAMED), beside }, 'left on disk: not ours')
    if (changed.length === 0 || !unlessChanged) record.finishedMs = undefined
    return { changed: changed.slice(0, MOST_NAMED), beside }
  }
}

function foreign(changed: RemoveReport['changed']): RequestRefusedError {
  const [first] = changed
  const more = changed.length > 1 ? ` and ${changed.length - 1} more` : ''
  return new RequestRefusedError(
    'conflict',
    `not evicted, nothing was deleted: ${first?.path} is not what the download wrote (${first?.reason})${more}; move it away, or forget the task`,
    { changed }
  )
}
