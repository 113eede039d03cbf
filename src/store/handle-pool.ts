/**
 * Open files, at most so many at once: a folder of ten thousand files must not need ten thousand descriptors.
 *
 * Invariants: a descriptor in use is never closed; at most `limit` are open; the one unused for longest goes first.
 * Called by the file store and the reader; file numbers are theirs.
 */

import { closeFile } from './disk.ts'

interface Handle {
  opening: Promise<number>
  users: number
}

export class HandlePool {
  readonly #open: (file: number) => Promise<number>
  readonly #limit: number
  /** Insertion order is the order of last use. */
  readonly #handles = new Map<number, Handle>()
  #waiting: (() => void)[] = []

  constructor(open: (file: number) => Promise<number>, limit: number) {
    this.#open = open
    this.#limit = limit
  }

  get openCount(): number {
    return this.#handles.size
  }

  /** Runs `action` with the file's descriptor, opening it when needed; waits while all allowed descriptors are in use. */
  async use<T>(file: number, action: (fd: number) => Promise<T>): Promise<T> {
    let handle = this.#handles.get(file)
    while (handle === undefined) {
      if (this.#handles.size < this.#limit || this.#closeOldestIdle()) {
        handle = { opening: this.#open(file), users: 0 }
        this.#handles.set(file, handle)
      } else {
        await new Promise<void>(resolve => this.#waiting.push(resolve))
        handle = this.#handles.get(file)
      }
    }
    handle.users++
    this.#handles.delete(file)
    this.#handles.set(file, handle)
    try {
      return await action(await handle.opening)
    } catch (err) {
      // A file that did not open is tried afresh next time.
      const opened = await handle.opening.then(
        () => true,
        () => false
      )
      if (!opened && this.#handles.get(file) === handle) this.#handles.delete(file)
      throw err
    } finally {
      handle.users--
      this.#waiting.shift()?.()
    }
  }

  /** Closes every file. The caller sees to it that none is in use. */
  async closeAll(): Promise<void> {
    const handles = [...this.#handles.values()]
    this.#handles.clear()
    await Promise.all(handles.map(handle => handle.opening.then(closeFile, () => {})))
  }

  #closeOldestIdle(): boolean {
    for (const [file, handle] of this.#handles) {
      if (handle.users > 0) continue
      this.#handles.delete(file)
      void handle.opening.then(closeFile, () => {})
      return true
    }
    return false
  }
}
