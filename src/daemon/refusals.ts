/**
 * What the daemon refused, and to whom: counted for `/metrics` by kind, and once a minute in the log with the
 * address.
 *
 * Invariants: kinds are a closed set; addresses are bounded, the rest counts as "others"; a flood costs one
 * line a minute. Called wherever a limit is hit.
 */

import { Counter, type Registry } from 'prom-client'

/** What each means is in docs/API.md. */
const REFUSAL_KINDS = [
  'login_failed',
  'login_slowed',
  'unauthorized',
  'forbidden',
  'connection_displaced',
  'connection_refused',
  'first_byte_late',
  'reader_stalled',
  'upload_room'
] as const
type RefusalKind = (typeof REFUSAL_KINDS)[number]

const LOG_INTERVAL_MS = 60_000
const MAX_ADDRESSES = 100

interface Log {
  warn: (facts: object, message: string) => void
}

export class Refusals {
  readonly #counter: Counter<'kind'>
  readonly #log: Log
  /** Since the last line. */
  readonly #recent = new Map<RefusalKind, Map<string, number>>()
  #timer: NodeJS.Timeout | undefined

  constructor(registry: Registry, log: Log) {
    this.#log = log
    this.#counter = new Counter({
      name: 'swarm_refusals_total',
      help: 'Requests and connections refused, by kind',
      labelNames: ['kind'],
      registers: [registry]
    })
    for (const kind of REFUSAL_KINDS) this.#counter.inc({ kind }, 0)
  }

  record(kind: RefusalKind, address: string): void {
    this.#counter.inc({ kind })
    const byAddress = this.#recent.get(kind) ?? new Map<string, number>()
    this.#recent.set(kind, byAddress)
    const key = byAddress.has(address) || byAddress.size < MAX_ADDRESSES ? address : 'others'
    byAddress.set(key, (byAddress.get(key) ?? 0) + 1)
    // The first is told at once, what follows within the minute together.
    if (this.#timer !== undefined) return
    this.#tell()
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#tell()
    }, LOG_INTERVAL_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#tell()
  }

  #tell(): void {
    for (const [kind, byAddress] of this.#recent) {
      this.#log.warn({ refused: kind, from: Object.fromEntries(byAddress) }, 'refused')
    }
    this.#recent.clear()
  }
}
