import { stat } from 'node:fs/promises'
import type { Hashing, Task, TaskState, UpdateTask } from '../../api/schema.ts'
import { formatLink, parseLink } from '../../content/link.ts'
import { formatManifest, type Manifest } from '../../content/manifest.ts'
import { ContentChangedError, NotFoundError, RequestRefusedError, StoreError, type SwarmError } from '../../errors.ts'
import type { GetStatus, RemoveReport, SwarmNode, Transfer, TransferEvents } from '../../node/types.ts'
import type { LimitsInForce } from '../limits.ts'
import { Announcer, type QueueListener } from './announcer.ts'
import { ContentWatch } from './content-watch.ts'
import { Deletion } from './deletion.ts'
import { DiskQuota } from './disk-quota.ts'
import { absorbTotals, byTurn, type Entry, newEntry, recordTotals } from './entry.ts'
import { errorBody } from './error-body.ts'
import type { OnHashed } from './hashing-board.ts'
import { type NewTask, newRecord } from './new-task.ts'
import type { TaskRecord, TaskStore } from './task-store.ts'
import { TaskTable } from './task-table.ts'
import { urlOf, viewTask } from './task-view.ts'

export interface TaskQueueInit {
  node: SwarmNode
  store: TaskStore
  parseManifest: (text: string) => Manifest
  /** The root of what is at `path`, hashed as the manifest's was; what is known to be unchanged is not read. */
  hashOf: (path: string, manifest: Manifest) => Promise<string>
  /** Finished content goes here unless a task says otherwise. */
  completeDir: string
  /** Unfinished content waits here; undefined: beside the output. */
  incompleteDir: string | undefined
  limits: () => LimitsInForce
  quotaBytes: () => number
  /** An active task without a new byte for this long lets the next one have its place, in milliseconds. */
  stallMs: number
  /** A peer came, left or was banned. */
  onPeer?: (change: TransferEvents['peer'], root: string) => void
  log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
}

/** A content that readers can be given. */
export interface OpenContent {
  readonly manifest: Manifest
  readonly transfer: Transfer
  /** Other names of a content that is one file. */
  readonly aliases: readonly string[]
  readonly lastModifiedMs: number
}

const PERSIST_INTERVAL_MS = 5000
/** How many contents are opened at once after a start: each may hash what changed. */
const RESTORE_AT_ONCE = 2
/** More tasks than this are refused; each costs memory, announcements and rows. */
const MAX_TASKS = 10_000
const MAX_ALIASES = 16

export class TaskQueue {
  readonly #init: TaskQueueInit
  readonly #table = new TaskTable()
  readonly #restoring = new Set<Entry>()
  readonly #announcer = new Announcer(entry => this.#viewOf(entry))
  readonly #departed = { downloaded: 0, uploaded: 0, wasted: 0 }
  #housekeeper: NodeJS.Timeout | undefined
  /** Whose record could not be stored. */
  readonly #unsaved = new Set<Entry>()
  readonly #quota = new DiskQuota({
    table: this.#table,
    quotaBytes: () => this.#init.quotaBytes(),
    evict: entry => this.#deletion.evict(entry)
  })
  readonly #deletion: Deletion
  readonly #watch: ContentWatch
  #stopping = false
  #pumping: Promise<void> = Promise.resolve()

  constructor(init: TaskQueueInit) {
    this.#init = init
    this.#deletion = new Deletion({
      ...init,
      close: entry => this.#close(entry),
      setState: (entry, state, error) => this.#setState(entry, state, error),
      forget: entry => this.#forget(entry)
    })
    this.#watch = new ContentWatch({
      entries: () => [...this.#table.all()],
      manifestOf: entry => this.#manifestOf(entry),
      changed: (entry, isWhole) => this.#checkContent(entry, isWhole),
      mayBeBack: entry => this.#takeContentBack(entry),
      log: init.log
    })
    for (const record of init.store.load()) {
      if (record.state === 'active') record.state = 'queued'
      this.#insert(record)
    }
  }

  /** Begins to work: complete contents are seeded again, the queue moves. */
  start(): void {
    this.#housekeeper = setInterval(() => this.#keepHouse(), PERSIST_INTERVAL_MS)
    for (const entry of this.#table.all()) if (entry.record.state === 'complete') this.#restoring.add(entry)
    const waiting = [...this.#restoring]
    const removing = [...this.#table.all()].filter(({ record }) => record.removing !== undefined)
    this.#pumping = this.#pumping.then(async () => {
      for (const entry of removing) await this.#deletion.finish(entry)
    })
    const restore = async (): Promise<void> => {
      for (let entry = waiting.shift(); entry !== undefined && !this.#stopping; entry = waiting.shift()) {
        if (entry.record.removing === undefined) await this.#reopen(entry)
        this.#restoring.delete(entry)
      }
    }
    for (let i = 0; i < RESTORE_AT_ONCE; i++) void restore()
    this.#watch.start()
    this.pump()
  }

  /** Contents still to be opened after the start. */
  get restoring(): number {
    return this.#restoring.size
  }

  /** Stores where everything stands and leaves all swarms. Active tasks go on when the daemon starts again. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#housekeeper)
    await this.#watch.stop()
    await this.#pumping
    const entries = [...this.#table.all()]
    for (const entry of entries) absorbTotals(entry)
    this.#save(...entries)
    await Promise.all(entries.map(entry => this.#close(entry)))
    this.#announcer.stop()
  }

  // --- what callers ask ------------------------------------------------------------------------------------------------------

  list(): Task[] {
    const queued = this.#table.queue
    const rank = new Map(queued.map((entry, index) => [entry, index + 1]))
    const group = (entry: Entry): number => (entry.record.state === 'active' ? 0 : entry.record.state === 'queued' ? 1 : 2)
    return [...this.#table.all()]
      .sort(
        (a, b) =>
          group(a) - group(b) ||
          (rank.get(a) ?? 0) - (rank.get(b) ?? 0) ||
          (group(a) === 2 ? b.record.order - a.record.order : a.record.order - b.record.order)
      )
      .map(entry => viewTask(entry, rank.get(entry)))
  }

  /** What is being hashed now. */
  hashing(): Hashing[] {
    return this.#announcer.hashing.list()
  }

  get(id: string): Task {
    return this.#viewOf(this.#entry(id))
  }

  /** The task of a root, or undefined. */
  ofRoot(root: string): Task | undefined {
    const entry = this.#table.ofRoot(root)
    return entry === undefined ? undefined : this.#viewOf(entry)
  }

  /** The task of a root by a name that somebody else gave its content; the gateway knows it by both. Throws `NotFoundError`. */
  alsoCalled(root: string, name: string): Task {
    const entry = this.#table.ofRoot(root)
    if (entry === undefined) throw new NotFoundError('no task has this root', { root })
    const { record } = entry
    const task = this.#viewOf(entry)
    if (name === record.name) return task
    if (!(record.aliases ?? []).includes(name)) {
      const aliases = [...(record.aliases ?? []), name].slice(-MAX_ALIASES)
      this.#saveFirst(entry, { aliases })
      record.aliases = aliases
    }
    const link = task.link === null ? null : formatLink({ ...parseLink(task.link), name })
    return { ...task, name, link, url: urlOf(root, name) }
  }

  /** Adds a task; the one that is there already when its root is known. Throws what the node throws when a seed cannot be hashed. */
  async add(request: NewTask, signal?: AbortSignal): Promise<{ task: Task; created: boolean }> {
    if (this.#table.size >= MAX_TASKS)
      throw new RequestRefusedError('unavailable', `there are ${MAX_TASKS} tasks already; delete some`)
    const { source } = request
    if ('seed' in source)
      return this.#announcer.hashing.during(source.seed, onHashed => this.#addSeed(request, source, onHashed, signal))
    const manifest = 'manifest' in source ? source.manifest : undefined
    const link = 'link' in source ? parseLink(source.link) : undefined
    const root = manifest?.root ?? (link?.root as string)
    const known = this.#table.ofRoot(root)
    if (known !== undefined) return { task: await this.#wishAgain(known, request), created: false }

    if (manifest !== undefined) this.#init.store.saveManifest(root, formatManifest(manifest))
    const record = newRecord(request, {
      order: this.#table.nextOrder(),
      kind: 'get',
      root,
      name: manifest?.name ?? link?.name ?? root.slice(0, 16),
      link: 'link' in source ? source.link : undefined,
      length: manifest?.length ?? link?.length,
      state: request.paused === true ? 'paused' : 'queued'
    })
    this.#init.store.save(record)
    const entry = this.#insert(record)
    this.#tell(entry)
    this.pump()
    return { task: this.#viewOf(entry), created: true }
  }

  /** Seeds a content whose file was found beside its manifest, or (kind 'get') is ours to delete. Throws `InvalidOptionsError` when the file is not what the manifest says. */
  async addFound(manifest: Manifest, path: string, kind: 'get' | 'seed' = 'seed'): Promise<'added' | 'known'> {
    const known = this.#table.ofRoot(manifest.root)
    if (known !== undefined && known.record.state === 'complete') return 'known'
    if (known !== undefined && known.record.kind === 'get' && known.record.state === 'active') return 'known'
    const transfer = await this.#openSeed(manifest.root, path, manifest, undefined, kind === 'get')
    if (known !== undefined) await this.#close(known)
    const entry =
      known ??
      this.#insert(
        newRecord(
          { source: { manifest } },
          {
            kind,
            root: manifest.root,
            name: manifest.name,
            link: undefined,
            length: manifest.length,
            state: 'complete',
            order: this.#table.nextOrder()
          }
        )
      )
    this.#init.store.saveManifest(manifest.root, formatManifest(manifest))
    this.#attach(entry, transfer)
    await this.#becomeComplete(entry, transfer)
    return 'added'
  }

  pause(id: string): Task {
    const entry = this.#entry(id)
    const { state } = entry.record
    if (state !== 'queued' && state !== 'active' && state !== 'paused') throw this.#wrongState(entry, 'paused')
    this.#saveFirst(entry, { state: 'paused' })
    entry.opening?.abort()
    entry.transfer?.pause()
    this.#setState(entry, 'paused')
    this.pump()
    return this.#viewOf(entry)
  }

  resume(id: string): Task {
    const entry = this.#entry(id)
    const { state, kind } = entry.record
    if (state === 'complete' || state === 'active' || state === 'queued') return this.#viewOf(entry)
    this.#saveFirst(entry, { state: kind === 'seed' ? 'complete' : 'queued', error: undefined })
    entry.record.error = undefined
    if (kind === 'seed') {
      this.#setState(entry, 'complete')
      void this.#reopen(entry)
    } else {
      this.#setState(entry, 'queued')
      this.pump()
    }
    return this.#viewOf(entry)
  }

  /** Gives the download up; what was verified stays on disk and `resume` takes it up again. */
  async cancel(id: string): Promise<Task> {
    const entry = this.#entry(id)
    const { state } = entry.record
    if (state === 'complete' || state === 'evicted') throw this.#wrongState(entry, 'cancelled')
    this.#saveFirst(entry, { state: 'cancelled' })
    this.#setState(entry, 'cancelled')
    await this.#close(entry)
    this.pump()
    return this.#viewOf(entry)
  }

  /** `privateOrigins`: whether the caller may name origins at private addresses. */
  update(id: string, change: UpdateTask, privateOrigins = false): Task {
    const entry = this.#entry(id)
    const { record } = entry
    if (change.priority !== undefined) record.priority = change.priority
    if (change.pinned !== undefined) record.pinned = change.pinned
    if (change.limits !== undefined) {
      record.limits = { ...record.limits, ...change.limits }
      entry.transfer?.setLimits(record.limits)
    }
    if (change.position !== undefined) this.#move(entry, change.position)
    if (change.origins !== undefined) this.#setOrigins(entry, change.origins, privateOrigins)
    this.#table.note(entry)
    this.#init.store.save(record)
    this.#tell(entry)
    this.pump()
    // A fresh URL is what a task that failed for want of one waited for.
    if (change.origins !== undefined && record.state === 'failed' && record.error?.code === 'origin_failed')
      return this.resume(id)
    return this.#viewOf(entry)
  }

  #setOrigins({ record, transfer }: Entry, origins: string[], isPrivateAllowed: boolean): void {
    if (record.privateOrigins === true && !isPrivateAllowed) {
      throw new RequestRefusedError(
        'forbidden',
        'this task may ask private addresses, so only its owner may change its origins',
        { id: record.id }
      )
    }
    record.origins = origins
    if (record.state === 'active' || record.state === 'paused') transfer?.setOrigins(origins)
  }

  /**
   * Forgets the task; with `data` also deletes what a download put on disk, as far as it is still what we wrote, and tells what it left. What was
   * seeded in place is never deleted.
   */
  async remove(id: string, { data }: { data: boolean }): Promise<RemoveReport> {
    const entry = this.#entry(id)
    if (data && entry.record.kind === 'seed') {
      throw new RequestRefusedError('conflict', 'the file was there before it was shared; delete it yourself', {
        path: entry.record.path
      })
    }
    entry.opening?.abort()
    if (data) return this.#deletion.remove(entry)
    await this.#close(entry)
    this.#forget(entry)
    return { changed: [], beside: [] }
  }

  #forget(entry: Entry): void {
    this.#init.store.delete(entry.record)
    this.#departed.downloaded += entry.record.bytesDownloaded
    this.#departed.uploaded += entry.record.bytesUploaded
    this.#departed.wasted += entry.record.bytesWasted
    this.#table.delete(entry)
    this.#unsaved.delete(entry)
    this.#announcer.removed(entry)
    this.pump()
  }

  /** The manifest of a task as text. Throws `NotFoundError` while only a link is known. */
  manifestText(id: string): string {
    const entry = this.#entry(id)
    const text = this.#init.store.manifest(entry.record.root)
    if (text === undefined) throw new NotFoundError('no peer gave the piece list yet', { id })
    return text
  }

  /**
   * A content to read from. Throws `NotFoundError` for a root that nobody asked for, `RequestRefusedError` ('unavailable') while it is
   * not open, with how long to wait.
   */
  open(root: string): OpenContent {
    const entry = this.#table.ofRoot(root)
    if (entry === undefined) throw new NotFoundError('no task has this root', { root })
    const { record, transfer } = entry
    if (transfer === undefined) {
      const why = record.error?.message ?? entry.heldBack ?? entry.status?.text ?? `it is ${record.state}`
      throw new RequestRefusedError('unavailable', `the content is not open: ${why}`, { root, state: record.state })
    }
    return { manifest: transfer.manifest, transfer, aliases: record.aliases ?? [], lastModifiedMs: record.lastModifiedMs }
  }

  /** A reader came; returns what to call when it leaves. While there are readers the content is not evicted. */
  readerCame(root: string): () => void {
    const entry = this.#table.ofRoot(root)
    if (entry === undefined) return () => {}
    entry.readers++
    this.#table.note(entry)
    entry.record.lastUsedMs = Date.now()
    let left = false
    return () => {
      if (left) return
      left = true
      entry.readers--
      this.#table.note(entry)
      entry.record.lastUsedMs = Date.now()
    }
  }

  transfers(): Transfer[] {
    return [...this.#table.all()].flatMap(({ transfer }) => (transfer === undefined ? [] : [transfer]))
  }

  transferOf(root: string): Transfer | undefined {
    return this.#table.ofRoot(root)?.transfer
  }

  /** Bytes of disk that downloads take, or will when active ones are complete. */
  get usedBytes(): number {
    return this.#table.usedBytes
  }

  /** Payload bytes over all tasks, deleted ones included: what counters count never falls. */
  totals(): { downloaded: number; uploaded: number; wasted: number } {
    const totals = { ...this.#departed }
    for (const { record } of this.#table.all()) {
      totals.downloaded += record.bytesDownloaded
      totals.uploaded += record.bytesUploaded
      totals.wasted += record.bytesWasted
    }
    return totals
  }

  countByState(): Record<TaskState, number> {
    const counts = { queued: 0, active: 0, paused: 0, complete: 0, failed: 0, cancelled: 0, evicted: 0 }
    for (const { record } of this.#table.all()) counts[record.state]++
    return counts
  }

  /** Tasks that changed and what is being hashed (each at most four times a second), and what is gone and over. */
  watch(listener: QueueListener): () => void {
    return this.#announcer.watch(listener)
  }

  /** Starts what may start now, and sends back to the queue what may not be active any more. */
  pump(): void {
    this.#pumping = this.#pumping.then(() => this.#pump()).catch(err => this.#init.log.warn({ err }, 'the queue could not move'))
  }

  // --- the queue -------------------------------------------------------------------------------------------------------------

  async #pump(): Promise<void> {
    if (this.#stopping) return
    const most = this.#init.limits().maxActiveDownloads
    const active = [...this.#table.active].sort(byTurn)
    for (const entry of active.slice(most)) await this.#sendBack(entry)
    let free = most - active.length
    for (let place = 0; free > 0 && !this.#stopping; ) {
      const entry = this.#table.queue[place]
      if (entry === undefined) break
      // Nothing is known that was not when it was held back.
      const isHeld = entry.heldBack !== undefined && entry.heldVersion === this.#table.version
      if (!isHeld && (await this.#makeRoom(entry)) && entry.record.state === 'queued') {
        free--
        void this.#run(entry)
      }
      if (this.#table.queue[place] === entry) place++
    }
  }

  /** Back into the queue, in its old place. */
  async #sendBack(entry: Entry): Promise<void> {
    this.#setState(entry, 'queued')
    await this.#close(entry)
  }

  async #run(entry: Entry): Promise<void> {
    const { record } = entry
    entry.heldBack = undefined
    record.startedMs = Date.now()
    this.#setState(entry, 'active')
    try {
      if (entry.transfer !== undefined) {
        entry.transfer.resume()
        entry.lastMovedMs = performance.now()
        return
      }
      const transfer = await this.#openGet(entry)
      if (transfer === undefined) return
      this.#attach(entry, transfer)
      transfer.completed.then(
        () => this.#becomeComplete(entry, transfer),
        err => this.#fail(entry, err, transfer)
      )
    } catch (err) {
      this.#fail(entry, err, undefined)
    }
  }

  /** Opens the download; undefined when somebody stopped it meanwhile. */
  async #openGet(entry: Entry): Promise<Transfer | undefined> {
    const { record } = entry
    const opening = new AbortController()
    entry.opening = opening
    try {
      const text = this.#init.store.manifest(record.root)
      const transfer = await this.#init.node.get(text === undefined ? (record.link as string) : this.#init.parseManifest(text), {
        signal: opening.signal,
        output: record.path ?? record.output ?? `${this.#init.completeDir}/`,
        peers: record.peers,
        origins: record.origins ?? [],
        origin: { ...record.originLimits, allowPrivate: record.privateOrigins === true },
        force: record.force,
        // It was complete before: what is left of it is taken back and mended.
        repair: record.finishedMs !== undefined && !record.force,
        ...(record.only === undefined ? {} : { only: record.only }),
        ...(this.#init.incompleteDir === undefined ? {} : { incompleteDir: this.#init.incompleteDir }),
        onStatus: status => {
          entry.status = status
          entry.lastMovedMs = performance.now()
          this.#tell(entry)
        }
      })
      if (opening.signal.aborted || this.#stopping) {
        await transfer.close()
        return undefined
      }
      if (text === undefined) this.#init.store.saveManifest(record.root, formatManifest(transfer.manifest))
      record.name = transfer.manifest.name
      record.length = transfer.manifest.length
      record.path = transfer.path
      this.#table.note(entry)
      this.#init.store.save(record)
      if (!(await this.#makeRoom(entry))) {
        await transfer.close()
        if (record.state === 'active') this.#setState(entry, 'queued')
        return undefined
      }
      return transfer
    } catch (err) {
      if (opening.signal.aborted) return undefined
      throw err
    } finally {
      if (entry.opening === opening) {
        entry.opening = undefined
        entry.status = undefined
      }
    }
  }

  #attach(entry: Entry, transfer: Transfer): void {
    entry.transfer = transfer
    entry.lastMovedMs = performance.now()
    entry.lastBytes = -1
    const { limits } = entry.record
    if (limits.downloadBytesPerSecond > 0 || limits.uploadBytesPerSecond > 0) transfer.setLimits(limits)
    transfer.on('progress', () => this.#tell(entry))
    transfer.on('peer', change => this.#init.onPeer?.(change, transfer.root))
    transfer.on('warning', warning => {
      this.#init.log.warn({ root: transfer.root, ...warning }, 'transfer warning')
      if (warning.code === 'content_changed' && entry.record.state === 'complete') this.#loseContent(entry)
    })
  }

  async #becomeComplete(entry: Entry, transfer: Transfer): Promise<void> {
    const { record } = entry
    if (entry.transfer !== transfer) return
    record.path = transfer.path
    record.length = transfer.manifest.length
    recordTotals(entry)
    record.finishedMs ??= Date.now()
    record.lastUsedMs = Date.now()
    record.error = undefined
    record.force = false
    await this.#watch.note(entry)
    if (entry.transfer !== transfer) return
    this.#setState(entry, 'complete')
    this.#init.log.info({ root: record.root, name: record.name, path: record.path }, 'content complete')
    this.pump()
  }

  #fail(entry: Entry, err: unknown, transfer: Transfer | undefined): void {
    if (entry.transfer !== transfer || this.#stopping || !this.#table.has(entry)) return
    if (entry.record.state !== 'active' && entry.record.state !== 'complete') return
    absorbTotals(entry)
    entry.transfer = undefined
    entry.record.error = errorBody(err)
    this.#setState(entry, 'failed')
    this.#init.log.warn({ root: entry.record.root, error: entry.record.error }, 'task failed')
    void transfer?.close()
    this.pump()
  }

  /** What is on disk is not the content any more. */
  #loseContent(entry: Entry, cause?: unknown): void {
    this.#fail(
      entry,
      new ContentChangedError(entry.record.path ?? entry.record.name, 'changed since it was hashed', cause),
      entry.transfer
    )
  }

  /** The files of a complete content do not look as they did: a touch does no harm, anything else fails the task. */
  async #checkContent(entry: Entry, isWhole: boolean): Promise<void> {
    const { record, transfer } = entry
    try {
      if (!isWhole) throw new NotFoundError('a file is missing or has another length')
      const manifest = this.#manifestOf(entry) as Manifest
      const found = await this.#init.hashOf(record.path as string, manifest)
      if (found !== record.root) throw new NotFoundError('its bytes are others')
    } catch (err) {
      if (record.state === 'complete' && entry.transfer === transfer) this.#loseContent(entry, err)
    }
  }

  /** A content whose task failed for it looks as if it could be whole again. */
  async #takeContentBack(entry: Entry): Promise<void> {
    const { record } = entry
    const manifest = this.#manifestOf(entry)
    if (manifest === undefined) return
    const transfer = await this.#openSeed(record.root, record.path as string, manifest).catch(() => undefined)
    if (transfer === undefined) return
    if (!ContentWatch.waitsForBytes(entry) || this.#stopping || entry.transfer !== undefined) return transfer.close()
    this.#attach(entry, transfer)
    await this.#becomeComplete(entry, transfer)
  }

  #manifestOf({ record, transfer }: Entry): Manifest | undefined {
    if (transfer !== undefined) return transfer.manifest
    const text = this.#init.store.manifest(record.root)
    return text === undefined ? undefined : this.#init.parseManifest(text)
  }

  // --- seeds -----------------------------------------------------------------------------------------------------------------

  async #addSeed(
    request: NewTask,
    source: { seed: string; name?: string; pieceLength?: number },
    onHashed: OnHashed,
    signal: AbortSignal | undefined
  ): Promise<{ task: Task; created: boolean }> {
    const { seed: path, name, pieceLength } = source
    const transfer = await this.#init.node.seed(path, {
      onHashed,
      ...(name === undefined ? {} : { name }),
      ...(pieceLength === undefined ? {} : { pieceLength }),
      ...(signal === undefined ? {} : { signal })
    })
    const { manifest } = transfer
    const known = this.#table.ofRoot(manifest.root)
    if (known?.transfer === transfer) return { task: this.#viewOf(known), created: false }
    try {
      this.#init.store.saveManifest(manifest.root, formatManifest(manifest))
    } catch (err) {
      await transfer.close()
      throw err
    }
    if (known !== undefined) await this.#close(known)
    const entry =
      known ??
      this.#insert({
        ...newRecord(request, {
          order: this.#table.nextOrder(),
          kind: 'seed',
          root: manifest.root,
          name: manifest.name,
          link: undefined,
          length: manifest.length,
          state: 'complete'
        }),
        lastModifiedMs: (await stat(path)).mtimeMs
      })
    this.#attach(entry, transfer)
    await this.#becomeComplete(entry, transfer)
    return { task: this.#viewOf(entry), created: known === undefined }
  }

  /** Seeds what was complete before; a content that is gone or changed becomes failed and says so. */
  async #reopen(entry: Entry): Promise<void> {
    const { record } = entry
    try {
      const path = record.path as string
      const text = this.#init.store.manifest(record.root)
      if (text === undefined) throw new StoreError('the manifest is gone from the task store', path)
      const manifest = this.#init.parseManifest(text)
      const transfer = await this.#openSeed(record.root, path, manifest, record.only)
      if (this.#stopping || record.state !== 'complete' || !this.#table.has(entry)) {
        await transfer.close()
        return
      }
      this.#attach(entry, transfer)
      await this.#watch.note(entry)
      this.#tell(entry)
    } catch (err) {
      this.#fail(entry, err, undefined)
    }
  }

  /** A seeding transfer of what lies at `path`, checked against the root. Unchanged files are not read again (the node remembers them). */
  async #openSeed(root: string, path: string, manifest: Manifest, only?: string[], isOurs = false): Promise<Transfer> {
    await stat(path).catch(err => {
      throw (err as NodeJS.ErrnoException).code === 'ENOENT'
        ? new NotFoundError('the content is gone from disk', { path, content: 'changed' })
        : new StoreError('cannot look at the content', path, err)
    })
    const transfer = await this.#announcer.hashing.during(path, onHashed => {
      const { name, pieceLength } = manifest
      if (only === undefined) return this.#init.node.seed(path, { name, pieceLength, onHashed, isOurs })
      const onStatus = ({ done, total }: GetStatus): void => {
        if (done !== undefined && total !== undefined) onHashed(done, total)
      }
      return this.#init.node.get(manifest, { output: path, only, onStatus })
    })
    if (transfer.root === root) return transfer
    if (this.#table.ofRoot(transfer.root) === undefined) await transfer.close()
    throw new RequestRefusedError(
      'conflict',
      'the content on disk is not what the manifest says; resume to get a download again',
      { path, content: 'changed' }
    )
  }

  /** Whether the task's content fits the quota. Fails the task when it can never fit; otherwise notes why it waits. */
  async #makeRoom(entry: Entry): Promise<boolean> {
    const verdict = await this.#quota.makeRoom(entry)
    if (verdict.kind === 'never') this.#setState(entry, 'failed', verdict.error)
    const heldBack = verdict.kind === 'waits' ? verdict.reason : undefined
    if (heldBack !== undefined && heldBack !== entry.heldBack) this.#tell(entry)
    entry.heldBack = heldBack
    entry.heldVersion = this.#table.version
    return verdict.kind === 'fits'
  }

  /** Deletes over the quota after it was lowered, as far as nobody uses the contents. */
  keepQuota(): Promise<void> {
    this.#table.version++
    return this.#quota.keep()
  }

  // --- small parts -----------------------------------------------------------------------------------------------------------

  #entry(id: string): Entry {
    const entry = this.#table.get(id)
    if (entry === undefined) throw new NotFoundError('no such task', { id })
    return entry
  }

  #insert(record: TaskRecord): Entry {
    const entry = newEntry(record)
    this.#table.add(entry)
    return entry
  }

  /** Asked again for a root that we have: new peers help, a task that was given up starts anew. */
  async #wishAgain(entry: Entry, request: NewTask): Promise<Task> {
    const { record } = entry
    const { output } = request
    if (output !== undefined && output !== record.output && output !== record.path) {
      throw new RequestRefusedError(
        'conflict',
        `this content is a task already, with its output at ${record.path ?? record.output ?? 'the complete folder'}`,
        {
          id: record.id,
          root: record.root
        }
      )
    }
    if (request.origins !== undefined && request.origins.length > 0)
      this.#setOrigins(entry, request.origins, request.privateOrigins === true)
    record.peers = [...new Set([...record.peers, ...(request.peers ?? [])])].slice(-100)
    this.#init.store.save(record)
    return record.state === 'failed' || record.state === 'cancelled' || record.state === 'evicted'
      ? this.resume(record.id)
      : this.#viewOf(entry)
  }

  /** Places the entry among the queued ones of its priority by giving their orders out anew. */
  #move(entry: Entry, position: number): void {
    if (entry.record.state !== 'queued') throw this.#wrongState(entry, 'moved in the queue')
    const peers = this.#table.queue.filter(({ record }) => record.priority === entry.record.priority)
    const orders = peers.map(({ record }) => record.order)
    const others = peers.filter(other => other !== entry)
    others.splice(position - 1, 0, entry)
    for (const [index, { record }] of others.entries()) record.order = orders[index] as number
    for (const other of others) this.#table.note(other)
    this.#init.store.save(...others.map(({ record }) => record))
    for (const other of others) this.#tell(other)
  }

  async #close(entry: Entry): Promise<void> {
    entry.opening?.abort()
    absorbTotals(entry)
    const { transfer } = entry
    entry.transfer = undefined
    await transfer?.close()
  }

  /** Every five seconds: progress to disk, and places of those that stand still to those that wait. */
  #keepHouse(): void {
    const dirty: Entry[] = []
    for (const entry of this.#table.all()) {
      const before = entry.record.bytesDone + entry.record.bytesUploaded
      const snapshot = recordTotals(entry)
      if (snapshot === undefined) continue
      if (entry.record.bytesDone + entry.record.bytesUploaded !== before) dirty.push(entry)
      this.#table.note(entry)
      if (snapshot.bytesDone !== entry.lastBytes) {
        entry.lastBytes = snapshot.bytesDone
        entry.lastMovedMs = performance.now()
      }
    }
    if (dirty.length + this.#unsaved.size > 0) this.#save(...dirty)
    void this.#yieldPlaces()
  }

  async #yieldPlaces(): Promise<void> {
    if (this.#stopping) return
    let waiting = this.#table.queue.filter(({ heldBack }) => heldBack === undefined).length
    for (const entry of this.#table.all()) {
      if (waiting === 0) break
      const { record } = entry
      const stalledMs = performance.now() - entry.lastMovedMs
      if (record.state !== 'active' || record.kind !== 'get' || entry.readers > 0 || stalledMs < this.#init.stallMs) continue
      waiting--
      record.order = this.#table.nextOrder()
      this.#init.log.info({ root: record.root, name: record.name }, 'nothing arrives: goes to the end of the queue')
      await this.#sendBack(entry)
    }
    this.pump()
  }

  #setState(entry: Entry, state: TaskState, error?: unknown): void {
    entry.record.state = state
    if (error !== undefined) entry.record.error = errorBody(error)
    if (state !== 'queued') entry.heldBack = undefined
    this.#table.note(entry)
    this.#save(entry)
    this.#announcer.tellState(entry)
  }

  /** Stores what happened by itself. Where the state folder is full that is tried again until it works; what somebody asked for is refused instead. */
  #save(...entries: Entry[]): void {
    try {
      this.#init.store.save(...new Set([...entries, ...this.#unsaved].map(({ record }) => record)))
      this.#unsaved.clear()
    } catch (err) {
      if (this.#unsaved.size === 0) this.#init.log.warn({ err }, 'the state of tasks cannot be stored; it is tried again')
      for (const entry of entries) this.#unsaved.add(entry)
    }
  }

  /** Stores a change that somebody asked for before it is made. Throws `StoreError`. */
  #saveFirst({ record }: Entry, change: Partial<TaskRecord>): void {
    this.#init.store.save({ ...record, ...change })
  }

  #wrongState({ record }: Entry, verb: string): SwarmError {
    return new RequestRefusedError('conflict', `a task that is ${record.state} cannot be ${verb}`, {
      id: record.id,
      state: record.state
    })
  }

  #tell(entry: Entry): void {
    this.#announcer.tell(entry)
  }

  #viewOf(entry: Entry): Task {
    const task = viewTask(entry, this.#table.position(entry))
    this.#table.note(entry)
    return task
  }
}
