/** The time that a driver lives by: the machine's, or a virtual one in tests. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  nowMs(): number
  /** Calls once at or after `atMs`; returns what calls it off. */
  setDeadline(atMs: number, call: () => void): () => void
}

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  setDeadline(atMs, call) {
    const timer = setTimeout(call, Math.max(1, Math.ceil(atMs - performance.now())))
    return () => clearTimeout(timer)
  }
}
