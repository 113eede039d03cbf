/**
 * Keeps us in touch with the configured bootstrap nodes: dials each until it answered, for ever with growing
 * pauses, and again when we have lost everybody. libp2p's own bootstrap module dials its list once and never
 * again. Called by the host.
 */

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 30_000
/** While connected, how often to look whether we still know anybody. */
const CHECK_MS = 15_000

export interface BootstrapLoopInit {
  addresses: readonly string[]
  /** Dials one address; rejects when it cannot be reached. */
  dial(address: string, signal: AbortSignal): Promise<unknown>
  /** Peers that we are connected to. */
  connectedPeers(): number
  log(line: string): void
}

export class BootstrapLoop {
  readonly #init: BootstrapLoopInit
  readonly #stop = new AbortController()
  readonly #answered = Promise.withResolvers<void>()
  /** Resolves with the first answer of any; at once without addresses. */
  readonly answered = this.#answered.promise
  /** Ends the pause of each address's loop. */
  readonly #sleepers = new Set<() => void>()

  constructor(init: BootstrapLoopInit) {
    this.#init = init
    if (init.addresses.length === 0) this.#answered.resolve()
    for (const address of init.addresses) void this.#keep(address)
  }

  /** Somebody left: look at once whether anybody remains. */
  handlePeerLeft(): void {
    if (this.#init.connectedPeers() === 0) this.#wakeAll()
  }

  stop(): void {
    this.#stop.abort()
    this.#wakeAll()
  }

  #wakeAll(): void {
    for (const wake of this.#sleepers) wake()
  }

  async #keep(address: string): Promise<void> {
    const { signal } = this.#stop
    let retryMs = FIRST_RETRY_MS
    let answered = false
    while (!signal.aborted) {
      if (!answered || this.#init.connectedPeers() === 0) {
        try {
          await this.#init.dial(address, signal)
          this.#init.log(`bootstrap: reached ${address}`)
          this.#answered.resolve()
          answered = true
          retryMs = FIRST_RETRY_MS
        } catch (err) {
          if (signal.aborted) return
          answered = false
          this.#init.log(`bootstrap: ${address} does not answer: ${(err as Error).message}`)
        }
      }
      // Jitter: nodes that lost the same bootstrap node do not come back in one wave.
      await this.#pause(answered ? CHECK_MS : retryMs * (0.5 + Math.random()))
      if (!answered) retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stop.signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    timer.unref()
    this.#sleepers.add(resolve)
    await promise
    clearTimeout(timer)
    this.#sleepers.delete(resolve)
  }
}
