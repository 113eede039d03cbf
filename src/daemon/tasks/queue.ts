/**
 * The queue of tasks: what callers ask for. It ties the parts together and keeps no books of its own: states
 * are written by ledger.ts by the table of transitions.ts, places are given by places.ts, transfers run in
 * runner.ts (downloads) and seeds.ts (whole contents).
 */

import { parseLink } from '../../content/link.ts'
import { formatManifest, type Manifest } from '../../content/manifest.ts'
import { RequestRefusedError } from '../../errors.ts'
import type { RemoveReport, SwarmNode } from '../../node/types.ts'
import { checkOriginsChange, planAskAgain, planUpdate } from './change.ts'
import { ContentWatch } from './content-watch.ts'
import { Contents } from './contents.ts'
import { Deletion } from './deletion.ts'
import { DiskQuota, type DiskQuotaInit } from './disk-quota.ts'
import type { FeedListener } from './feed.ts'
import type { Hashing } from './hashing-board.ts'
import { Housekeeping, type HousekeepingInit } from './housekeeping.ts'
import { TaskLedger } from './ledger.ts'
import { Places, type PlacesInit } from './places.ts'
import { type NewTask, newRecord, type TaskChange, type TaskRecord } from './record.ts'
import { Runner, type RunnerInit } from './runner.ts'
import { Seeds, type SeedsInit } from './seeds.ts'
import { closeTransfer, type Task, type TaskStatus } from './task.ts'

export interface TaskQueueInit
  extends Pick<RunnerInit, 'store' | 'parseManifest' | 'completeDir' | 'incompleteDir' | 'onPeer' | 'log'>,
    Pick<SeedsInit, 'hashOf'>,
    Pick<PlacesInit, 'limits'>,
    Pick<DiskQuotaInit, 'quotaBytes'>,
    Pick<HousekeepingInit, 'stallMs'> {
  node: Pick<SwarmNode, 'get' | 'seed' | 'remove'>
}

/** More tasks than this are refused; each costs memory, announcements and rows. */
const MAX_TASKS = 10_000

export class TaskQueue {
  readonly contents: Contents
  readonly #init: TaskQueueInit
  readonly #ledger: TaskLedger
  readonly #deletion: Deletion
  readonly #quota: DiskQuota
  readonly #places: Places
  readonly #watch: ContentWatch
  readonly #runner: Runner
  readonly #seeds: Seeds
  readonly #housekeeping: Housekeeping
  readonly #stop = new AbortController()

  constructor(init: TaskQueueInit) {
    const { signal: stop } = this.#stop
    this.#init = init
    const ledger = new TaskLedger(init)
    this.#ledger = ledger
    this.contents = new Contents({ ...init, ledger })
    this.#deletion = new Deletion({ ...init, ledger })
    this.#quota = new DiskQuota({ ...init, table: ledger.table, evict: task => this.#deletion.evict(task) })
    this.#places = new Places({ ...init, ledger, quota: this.#quota, run: task => void this.#runner.run(task), stop })
    this.#watch = new ContentWatch({
      tasks: () => ledger.table.all(),
      manifestOf: task => this.contents.manifestOf(task),
      changed: (task, isWhole) => this.#seeds.check(task, isWhole),
      mayBeBack: task => this.#seeds.takeBack(task),
      log: init.log
    })
    this.#runner = new Runner({
      ...init,
      ledger,
      watch: this.#watch,
      makeRoom: task => this.#places.makeRoom(task),
      onChanged: task => this.#seeds.lose(task),
      onEnded: () => this.pump(),
      stop
    })
    this.#seeds = new Seeds({ ...init, ledger, contents: this.contents, runner: this.#runner, stop })
    this.#housekeeping = new Housekeeping({
      ...init,
      ledger,
      sendBack: task => this.#places.sendBack(task),
      onEnded: () => this.pump()
    })
    for (const record of init.store.load()) {
      if (record.state === 'active') record.state = 'queued'
      ledger.open(record)
    }
  }

  /** Begins to work: complete contents are seeded again, the queue moves. */
  start(): void {
    const removing = [...this.#ledger.table.all()].filter(({ record }) => record.removing !== undefined)
    this.#seeds.restore()
    void this.#places.after(async () => {
      for (const task of removing) await this.#deletion.finish(task)
    })
    this.#housekeeping.start()
    this.#watch.start()
    this.pump()
  }

  /** Stores where everything stands and leaves all swarms. Active tasks go on at the next start. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#housekeeping.stop()
    await this.#watch.stop()
    await this.#places.after(async () => {})
    this.#ledger.close()
    await Promise.all([...this.#ledger.table.all()].map(closeTransfer))
  }

  /** Contents still to be opened after the start. */
  get restoring(): number {
    return this.#seeds.restoring
  }

  /** What is being hashed now. */
  hashing(): Hashing[] {
    return this.#ledger.feed.hashing.list()
  }

  /** See feed.ts. */
  watch(listener: FeedListener): () => void {
    return this.#ledger.feed.watch(listener)
  }

  /**
   * Adds a task; the one that is there already when its root is known. Throws what the node throws when a
   * seed cannot be hashed.
   */
  async add(request: NewTask, signal?: AbortSignal): Promise<{ task: TaskStatus; created: boolean }> {
    const { table } = this.#ledger
    if (table.size >= MAX_TASKS) throw new RequestRefusedError('unavailable', `there are ${MAX_TASKS} tasks already; delete some`)
    const { source } = request
    if ('seed' in source) {
      const { task, created } = await this.#seeds.add(request, source, signal)
      return { task: this.#ledger.statusOf(task), created }
    }
    const manifest = 'manifest' in source ? source.manifest : undefined
    const link = 'link' in source ? parseLink(source.link) : undefined
    const { root } = (manifest ?? link) as { root: string }
    const known = table.ofRoot(root)
    if (known !== undefined) return { task: this.#askAgain(known, request), created: false }
    if (manifest !== undefined) this.#init.store.saveManifest(root, formatManifest(manifest))
    const record = newRecord(request, {
      order: table.nextOrder(),
      kind: 'get',
      root,
      name: manifest?.name ?? link?.name ?? root.slice(0, 16),
      link: 'link' in source ? source.link : undefined,
      length: manifest?.length ?? link?.length,
      state: request.paused === true ? 'paused' : 'queued'
    })
    const task = this.#ledger.add(record)
    this.pump()
    return { task: this.#ledger.statusOf(task), created: true }
  }

  /** Seeds a content that was found on disk with its manifest. See {@link Seeds.addFound}. */
  addFound(manifest: Manifest, path: string, kind?: TaskRecord['kind']): Promise<'added' | 'known'> {
    return this.#seeds.addFound(manifest, path, kind)
  }

  pause(id: string): TaskStatus {
    const task = this.contents.taskOf(id)
    this.#ledger.recordRequest(task, 'pause')
    task.opening?.abort()
    task.transfer?.pause()
    this.pump()
    return this.#ledger.statusOf(task)
  }

  resume(id: string): TaskStatus {
    const task = this.contents.taskOf(id)
    const { state, kind } = task.record
    if (state === 'complete' || state === 'active' || state === 'queued') return this.#ledger.statusOf(task)
    this.#ledger.recordRequest(task, kind === 'seed' ? 'reseed' : 'resume', { error: undefined })
    if (kind === 'seed') void this.#seeds.reopen(task)
    else this.pump()
    return this.#ledger.statusOf(task)
  }

  /** Gives the download up; what was verified stays on disk and `resume` takes it up again. */
  async cancel(id: string): Promise<TaskStatus> {
    const task = this.contents.taskOf(id)
    this.#ledger.recordRequest(task, 'cancel')
    await closeTransfer(task)
    this.pump()
    return this.#ledger.statusOf(task)
  }

  /** `mayUsePrivate`: whether the caller may name origins at private addresses. */
  update(id: string, change: TaskChange, mayUsePrivate = false): TaskStatus {
    const task = this.contents.taskOf(id)
    const { origins, limits, position } = change
    if (position !== undefined) this.#ledger.check(task, 'move')
    if (origins !== undefined) this.#giveOrigins(task, origins, mayUsePrivate)
    this.#ledger.recordChanges(planUpdate(task, change, this.#ledger.table.queue))
    const { record } = task
    if (limits !== undefined) task.transfer?.setLimits(record.limits)
    this.pump()
    // A fresh URL is the one thing that a task without a working origin waited for.
    if (origins !== undefined && record.state === 'failed' && record.error?.code === 'origin_failed') return this.resume(id)
    return this.#ledger.statusOf(task)
  }

  /**
   * Forgets the task; with `data` also deletes what a download put on disk, as far as it is still what we
   * wrote, and reports what it left. What was seeded in place is never deleted.
   */
  async remove(id: string, { data }: { data: boolean }): Promise<RemoveReport> {
    const task = this.contents.taskOf(id)
    const { kind, path } = task.record
    if (data && kind === 'seed')
      throw new RequestRefusedError('conflict', 'the file was there before it was shared; delete it yourself', { path })
    task.opening?.abort()
    try {
      return await (data ? this.#deletion.remove(task) : this.#deletion.forget(task))
    } finally {
      this.pump()
    }
  }

  /** Deletes over the quota after it was lowered, as far as nobody uses the contents. */
  keepQuota(): Promise<void> {
    this.#ledger.table.version++
    return this.#quota.keep()
  }

  /** Starts what may start now, and sends back to the queue what may not be active any more. */
  pump(): void {
    this.#places.pump()
  }

  /** Asked again for a root that we have: a task that was given up begins again. */
  #askAgain(task: Task, request: NewTask): TaskStatus {
    const { record } = task
    const change = planAskAgain(record, request)
    if (change.origins !== undefined) this.#giveOrigins(task, change.origins, request.privateOrigins === true)
    this.#ledger.recordChanges([[task, change]])
    const { state } = record
    const isGivenUp = state === 'failed' || state === 'cancelled' || state === 'evicted'
    return isGivenUp ? this.resume(record.id) : this.#ledger.statusOf(task)
  }

  /** Throws `RequestRefusedError` ('forbidden') and `InvalidOptionsError`. */
  #giveOrigins({ record, transfer }: Task, origins: string[], mayUsePrivate: boolean): void {
    checkOriginsChange(record, mayUsePrivate)
    if (record.state === 'active' || record.state === 'paused') transfer?.setOrigins(origins)
  }
}
