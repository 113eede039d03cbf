/**
 * Deleting what downloads put on disk: because somebody asks, or to keep the disk quota.
 *
 * Invariants: what is about to be deleted is stored before the first file goes, and a start finishes what a
 * crash cut short, so that no file is left that no quota counts; an eviction that meets a file that is not
 * ours deletes nothing and fails the task. Called by the queue.
 */

import type { Manifest } from '../../content/manifest.ts'
import { RequestRefusedError } from '../../errors.ts'
import type { RemoveReport, SwarmNode } from '../../node/types.ts'
import type { TaskLedger } from './ledger.ts'
import { closeTransfer, type Task } from './task.ts'
import type { TaskStore } from './task-store.ts'

interface DeletionInit {
  node: Pick<SwarmNode, 'remove'>
  store: TaskStore
  parseManifest: (text: string) => Manifest
  incompleteDir: string | undefined
  ledger: TaskLedger
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

  /**
   * Forgets the task and deletes what it put on disk; what was not ours is left and told. Throws
   * `StoreError`; then the task is failed.
   */
  async remove(task: Task): Promise<RemoveReport> {
    this.#intend(task, 'delete')
    try {
      const report = await this.#delete(task, false)
      this.#init.ledger.forget(task)
      return report
    } catch (err) {
      this.#giveUp(task, err)
      throw err
    }
  }

  /** Forgets the task and leaves its files alone. Throws `StoreError`. */
  async forget(task: Task): Promise<RemoveReport> {
    await closeTransfer(task)
    this.#init.ledger.forget(task)
    return NOTHING_LEFT
  }

  /** Deletes the content of a task that is kept. Never throws: what cannot be deleted fails the task. */
  async evict(task: Task): Promise<void> {
    const { record } = task
    this.#init.log.info({ root: record.root, path: record.path, bytes: record.length }, 'evicted to keep the disk quota')
    try {
      this.#intend(task, 'evict')
    } catch (err) {
      // Not deleted, not failed: the next time that room is needed it is tried again.
      return this.#init.log.warn({ err, root: record.root }, 'cannot be evicted: the intent cannot be stored')
    }
    try {
      const { changed } = await this.#delete(task, true)
      if (changed.length > 0) throw foreign(changed)
      record.removing = undefined
      record.bytesDone = 0
      if (!this.#init.ledger.recordFact(task, 'evict')) this.#init.ledger.recordChange(task)
    } catch (err) {
      this.#giveUp(task, err)
    }
  }

  /** After a start: what a crash cut short. */
  async finish(task: Task): Promise<void> {
    if (task.record.removing === 'evict') return this.evict(task)
    await this.remove(task).catch(err => this.#init.log.warn({ err, id: task.record.id }, 'could not be deleted'))
  }

  #intend(task: Task, removing: 'delete' | 'evict'): void {
    this.#init.store.save({ ...task.record, removing })
    task.record.removing = removing
  }

  #giveUp(task: Task, err: unknown): void {
    task.record.removing = undefined
    this.#init.ledger.recordFact(task, 'stick', err)
  }

  async #delete(task: Task, unlessChanged: boolean): Promise<RemoveReport> {
    const { record } = task
    const { node, store, parseManifest, incompleteDir } = this.#init
    const text = store.manifest(record.root)
    await closeTransfer(task)
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
