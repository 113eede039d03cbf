/**
 * What was refused, by kind, since the start; and once a minute a line in the log for each kind with the
 * address that was refused most.
 */

export const REFUSAL_KINDS = [
  /** Connections: too many in a handshake, without a byte in time, too many at once, too many in a second. */
  'connection-pending',
  'connection-silent',
  'connection-open',
  'connection-rate',
  /** Streams: too many without a proof, opened and reset too often. */
  'stream-unproven',
  'stream-flood',
  /** Peers that named a root and did not prove it. */
  'root-unproven',
  'piece-list',
  'gossip',
  'dht-record',
  'certificate',
  /** Connections of banned peers. */
  'banned'
] as const
export type RefusalKind = (typeof REFUSAL_KINDS)[number]

const REPORT_MS = 60_000
/** Addresses counted between two reports. */
const MAX_ADDRESSES = 1_000

export class Refusals {
  /** Ever, by kind; each kind is there from the start. */
  readonly counts = new Map<RefusalKind, number>(REFUSAL_KINDS.map(kind => [kind, 0]))
  readonly #log: (line: string) => void
  readonly #recent = new Map<RefusalKind, Map<string, number>>()
  #timer: NodeJS.Timeout | undefined

  constructor(log: (line: string) => void) {
    this.#log = log
  }

  count(kind: RefusalKind, address: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    const recent = this.#recent.get(kind) ?? new Map<string, number>()
    this.#recent.set(kind, recent)
    const key = recent.has(address) || recent.size < MAX_ADDRESSES ? address : 'others'
    recent.set(key, (recent.get(key) ?? 0) + 1)
    this.#timer ??= setTimeout(() => this.#report(), REPORT_MS).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    if (this.#recent.size > 0) this.#report()
    clearTimeout(this.#timer)
  }

  #report(): void {
    this.#timer = undefined
    for (const [kind, recent] of this.#recent) {
      let total = 0
      let busiest = ''
      for (const [address, count] of recent) {
        total += count
        if (count > (recent.get(busiest) ?? 0)) busiest = address
      }
      this.#log(`limits: refused ${total} x ${kind}, ${recent.get(busiest)} of them from ${busiest}`)
    }
    this.#recent.clear()
  }
}
