/**
 * What is being hashed and is no task yet: a task needs a root, which is known when all is hashed.
 *
 * Invariants: what the hash cache knows is not hashed and never shows; every path that was reported is
 * reported to be over, however it ended; a path is reported at most four times a second. Called by the queue.
 */

/** A file or folder of this machine that is being hashed. */
export interface Hashing {
  path: string
  bytesDone: number
  bytesTotal: number
}

export type OnHashed = (bytesDone: number, bytesTotal: number) => void

interface HashingListener {
  moved: (hashing: Hashing) => void
  over: (path: string) => void
}

const TELL_INTERVAL_MS = 250

export class HashingBoard {
  readonly #listener: HashingListener
  /** By path. Of two that hash the same path the first shows. */
  readonly #running = new Map<string, Hashing>()

  constructor(listener: HashingListener) {
    this.#listener = listener
  }

  list(): Hashing[] {
    return [...this.#running.values()]
  }

  has(path: string): boolean {
    return this.#running.has(path)
  }

  /** Runs `work` and shows how far its hashing is, from the first bytes until it ends. */
  async during<T>(path: string, work: (onHashed: OnHashed) => Promise<T>): Promise<T> {
    let isShown = false
    let toldMs = Number.NEGATIVE_INFINITY
    const onHashed: OnHashed = (bytesDone, bytesTotal) => {
      if (!isShown && this.#running.has(path)) return
      isShown = true
      const hashing = { path, bytesDone, bytesTotal }
      this.#running.set(path, hashing)
      const nowMs = performance.now()
      if (nowMs - toldMs < TELL_INTERVAL_MS) return
      toldMs = nowMs
      this.#listener.moved(hashing)
    }
    try {
      return await work(onHashed)
    } finally {
      if (isShown) {
        this.#running.delete(path)
        this.#listener.over(path)
      }
    }
  }
}
