/**
 * The contents behind the tasks, for those who read them: the routes, the fronts, the metrics. Changes no
 * task but its readers and names.
 */

import { formatLink, parseLink } from '../../content/link.ts'
import type { Manifest } from '../../content/manifest.ts'
import { NotFoundError, RequestRefusedError } from '../../errors.ts'
import type { Transfer } from '../../node/types.ts'
import type { ContentService, OpenContent } from '../content-service.ts'
import type { TaskLedger, Totals } from './ledger.ts'
import { byListing } from './order.ts'
import type { Task, TaskStatus } from './task.ts'
import type { TaskStore } from './task-store.ts'
import { TASK_STATES, type TaskState } from './transitions.ts'

interface ContentsInit {
  ledger: TaskLedger
  store: Pick<TaskStore, 'manifest' | 'save'>
  parseManifest: (text: string) => Manifest
}

const MAX_ALIASES = 16

export class Contents implements ContentService {
  readonly #init: ContentsInit

  constructor(init: ContentsInit) {
    this.#init = init
  }

  /** All tasks: the active, the queue in its order, then the rest with the newest first. */
  list(): TaskStatus[] {
    const { table } = this.#init.ledger
    return [...table.all()].map(task => this.#init.ledger.statusOf(task)).sort(byListing)
  }

  /** Throws `NotFoundError`. */
  get(id: string): TaskStatus {
    return this.#init.ledger.statusOf(this.taskOf(id))
  }

  /** Throws `NotFoundError`. */
  taskOf(id: string): Task {
    const task = this.#init.ledger.table.get(id)
    if (task === undefined) throw new NotFoundError('no such task', { id })
    return task
  }

  /** The task of a root, or undefined. */
  ofRoot(root: string): TaskStatus | undefined {
    const task = this.#init.ledger.table.ofRoot(root)
    return task === undefined ? undefined : this.#init.ledger.statusOf(task)
  }

  /**
   * The task of a root by a name that somebody else gave its content; the gateway knows it by both. Throws
   * `NotFoundError`, `StoreError`.
   */
  alsoCalled(root: string, name: string): TaskStatus {
    const task = this.#init.ledger.table.ofRoot(root)
    if (task === undefined) throw new NotFoundError('no task has this root', { root })
    const { record } = task
    if (name !== record.name && !(record.aliases ?? []).includes(name)) {
      const aliases = [...(record.aliases ?? []), name].slice(-MAX_ALIASES)
      this.#init.store.save({ ...record, aliases })
      record.aliases = aliases
    }
    const status = this.#init.ledger.statusOf(task)
    if (name === record.name) return status
    return { ...status, record: { ...status.record, name }, link: formatLink({ ...parseLink(status.link), name }) }
  }

  /** The manifest of a task as text. Throws `NotFoundError` while only a link is known. */
  manifestText(id: string): string {
    const text = this.#init.store.manifest(this.taskOf(id).record.root)
    if (text === undefined) throw new NotFoundError('no peer gave the piece list yet', { id })
    return text
  }

  /** Undefined while only a link is known. */
  manifestOf({ record, transfer }: Task): Manifest | undefined {
    if (transfer !== undefined) return transfer.manifest
    const text = this.#init.store.manifest(record.root)
    return text === undefined ? undefined : this.#init.parseManifest(text)
  }

  open(root: string): OpenContent {
    const task = this.#init.ledger.table.ofRoot(root)
    if (task === undefined) throw new NotFoundError('no task has this root', { root })
    const { record, transfer } = task
    if (transfer === undefined) {
      const why = record.error?.message ?? task.heldBack ?? task.status?.text ?? `it is ${record.state}`
      throw new RequestRefusedError('unavailable', `the content is not open: ${why}`, { root, state: record.state })
    }
    const { manifest } = transfer
    const read: OpenContent['read'] = range => transfer.read(range)
    return { manifest, read, aliases: record.aliases ?? [], lastModifiedMs: record.lastModifiedMs }
  }

  readerCame(root: string): () => void {
    const { table } = this.#init.ledger
    const task = table.ofRoot(root)
    if (task === undefined) return () => {}
    const move = (by: 1 | -1): void => {
      task.readers += by
      task.record.lastUsedMs = Date.now()
      table.note(task)
    }
    move(1)
    let hasLeft = false
    return () => {
      if (!hasLeft) move(-1)
      hasLeft = true
    }
  }

  transfers(): Transfer[] {
    return [...this.#init.ledger.table.all()].flatMap(({ transfer }) => (transfer === undefined ? [] : [transfer]))
  }

  transferOf(root: string): Transfer | undefined {
    return this.#init.ledger.table.ofRoot(root)?.transfer
  }

  /** Bytes of disk that downloads take, or will when active ones are complete. */
  get usedBytes(): number {
    return this.#init.ledger.table.usedBytes
  }

  totals(): Totals {
    return this.#init.ledger.totals()
  }

  countByState(): Record<TaskState, number> {
    const counts = Object.fromEntries(TASK_STATES.map(state => [state, 0])) as Record<TaskState, number>
    for (const { record } of this.#init.ledger.table.all()) counts[record.state]++
    return counts
  }
}
