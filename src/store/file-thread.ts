/**
 * Works on many small files at once in a thread of its own, with synchronous calls: a tenth of the cost of
 * Node's asynchronous ones, each of which crosses threads several times.
 *
 * What the thread cannot do (it did not start, a link lies on the way, the disk is full) is answered with
 * "not done", and the caller does it itself and meets the reason. Links are never followed below the base
 * folder. Called by downloads of folders, on Linux only: the thread reaches the files through the handle of
 * their base folder (see download/tree.ts).
 */

import type { BigIntStats } from 'node:fs'
import { Worker } from 'node:worker_threads'

/** Whole new files, whose bytes lie in `data` one behind the other or with gaps. */
export interface WriteFiles {
  readonly kind: 'write'
  /** Open handle of the base folder. */
  readonly base: number
  /** From the base, joined by slashes. */
  readonly paths: readonly string[]
  readonly data: Uint8Array<ArrayBuffer>
  readonly offsets: readonly number[]
  readonly lengths: readonly number[]
}

/**
 * Runs of files at absolute paths, put into one buffer of `bytes`, and what each file looked like after it
 * was read.
 */
export interface ReadFiles {
  readonly kind: 'read'
  readonly paths: readonly string[]
  readonly bytes: number
  /** Where each run goes in the buffer, where it starts in its file, and how long it is. */
  readonly offsets: readonly number[]
  readonly positions: readonly number[]
  readonly lengths: readonly number[]
}

/**
 * What lies there: below the base with no link followed, or without a base at absolute paths that may lead
 * through links.
 */
export interface LookAtFiles {
  readonly kind: 'look'
  readonly base: number | undefined
  readonly paths: readonly string[]
}

/** The base's handle is about to be closed: what is held open below it is closed first. */
interface ReleaseBase {
  readonly kind: 'release'
  readonly base: number
  readonly paths: readonly []
}

export type FileRequest = WriteFiles | ReadFiles | LookAtFiles | ReleaseBase

/** What is kept of a file's stats, in this order; see {@link FileLook}. */
export const LOOK_FIELDS = 5

/** What the thread says about a regular file. */
export type FileLook = Pick<BigIntStats, 'size' | 'mtimeNs' | 'ctimeNs' | 'birthtimeNs' | 'ino'>

export interface FileThreadAnswer {
  readonly id: number
  /** One for each file: whether it was done; a file that is not there, or is no regular one, was not. */
  readonly done: Uint8Array<ArrayBuffer>
  /** {@link LOOK_FIELDS} for each file that was looked at. */
  readonly looks: BigInt64Array<ArrayBuffer>
  /** What was read. */
  readonly data: Uint8Array<ArrayBuffer>
}

/**
 * The sources run as they are; what was built of them lies in `store`, seen from there and from the bundle.
 */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './file-worker.ts' : '../store/file-worker.js', import.meta.url)
/** Files looked at with one message, so that answers of a large folder do not all lie in memory twice. */
const LOOKS_AT_ONCE = 8192

export class FileThread {
  #worker: Worker | undefined
  #isGone = false
  #next = 0
  readonly #waiting = new Map<number, (answer: FileThreadAnswer | undefined) => void>()

  /** It failed or was closed: everything is left undone. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** Writes whole files; the indices of those that were not written. Never rejects. */
  async write(files: Omit<WriteFiles, 'kind' | 'data'> & { data: Uint8Array }): Promise<number[]> {
    // A copy that is handed over: sending the bytes themselves would copy the whole buffer that they lie in.
    const answer = await this.#ask({ kind: 'write', ...files, data: new Uint8Array(files.data) })
    const left: number[] = []
    for (let index = 0; index < files.paths.length; index++) if (answer?.done[index] !== 1) left.push(index)
    return left
  }

  /**
   * Reads runs of files; undefined for each that was not read, and in all when the thread is gone. Never
   * rejects.
   */
  async read(files: Omit<ReadFiles, 'kind'>): Promise<{ data: Uint8Array; looks: (FileLook | undefined)[] } | undefined> {
    const answer = await this.#ask({ kind: 'read', ...files })
    if (answer === undefined) return undefined
    const looks = files.paths.map((_, index) =>
      answer.done[index] === 1 ? lookAt(answer.looks, index * LOOK_FIELDS) : undefined
    )
    return { data: answer.data, looks }
  }

  /** Undefined for each file that has to be looked at by other means. Never rejects. */
  async look(base: number | undefined, paths: readonly string[]): Promise<(FileLook | undefined)[]> {
    const found: (FileLook | undefined)[] = []
    for (let first = 0; first < paths.length; first += LOOKS_AT_ONCE) {
      const some = paths.slice(first, first + LOOKS_AT_ONCE)
      const answer = await this.#ask({ kind: 'look', base, paths: some })
      for (let index = 0; index < some.length; index++)
        found.push(answer?.done[index] === 1 ? lookAt(answer.looks, index * LOOK_FIELDS) : undefined)
    }
    return found
  }

  /**
   * Before the handle of a base is closed: its number may be that of another folder next. Never rejects.
   */
  async release(base: number): Promise<void> {
    if (this.#worker !== undefined) await this.#ask({ kind: 'release', base, paths: [] })
  }

  /** Closes the folders that the thread holds. */
  async close(): Promise<void> {
    this.#giveUp()
    await this.#worker?.terminate()
  }

  #ask(request: FileRequest): Promise<FileThreadAnswer | undefined> {
    if (this.#isGone) return Promise.resolve(undefined)
    this.#worker ??= this.#start()
    const id = this.#next++
    return new Promise(resolve => {
      this.#waiting.set(id, resolve)
      this.#worker?.ref()
      this.#worker?.postMessage({ ...request, id }, request.kind === 'write' ? [request.data.buffer] : [])
    })
  }

  #start(): Worker {
    const worker = new Worker(WORKER)
    worker.on('message', (answer: FileThreadAnswer) => {
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
      if (this.#waiting.size === 0) worker.unref()
    })
    worker.on('error', () => this.#giveUp())
    worker.on('exit', () => this.#giveUp())
    return worker
  }

  #giveUp(): void {
    this.#isGone = true
    for (const resolve of this.#waiting.values()) resolve(undefined)
    this.#waiting.clear()
  }
}

let writer: FileThread | undefined

/**
 * One for all downloads of the process: a daemon may have thousands open, and a thread each would be
 * thousands. Ends with the process and does not keep it alive; one that failed is replaced for the next
 * download.
 */
export function sharedWriter(): FileThread {
  if (writer === undefined || writer.isGone) writer = new FileThread()
  return writer
}

function lookAt(looks: BigInt64Array, at: number): FileLook {
  const [size = 0n, mtimeNs = 0n, ctimeNs = 0n, birthtimeNs = 0n, ino = 0n] = looks.subarray(at, at + LOOK_FIELDS)
  return { size, mtimeNs, ctimeNs, birthtimeNs, ino: BigInt.asUintN(64, ino) }
}
