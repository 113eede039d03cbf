/**
 * Forces written pieces to disk: in the background once enough of them wait, and when no piece was written
 * for a while.
 *
 * Invariant: a failure sticks, since the kernel may have dropped what it could not write; nothing more is
 * promised then.
 */

import { forEachWide } from '../disk.ts'

export interface FlusherInit {
  /** Forces many files with one call, where the system has one; gives those that it did not reach. */
  flushTogether: (files: readonly number[]) => Promise<readonly number[]>
  /** Forces one file. */
  flushFile: (file: number) => Promise<void>
  /** No piece was written for `quietMs`. */
  onQuiet: () => void
  /** Whether reads or writes are under way. */
  isBusy: () => boolean
  bytes: number
  quietMs: number
}

/**
 * Files flushed at once; one thread of the pool stays free for reads. Journals combine flushes that come
 * together.
 */
const FLUSH_WIDTH = 3
/**
 * From so many files on they are flushed together: one by one takes longer than what others wrote to the
 * same file system.
 */
const TOGETHER_FROM = 256

export class Flusher {
  readonly #init: FlusherInit
  #dirty = new Set<number>()
  #dirtyBytes = 0
  #writes = 0
  #flushing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isStopped = false
  #failure: Error | undefined

  constructor(init: FlusherInit) {
    this.#init = init
  }

  /** Throws what a flush failed with. */
  requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  noteFile(file: number): void {
    this.#dirty.add(file)
  }

  noteBytes(bytes: number): void {
    this.#writes++
    this.#dirtyBytes += bytes
  }

  /** After each write, whether it worked or not. */
  schedule(): void {
    if (this.#isStopped) return
    if (this.#dirtyBytes >= this.#init.bytes) this.#flushDirty().catch(() => {})
    this.#timer ??= this.#startTimer()
  }

  /** Everything written so far is on disk when it resolves. */
  async flush(): Promise<void> {
    await this.#flushing
    await this.#flushDirty()
  }

  /** Resolves when nothing is being flushed. Never rejects. */
  async settled(): Promise<void> {
    await this.#flushing?.catch(() => {})
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** Busy stores only flush; quiet ones are told. */
  #startTimer(): NodeJS.Timeout {
    const writes = this.#writes
    const timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isStopped) return
      if (this.#writes === writes && !this.#init.isBusy()) this.#init.onQuiet()
      else {
        this.#flushDirty().catch(() => {})
        this.#timer = this.#startTimer()
      }
    }, this.#init.quietMs)
    timer.unref()
    return timer
  }

  async #flushFiles(files: readonly number[]): Promise<void> {
    const left = files.length < TOGETHER_FROM ? files : await this.#init.flushTogether(files)
    await forEachWide(left, FLUSH_WIDTH, file => this.#init.flushFile(file))
  }

  async #flushDirty(): Promise<void> {
    this.requireHealthy()
    if (this.#flushing !== undefined) return this.#flushing
    const files = [...this.#dirty]
    if (files.length === 0) return
    this.#dirty = new Set()
    this.#dirtyBytes = 0
    this.#flushing = this.#flushFiles(files)
    try {
      await this.#flushing
    } catch (err) {
      this.#failure = err as Error
      throw err
    } finally {
      this.#flushing = undefined
    }
  }
}
