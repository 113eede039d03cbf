/**
 * Hashes runs of pieces on all cores: one thread per core reads and hashes while this one has its hands free.
 *
 * Pays from tens of megabytes on: a thread takes 30 ms to start. What a thread cannot do (it did not start,
 * the file could not be read) is answered with undefined, and the caller does it itself. Called by
 * hash-content.ts.
 */

import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

/** Pieces that lie one after the other in one file. */
export interface PieceRun {
  readonly id: number
  readonly fd: number
  /** Of the first byte in the file. */
  readonly position: number
  readonly bytes: number
  readonly pieceLength: number
}

export interface HashedRun {
  readonly id: number
  /** One after the other; undefined when the run could not be read. */
  readonly hashes: Uint8Array<ArrayBuffer> | undefined
}

/** More would only wait for the disk. */
const MAX_THREADS = 4

/**
 * The sources run as they are; what was built of them lies in `store`, seen from there and from the bundle.
 */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './hash-worker.ts' : '../store/hash-worker.js', import.meta.url)

export class HashThreads implements AsyncDisposable {
  readonly #threads: { worker: Worker; waiting: Map<number, (hashes: HashedRun['hashes']) => void>; isGone: boolean }[]
  #next = 0

  constructor(count = Math.min(availableParallelism(), MAX_THREADS)) {
    this.#threads = Array.from({ length: count }, () => {
      const thread = {
        worker: new Worker(WORKER),
        waiting: new Map<number, (hashes: HashedRun['hashes']) => void>(),
        isGone: false
      }
      const giveUp = (): void => {
        thread.isGone = true
        for (const resolve of thread.waiting.values()) resolve(undefined)
        thread.waiting.clear()
      }
      thread.worker.on('message', ({ id, hashes }: HashedRun) => {
        thread.waiting.get(id)?.(hashes)
        thread.waiting.delete(id)
      })
      thread.worker.on('error', giveUp)
      thread.worker.on('exit', giveUp)
      return thread
    })
  }

  /** Runs to hand in at once, so that every thread has the next one waiting. */
  get width(): number {
    return 2 * this.#threads.length
  }

  /** The descriptor must stay open until this resolves. Never rejects. */
  hash(run: Omit<PieceRun, 'id'>): Promise<HashedRun['hashes']> {
    const [thread] = this.#threads.filter(({ isGone }) => !isGone).sort((a, b) => a.waiting.size - b.waiting.size)
    if (thread === undefined) return Promise.resolve(undefined)
    const id = this.#next++
    return new Promise(resolve => {
      thread.waiting.set(id, resolve)
      thread.worker.postMessage({ ...run, id } satisfies PieceRun)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }
}
