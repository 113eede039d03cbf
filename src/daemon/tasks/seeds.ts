/**
 * Contents that are whole on disk: shared by request, found next to a manifest, opened again after a start,
 * or back after a change.
 *
 * Invariants: nothing is seeded that does not have the task's root; files that are known to be unchanged are
 * not read again.
 */

import { stat } from 'node:fs/promises'
import { formatManifest, type Manifest } from '../../content/manifest.ts'
import { ContentChangedError, NotFoundError, RequestRefusedError, StoreError } from '../../errors.ts'
import type { GetStatus, SwarmNode, Transfer } from '../../node/types.ts'
import type { Contents } from './contents.ts'
import type { OnHashed } from './hashing-board.ts'
import type { TaskLedger } from './ledger.ts'
import { type NewTask, newRecord, type SeedSource, type TaskRecord } from './record.ts'
import type { Runner } from './runner.ts'
import { closeTransfer, type Task, waitsForBytes } from './task.ts'
import type { TaskStore } from './task-store.ts'

export interface SeedsInit {
  node: Pick<SwarmNode, 'seed' | 'get'>
  store: TaskStore
  ledger: TaskLedger
  contents: Contents
  runner: Runner
  parseManifest: (text: string) => Manifest
  /**
   * The root of what is at `path`, hashed as the manifest's was; what is known to be unchanged is not read.
   */
  hashOf: (path: string, manifest: Manifest) => Promise<string>
  /** Aborted when the daemon stops. */
  stop: AbortSignal
}

/** How many contents are opened at once after a start: each may hash what changed. */
const RESTORE_AT_ONCE = 2

export class Seeds {
  readonly #init: SeedsInit
  readonly #restoring = new Set<Task>()

  constructor(init: SeedsInit) {
    this.#init = init
  }

  /** Contents still to be opened after the start. */
  get restoring(): number {
    return this.#restoring.size
  }

  /** Opens the contents of all complete tasks again, a few at a time. */
  restore(): void {
    const { ledger, stop } = this.#init
    for (const task of ledger.table.all()) if (task.record.state === 'complete') this.#restoring.add(task)
    const waiting = [...this.#restoring]
    const work = async (): Promise<void> => {
      for (let task = waiting.shift(); task !== undefined && !stop.aborted; task = waiting.shift()) {
        if (task.record.removing === undefined) await this.reopen(task)
        this.#restoring.delete(task)
      }
    }
    for (let i = 0; i < RESTORE_AT_ONCE; i++) void work()
  }

  /**
   * Hashes and shares a file or folder where it lies. Throws what the node throws when it cannot be hashed,
   * and `StoreError`.
   */
  add(request: NewTask, source: SeedSource, signal?: AbortSignal): Promise<{ task: Task; created: boolean }> {
    const { hashing } = this.#init.ledger.feed
    return hashing.during(source.seed, onHashed => this.#add(request, source, onHashed, signal))
  }

  /**
   * Seeds a content that was found on disk with its manifest; of kind 'get' it is ours to delete. Throws
   * `RequestRefusedError` ('conflict') when the file is not what the manifest says.
   */
  async addFound(manifest: Manifest, path: string, kind: TaskRecord['kind'] = 'seed'): Promise<'added' | 'known'> {
    const { ledger, runner } = this.#init
    const known = ledger.table.ofRoot(manifest.root)
    const { record } = known ?? {}
    if (record?.state === 'complete' || (record?.kind === 'get' && record.state === 'active')) return 'known'
    const transfer = await this.#open(manifest.root, path, manifest, { isOurs: kind === 'get' })
    if (known !== undefined) await closeTransfer(known)
    const task = known ?? this.#newTask({ source: { manifest } }, kind, manifest)
    this.#init.store.saveManifest(manifest.root, formatManifest(manifest))
    runner.attach(task, transfer)
    await runner.complete(task, transfer, 'find')
    return 'added'
  }

  /** Seeds what was complete before; a content that is gone or changed fails its task. */
  async reopen(task: Task): Promise<void> {
    const { ledger, parseManifest, runner, stop, store } = this.#init
    const { record } = task
    try {
      const path = record.path as string
      const text = store.manifest(record.root)
      if (text === undefined) throw new StoreError('the manifest is gone from the task store', path)
      const transfer = await this.#open(record.root, path, parseManifest(text), { only: record.only })
      if (stop.aborted || record.state !== 'complete' || !ledger.table.has(task)) return transfer.close()
      runner.attach(task, transfer)
      await runner.noteContent(task)
      ledger.feed.reportProgress(task)
    } catch (err) {
      runner.fail(task, err, undefined)
    }
  }

  /**
   * The files of a complete content do not look as they did: a touch does no harm, anything else fails the
   * task.
   */
  async check(task: Task, isWhole: boolean): Promise<void> {
    const { record, transfer } = task
    try {
      if (!isWhole) throw new NotFoundError('a file is missing or has another length')
      const manifest = this.#init.contents.manifestOf(task) as Manifest
      const found = await this.#init.hashOf(record.path as string, manifest)
      if (found !== record.root) throw new NotFoundError('its bytes are others')
    } catch (err) {
      if (record.state === 'complete' && task.transfer === transfer) this.lose(task, err)
    }
  }

  /** What is on disk is not the content any more. */
  lose(task: Task, cause?: unknown): void {
    const { path, name } = task.record
    this.#init.runner.fail(task, new ContentChangedError(path ?? name, 'changed since it was hashed', cause), task.transfer)
  }

  /** A content whose task failed for it looks as if it could be whole again. */
  async takeBack(task: Task): Promise<void> {
    const { contents, runner, stop } = this.#init
    const { record } = task
    const manifest = contents.manifestOf(task)
    if (manifest === undefined) return
    const transfer = await this.#open(record.root, record.path as string, manifest).catch(() => undefined)
    if (transfer === undefined) return
    if (!waitsForBytes(task) || stop.aborted || task.transfer !== undefined) return transfer.close()
    runner.attach(task, transfer)
    await runner.complete(task, transfer, 'find')
  }

  async #add(
    request: NewTask,
    { seed: path, ...naming }: SeedSource,
    onHashed: OnHashed,
    signal: AbortSignal | undefined
  ): Promise<{ task: Task; created: boolean }> {
    const { ledger, node, runner, store } = this.#init
    const transfer = await node.seed(path, { onHashed, ...naming, ...(signal === undefined ? {} : { signal }) })
    const { manifest } = transfer
    const known = ledger.table.ofRoot(manifest.root)
    if (known?.transfer === transfer) return { task: known, created: false }
    try {
      store.saveManifest(manifest.root, formatManifest(manifest))
    } catch (err) {
      await transfer.close()
      throw err
    }
    if (known !== undefined) await closeTransfer(known)
    const task = known ?? this.#newTask(request, 'seed', manifest, { lastModifiedMs: (await stat(path)).mtimeMs })
    runner.attach(task, transfer)
    await runner.complete(task, transfer, 'find')
    return { task, created: known === undefined }
  }

  /** Stored with its first state. */
  #newTask(request: NewTask, kind: TaskRecord['kind'], manifest: Manifest, more: Partial<TaskRecord> = {}): Task {
    const { ledger } = this.#init
    const { root, name, length } = manifest
    const order = ledger.table.nextOrder()
    const facts = { kind, root, name, length, link: undefined, state: 'complete' as const, order }
    return ledger.open({ ...newRecord(request, facts), ...more })
  }

  /** A seeding transfer of what lies at `path`, checked against the root. */
  async #open(
    root: string,
    path: string,
    manifest: Manifest,
    { only, isOurs = false }: { only?: string[] | undefined; isOurs?: boolean } = {}
  ): Promise<Transfer> {
    const { ledger, node } = this.#init
    await stat(path).catch(err => {
      throw (err as NodeJS.ErrnoException).code === 'ENOENT'
        ? new NotFoundError('the content is gone from disk', { path, content: 'changed' })
        : new StoreError('cannot look at the content', path, err)
    })
    const transfer = await ledger.feed.hashing.during(path, onHashed => {
      const { name, pieceLength } = manifest
      if (only === undefined) return node.seed(path, { name, pieceLength, onHashed, isOurs })
      const onStatus = ({ done, total }: GetStatus): void => {
        if (done !== undefined && total !== undefined) onHashed(done, total)
      }
      return node.get(manifest, { output: path, only, onStatus })
    })
    if (transfer.root === root) return transfer
    if (ledger.table.ofRoot(transfer.root) === undefined) await transfer.close()
    throw new RequestRefusedError(
      'conflict',
      'the content on disk is not what the manifest says; resume to get a download again',
      { path, content: 'changed' }
    )
  }
}
