/**
 * Open files, at most so many at once: a folder of ten thousand files must not need ten thousand descriptors.
 *
 * Invariants: a descriptor in use is never closed; at most `limit` are open; the one unused for longest goes
 * first. Called by the file store and the reader, whose keys are file numbers, and by the tree, whose keys
 * are folders.
 */

import { closeFile } from './disk.ts'

interface Handle {
  opening: Promise<number>
  users: number
  /** Forgotten while in use: closed by its last user. */
  isForgotten: boolean
}

export class HandlePool<Key = number> {
  readonly #open: (key: Key) => Promise<number>
  readonly #limit: number
  /** Insertion order is the order of last use. */
  readonly #handles = new Map<Key, Handle>()
  #waiting: (() => void)[] = []

  constructor(open: (key: Key) => Promise<number>, limit: number) {
    this.#open = open
    this.#limit = limit
  }

  get openCount(): number {
    return this.#handles.size
  }

  /**
   * Runs `action` with the file's descriptor, opening it when needed; waits while all allowed descriptors are
   * in use.
   */
  async use<T>(key: Key, action: (fd: number) => Promise<T>): Promise<T> {
    let handle = this.#handles.get(key)
    while (handle === undefined) {
      if (this.#handles.size < this.#limit || this.#closeOldestIdle()) {
        handle = { opening: this.#open(key), users: 0, isForgotten: false }
        this.#handles.set(key, handle)
      } else {
        await new Promise<void>(resolve => this.#waiting.push(resolve))
        handle = this.#handles.get(key)
      }
    }
    handle.users++
    this.#handles.delete(key)
    this.#handles.set(key, handle)
    try {
      return await action(await handle.opening)
    } catch (err) {
      // A file that did not open is tried afresh next time.
      const opened = await handle.opening.then(
        () => true,
        () => false
      )
      if (!opened && this.#handles.get(key) === handle) this.#handles.delete(key)
      throw err
    } finally {
      handle.users--
      if (handle.isForgotten && handle.users === 0) void handle.opening.then(closeFile, () => {})
      this.#waiting.shift()?.()
    }
  }

  /** The next use opens it again; for what may lie elsewhere by now. */
  forget(key: Key): void {
    const handle = this.#handles.get(key)
    if (handle === undefined) return
    this.#handles.delete(key)
    handle.isForgotten = true
    if (handle.users === 0) void handle.opening.then(closeFile, () => {})
  }

  /** Closes every file. The caller sees to it that none is in use. */
  async closeAll(): Promise<void> {
    const handles = [...this.#handles.values()]
    this.#handles.clear()
    await Promise.all(handles.map(handle => handle.opening.then(closeFile, () => {})))
  }

  #closeOldestIdle(): boolean {
    for (const [key, handle] of this.#handles) {
      if (handle.users > 0) continue
      this.#handles.delete(key)
      void handle.opening.then(closeFile, () => {})
      return true
    }
    return false
  }
}
