/**
 * Runs transfers of tasks: opens a download, follows any transfer to its end, and notes what became of it.
 *
 * Invariants: what a transfer reports counts only while it is the task's own; a task that was stopped while
 * its download was being opened gets no transfer.
 */

import { formatManifest, type Manifest } from '../../content/manifest.ts'
import type { GetOptions, SwarmNode, Transfer, TransferEvents } from '../../node/types.ts'
import type { ContentWatch } from './content-watch.ts'
import type { TaskLedger } from './ledger.ts'
import type { TaskRecord } from './record.ts'
import { absorbTotals, recordTotals, type Task } from './task.ts'
import type { TaskStore } from './task-store.ts'

export interface RunnerInit {
  node: Pick<SwarmNode, 'get'>
  store: TaskStore
  ledger: TaskLedger
  watch: ContentWatch
  parseManifest: (text: string) => Manifest
  /** Finished content goes here unless a task says otherwise. */
  completeDir: string
  /** Unfinished content waits here; undefined: next to the output. */
  incompleteDir: string | undefined
  /** Whether the task's content fits the disk; its length may have become known just now. */
  makeRoom: (task: Task) => Promise<boolean>
  /** A peer came, left or was banned. */
  onPeer?: ((change: TransferEvents['peer'], root: string) => void) | undefined
  /** A complete content changed on disk while it was served. */
  onChanged: (task: Task) => void
  /** A place may be free. */
  onEnded: () => void
  /** Aborted when the daemon stops. */
  stop: AbortSignal
  log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
}

export class Runner {
  readonly #init: RunnerInit

  constructor(init: RunnerInit) {
    this.#init = init
  }

  /** Gives a queued task its place. Never rejects: what goes wrong fails the task. */
  async run(task: Task): Promise<void> {
    task.record.startedMs = Date.now()
    if (!this.#init.ledger.recordFact(task, 'start')) return
    try {
      if (task.transfer !== undefined) {
        task.transfer.resume()
        task.lastMovedMs = performance.now()
        return
      }
      const transfer = await this.#open(task)
      if (transfer === undefined) return
      this.attach(task, transfer)
      transfer.completed.then(
        () => this.complete(task, transfer, 'finish'),
        err => this.fail(task, err, transfer)
      )
    } catch (err) {
      this.fail(task, err, undefined)
    }
  }

  /** The transfer is the task's from now on. */
  attach(task: Task, transfer: Transfer): void {
    const { ledger, log, onChanged, onPeer } = this.#init
    task.transfer = transfer
    task.lastMovedMs = performance.now()
    task.lastBytes = -1
    const { limits } = task.record
    if (limits.downloadBytesPerSecond > 0 || limits.uploadBytesPerSecond > 0) transfer.setLimits(limits)
    transfer.on('progress', () => ledger.feed.reportProgress(task))
    transfer.on('peer', change => onPeer?.(change, transfer.root))
    transfer.on('warning', warning => {
      log.warn({ root: transfer.root, ...warning }, 'transfer warning')
      if (warning.code === 'content_changed' && task.record.state === 'complete') onChanged(task)
    })
  }

  /** The whole content is in place: downloaded ('finish'), or found there ('find'). */
  async complete(task: Task, transfer: Transfer, fact: 'finish' | 'find'): Promise<void> {
    const { record } = task
    if (task.transfer !== transfer) return
    record.path = transfer.path
    record.length = transfer.manifest.length
    recordTotals(task)
    record.finishedMs ??= Date.now()
    record.lastUsedMs = Date.now()
    record.error = undefined
    record.force = false
    await this.#init.watch.note(task)
    if (task.transfer !== transfer || !this.#init.ledger.recordFact(task, fact)) return
    this.#init.log.info({ root: record.root, name: record.name, path: record.path }, 'content complete')
    this.#init.onEnded()
  }

  /** How its files look now is how they are to stay. */
  noteContent(task: Task): Promise<void> {
    return this.#init.watch.note(task)
  }

  /** `transfer`: the one that failed; undefined when none could be opened. */
  fail(task: Task, err: unknown, transfer: Transfer | undefined): void {
    const { ledger, log, onEnded, stop } = this.#init
    if (task.transfer !== transfer || stop.aborted) return
    absorbTotals(task)
    if (!ledger.recordFact(task, 'fail', err)) return
    task.transfer = undefined
    log.warn({ root: task.record.root, error: task.record.error }, 'task failed')
    void transfer?.close()
    onEnded()
  }

  /** Opens the download; undefined when somebody stopped it meanwhile, or it has to wait for room. */
  async #open(task: Task): Promise<Transfer | undefined> {
    const { record } = task
    const { ledger, makeRoom, node, parseManifest, stop, store } = this.#init
    const opening = new AbortController()
    task.opening = opening
    try {
      const text = store.manifest(record.root)
      const source = text === undefined ? (record.link as string) : parseManifest(text)
      const transfer = await node.get(source, {
        ...this.#optionsOf(record),
        signal: opening.signal,
        onStatus: status => {
          task.status = status
          task.lastMovedMs = performance.now()
          ledger.feed.reportProgress(task)
        }
      })
      if (opening.signal.aborted || stop.aborted) {
        await transfer.close()
        return undefined
      }
      const { manifest, path } = transfer
      if (text === undefined) store.saveManifest(record.root, formatManifest(manifest))
      ledger.recordChanges([[task, { name: manifest.name, length: manifest.length, path }]])
      if (await makeRoom(task)) return transfer
      await transfer.close()
      ledger.recordFact(task, 'sendBack')
      return undefined
    } catch (err) {
      if (opening.signal.aborted) return undefined
      throw err
    } finally {
      if (task.opening === opening) {
        task.opening = undefined
        task.status = undefined
      }
    }
  }

  #optionsOf(record: TaskRecord): GetOptions {
    const { completeDir, incompleteDir } = this.#init
    return {
      output: record.path ?? record.output ?? `${completeDir}/`,
      peers: record.peers,
      origins: record.origins ?? [],
      origin: { ...record.originLimits, allowPrivate: record.privateOrigins === true },
      force: record.force,
      // It was complete before: what is left of it is taken back and mended.
      repair: record.finishedMs !== undefined && !record.force,
      ...(record.only === undefined ? {} : { only: record.only }),
      ...(incompleteDir === undefined ? {} : { incompleteDir })
    }
  }
}
