/**
 * Uploads in parts, in the shape of S3's multi-part calls: initiate, put parts in any order and side by side,
 * status, complete, abort.
 *
 * More than S3: a client that knows the root learns at once that the content is here already, gets its
 * unfinished upload back, and may have a part copied from a content that the daemon has. A finished upload is
 * hashed, put among the complete contents, and seeded.
 *
 * Invariants: a part counts once its bytes are on disk; what is promised is held against quota and limits
 * before a byte is taken; the finished file appears under its name whole or not at all. Called by the API and
 * the tus front.
 */

import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { checkFileName } from '../../content/file-names.ts'
import type { Manifest } from '../../content/manifest.ts'
import {
  InvalidManifestError,
  InvalidOptionsError,
  NotFoundError,
  RequestRefusedError,
  StoreError,
  SwarmError
} from '../../errors.ts'
import { createManifest } from '../../node/manifests.ts'
import type { Contents } from '../tasks/contents.ts'
import type { TaskStatus } from '../tasks/task.ts'
import { UploadLedger } from './ledger.ts'
import { joinFiles, placeFile, writePart } from './upload-files.ts'
import type { PartRecord, UploadRecord, UploadStore } from './upload-store.ts'

interface UploadsInit {
  store: UploadStore
  contents: Pick<Contents, 'ofRoot' | 'get' | 'open' | 'alsoCalled' | 'usedBytes'>
  /** Seeds a content whose file is ours. */
  adopt: (manifest: Manifest, path: string) => Promise<unknown>
  stateDir: string
  completeDir: string
  /** Largest upload in bytes; 0: no limit but the quota. */
  maxBytes: number
  quotaBytes: () => number
  /** An unfinished upload is deleted after this long without a part, in ms. */
  expiryMs: number
  log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
}

interface NewUpload {
  kind: UploadRecord['kind']
  name: string
  length?: number | undefined
  root?: string | undefined
  pieceLength?: number | undefined
  metadata?: Readonly<Record<string, string | null>>
  isPartial?: boolean
}

/** An upload as it stands at a moment. */
export interface UploadStatus {
  readonly id: string
  readonly record: Readonly<UploadRecord>
  readonly state: 'open' | 'completing' | 'complete'
  /** Bytes that are here and durable. */
  readonly received: number
  readonly parts: readonly PartRecord[]
  /** The task that the finished upload became. */
  readonly task: TaskStatus | undefined
  /** Deleted if no byte comes before, in ms since 1970. */
  readonly expiresMs: number
}

const MAX_UPLOADS = 1000
const SWEEP_MS = 60_000

export class Uploads {
  readonly store: UploadStore
  readonly ledger: UploadLedger
  readonly #init: UploadsInit
  readonly #completing = new Map<string, Promise<TaskStatus>>()
  readonly #sweeper: NodeJS.Timeout

  constructor(init: UploadsInit) {
    this.#init = init
    this.store = init.store
    const { maxBytes, quotaBytes, contents } = init
    this.ledger = new UploadLedger({ folder: init.store.folder, maxBytes, quotaBytes, otherBytes: () => contents.usedBytes })
    for (const record of this.store.list()) {
      if (record.taskId === undefined)
        this.ledger.open(record.id, record.length, this.store.receivedBytes(record), { isNew: false })
    }
    this.#sweeper = setInterval(
      () => void this.expire().catch(err => init.log.warn({ err }, 'uploads could not be cleaned up')),
      SWEEP_MS
    )
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeper)
    await Promise.allSettled(this.#completing.values())
    this.store.close()
  }

  list(): UploadStatus[] {
    return this.store.list().map(record => this.#statusOf(record))
  }

  status(id: string): UploadStatus {
    return this.#statusOf(this.record(id))
  }

  record(id: string): UploadRecord {
    const record = this.store.get(id)
    if (record === undefined) throw new NotFoundError('no such upload; it may have expired', { id })
    return record
  }

  /**
   * Begins an upload. One that is unfinished and has the same root and name is given back; one whose root is
   * here is complete.
   */
  async initiate(request: NewUpload, id: string = randomUUID()): Promise<UploadStatus> {
    const { kind, length, root, pieceLength, metadata = {}, isPartial = false } = request
    const name = safeName(request.name)
    if (root !== undefined && kind === 'multipart') {
      const there = this.#init.contents.ofRoot(root)
      if (there?.state === 'complete')
        return this.#statusOf(this.#newRecord({ ...request, name }, id), this.#init.contents.alsoCalled(root, name))
      const unfinished = this.store
        .list()
        .find(each => each.kind === kind && each.root === root && each.name === name && each.taskId === undefined)
      if (unfinished !== undefined) return this.#statusOf(unfinished)
    }
    if (this.store.list().length >= MAX_UPLOADS)
      throw new RequestRefusedError('unavailable', `there are ${MAX_UPLOADS} uploads already`)
    this.ledger.open(id, length, 0, { isNew: true })
    const record = this.#newRecord({ kind, name, length, root, pieceLength, metadata, isPartial }, id)
    await mkdir(this.store.folderOf(id), { recursive: true, mode: 0o700 }).catch(err => {
      this.ledger.close(id)
      throw new StoreError('cannot begin the upload', this.store.folderOf(id), err)
    })
    this.store.save(record)
    return this.#statusOf(record)
  }

  /**
   * Takes a part; `sha256` (32 bytes) is compared when given, `announced` (Content-Length) judged before a
   * byte is read. Sent again, it takes the place of the former.
   */
  async putPart(
    id: string,
    part: number,
    body: AsyncIterable<Uint8Array>,
    { sha256, announced = 0 }: { sha256?: Uint8Array | undefined; announced?: number | undefined } = {}
  ): Promise<PartRecord> {
    const record = this.record(id)
    if (record.taskId !== undefined || this.#completing.has(id))
      throw new RequestRefusedError('conflict', 'the upload is complete', { id })
    const former = this.store.part(id, part)
    const debit = this.ledger.begin(id, { replaced: former?.bytes ?? 0, announced })
    const path = join(this.store.folderOf(id), `${part}-${randomUUID()}`)
    try {
      const { bytes, digest } = await writePart(path, body, debit)
      if (sha256 !== undefined && !digest.equals(sha256)) {
        throw new InvalidOptionsError(`part ${part} does not match its checksum; send it again`, { field: 'checksum', part })
      }
      const saved: PartRecord = { part, bytes, checksum: digest.toString('hex'), file: basename(path) }
      // Aborted meanwhile: its folder is gone.
      if (this.store.get(id) === undefined) throw new NotFoundError('no such upload; it may have expired', { id })
      const replaced = this.store.savePart(id, saved)
      debit.settle({ bytes, replaced: replaced?.bytes ?? 0 })
      this.store.save({ ...this.record(id), expiresMs: Date.now() + this.#init.expiryMs })
      if (replaced !== undefined) await rm(join(this.store.folderOf(id), replaced.file), { force: true })
      return saved
    } catch (err) {
      await rm(path, { force: true })
      if (err instanceof SwarmError || (err as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE') throw err
      if ((err as NodeJS.ErrnoException).syscall === undefined)
        throw new RequestRefusedError('unavailable', `part ${part} did not arrive whole`, { part }, err)
      throw new StoreError('cannot keep the part', path, err)
    } finally {
      debit.settle()
    }
  }

  /** Fills a part from a content that is here already. */
  copyPart(id: string, part: number, from: { root: string; start: number; end: number }): Promise<PartRecord> {
    const { manifest, read } = this.#init.contents.open(from.root)
    const { start, end } = from
    if (!(start >= 0 && start < end && end <= manifest.length))
      throw new InvalidOptionsError('the range is not within the content', { start, end })
    return this.putPart(id, part, read({ start, end }), { announced: end - start })
  }

  /** Puts the parts together, in order of their numbers, and seeds the content. */
  complete(id: string): Promise<TaskStatus> {
    const running = this.#completing.get(id)
    if (running !== undefined) return running
    const work = this.#complete(id).finally(() => this.#completing.delete(id))
    this.#completing.set(id, work)
    return work
  }

  async abort(id: string): Promise<void> {
    this.record(id)
    if (this.#completing.has(id)) throw new RequestRefusedError('conflict', 'the upload is being put together', { id })
    await this.remove(id)
  }

  /** Deletes what nobody sent a part to for too long. */
  async expire(nowMs = Date.now()): Promise<void> {
    for (const record of this.store.list()) {
      const { id, name } = record
      if (this.expiresMs(record) > nowMs || this.#completing.has(id)) continue
      this.#init.log.info({ id, name }, 'upload expired')
      await this.remove(id)
    }
  }

  /** Forgets the upload and its bytes. */
  async remove(id: string): Promise<void> {
    this.ledger.close(id)
    await this.store.remove(id)
  }

  /** When the upload is deleted if no byte comes until then, in ms since 1970. */
  expiresMs(record: UploadRecord): number {
    return Math.max(record.expiresMs, (this.store.lastByteMs(record) ?? 0) + this.#init.expiryMs)
  }

  async #complete(id: string): Promise<TaskStatus> {
    const record = this.record(id)
    if (record.taskId !== undefined) return this.#init.contents.get(record.taskId)
    const parts = this.store.parts(id)
    const length = parts.reduce((sum, { bytes }) => sum + bytes, 0)
    if (record.length !== undefined && length !== record.length) {
      throw new RequestRefusedError('conflict', `${length} of ${record.length} bytes are here`, {
        id,
        length: record.length,
        received: length
      })
    }
    const missing = missingParts(parts)
    if (missing !== undefined) throw new RequestRefusedError('conflict', `${missing} not here; send what is missing`, { id })
    const folder = this.store.folderOf(id)
    const [only] = parts
    const whole = parts.length === 1 && only !== undefined ? join(folder, only.file) : join(folder, 'whole')
    if (parts.length !== 1) {
      // Until they are joined the parts are there as well.
      this.ledger.checkDisk(length)
      await joinFiles(
        whole,
        parts.map(({ file }) => join(folder, file))
      )
    }
    return this.finish(record, whole)
  }

  /** The bytes at `path` are all of the upload: hashes them, puts them in place and seeds them. */
  async finish(record: UploadRecord, path: string): Promise<TaskStatus> {
    const { contents, adopt, stateDir, completeDir } = this.#init
    const { name, pieceLength, root } = record
    const manifest = await createManifest(path, { stateDir, name, ...(pieceLength === undefined ? {} : { pieceLength }) })
    if (root !== undefined && manifest.root !== root) {
      throw new RequestRefusedError(
        'conflict',
        'the parts do not make up the content that was announced; abort the upload and send it again',
        {
          root,
          got: manifest.root
        }
      )
    }
    if (contents.ofRoot(manifest.root)?.state !== 'complete') {
      const target = await placeFile(path, completeDir, name)
      await adopt(manifest, target)
    }
    // The content may have been here under another name.
    const task = contents.alsoCalled(manifest.root, name)
    this.ledger.close(record.id)
    await this.store.settle({ ...record, root: manifest.root, length: manifest.length, taskId: task.id })
    this.#init.log.info({ id: record.id, name, root: manifest.root, bytes: manifest.length }, 'upload complete')
    return task
  }

  #newRecord({ kind, name, length, root, pieceLength, metadata = {}, isPartial = false }: NewUpload, id: string): UploadRecord {
    const createdMs = Date.now()
    const expiresMs = createdMs + this.#init.expiryMs
    return { id, kind, name, length, root, pieceLength, metadata, isPartial, taskId: undefined, createdMs, expiresMs }
  }

  #statusOf(record: UploadRecord, task = record.taskId === undefined ? undefined : this.#taskOf(record.taskId)): UploadStatus {
    return {
      id: record.id,
      record,
      state: task !== undefined ? 'complete' : this.#completing.has(record.id) ? 'completing' : 'open',
      received: this.store.receivedBytes(record),
      parts: this.store.parts(record.id),
      task,
      expiresMs: this.expiresMs(record)
    }
  }

  #taskOf(id: string): TaskStatus | undefined {
    try {
      return this.#init.contents.get(id)
    } catch (err) {
      if (err instanceof NotFoundError) return undefined
      throw err
    }
  }
}

/** The gaps in the parts' numbers, in words; undefined when they go from 1 to the last without one. */
function missingParts(parts: readonly PartRecord[]): string | undefined {
  const missing: number[] = []
  let next = 1
  for (const { part } of parts) {
    for (; next < part && missing.length < 10; next++) missing.push(next)
    next = part + 1
  }
  if (missing.length === 0) return undefined
  return missing.length === 1 ? `part ${missing[0]} is` : `parts ${missing.join(', ')}${missing.length === 10 ? ' …' : ''} are`
}

/** A name that can be a file's; throws `InvalidOptionsError`. */
function safeName(name: string): string {
  try {
    checkFileName(name, 'name')
    return name
  } catch (err) {
    if (!(err instanceof InvalidManifestError)) throw err
    throw new InvalidOptionsError(`name: ${err.what}`, { field: 'name' }, err)
  }
}
