/**
 * The router over libp2p's Kademlia DHT: tells the swarm of a root that we are in it, and finds who else is.
 *
 * The DHT holds provider records as hints only: they go stale (a peer that died stays listed until its record
 * expires) and a write is never acknowledged. So every announcement is repeated on a timer of our own, soon
 * at first (the routing table is small right after a start) and then well within the records' validity, and
 * again when our addresses change. Called by the host.
 */

import type { AbortOptions } from '@libp2p/interface'
import type { QueryEvent } from '@libp2p/kad-dht'
import type { CID } from 'multiformats/cid'
import { dhtKey } from '../../content/dht-key.ts'
import type { Router } from '../types.ts'

/**
 * How long a provider record counts; ours are renewed at {@link REANNOUNCE_MS}, a dead peer's vanish after
 * this.
 */
export const PROVIDER_VALIDITY_MS = 40 * 60_000
/** Steady interval between announcements of one root. */
const REANNOUNCE_MS = 15 * 60_000
/**
 * After the first announcement that reached anybody: again after these, because the table was still filling.
 */
const EARLY_REANNOUNCE_MS = [60_000, 300_000] as const
/** Nobody could be told: again after these, the last one for ever. */
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000, 30_000] as const
/** Several address changes in a row (interfaces coming up) make one announcement. */
const ADDRESS_CHANGE_DEBOUNCE_MS = 1_000
const ANNOUNCE_TIMEOUT_MS = 30_000
const FIND_TIMEOUT_MS = 30_000
/** Answers in a row that named nobody new after which a walk that found somebody ends. */
const MAX_FRUITLESS = 4
/** Most addresses taken over from one provider record. */
const MAX_ADDRESSES = 16
/**
 * Holders of our record remembered per root; an announcement tells the 8 closest, and those change slowly.
 */
const MAX_TOLD = 100

/** What is used of the DHT service. */
export interface DhtService {
  provide(key: CID, options?: AbortOptions): AsyncIterable<QueryEvent>
  findProviders(key: CID, options?: AbortOptions): AsyncIterable<QueryEvent>
  cancelReprovide(key: CID, options?: AbortOptions): Promise<void>
}

interface Announcement {
  readonly key: CID
  readonly stop: AbortController
  timer: NodeJS.Timeout | undefined
  /** Announcements that reached somebody. */
  told: number
  /** Who was told, to be told when we leave. Bounded by {@link MAX_TOLD}. */
  readonly holders: Set<string>
  /** Consecutive ones that reached nobody. */
  failed: number
  running: Promise<boolean> | undefined
  /** Somebody asked for another one while one was running. */
  again: boolean
}

export class DhtRouter implements Router {
  readonly #dht: DhtService
  readonly #self: string
  readonly #log: (line: string) => void
  readonly #tellWithdrawn: (peer: string, digest: Uint8Array) => Promise<void>
  readonly #announcements = new Map<string, Announcement>()
  #addressTimer: NodeJS.Timeout | undefined
  #stopped = false

  /**
   * `tellWithdrawn` lets a peer know that we no longer hold the key with that SHA-256 digest; bounded in
   * time, may fail.
   */
  constructor(
    dht: DhtService,
    self: string,
    log: (line: string) => void,
    tellWithdrawn: (peer: string, digest: Uint8Array) => Promise<void> = async () => {}
  ) {
    this.#tellWithdrawn = tellWithdrawn
    this.#dht = dht
    this.#self = self
    this.#log = log
  }

  async announce(root: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted()
    if (this.#stopped) return false
    const key = dhtKey(root)
    const id = key.toString()
    let announcement = this.#announcements.get(id)
    if (announcement === undefined) {
      announcement = {
        key,
        stop: new AbortController(),
        timer: undefined,
        told: 0,
        holders: new Set(),
        failed: 0,
        running: undefined,
        again: false
      }
      this.#announcements.set(id, announcement)
    }
    const done = this.#run(announcement)
    if (signal === undefined) return done
    // The caller stops waiting; the announcement itself stays until it is withdrawn.
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([done, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /**
   * Stops renewing, deletes our own record and tells those who hold it, as far as we are still connected to
   * them. A node that does not speak our withdrawal keeps it until it expires, which is why validity is short
   * and why results of `find` are hints.
   */
  async withdraw(root: Uint8Array): Promise<void> {
    const key = dhtKey(root)
    const announcement = this.#announcements.get(key.toString())
    if (announcement === undefined) return
    this.#announcements.delete(key.toString())
    this.#end(announcement)
    await this.#dht.cancelReprovide(key, { signal: AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS) }).catch(err => {
      this.#log(`dht: could not withdraw ${key}: ${(err as Error).message}`)
    })
    const { digest } = key.multihash
    await Promise.all([...announcement.holders].map(peer => this.#tellWithdrawn(peer, digest).catch(() => {})))
  }

  async *find(root: Uint8Array, signal?: AbortSignal): AsyncGenerator<{ peer: string; addresses: string[] }> {
    if (this.#stopped) return
    const timeout = AbortSignal.timeout(FIND_TIMEOUT_MS)
    const seen = new Set([this.#self])
    let fruitless = 0
    try {
      for await (const event of this.#dht.findProviders(dhtKey(root), {
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout])
      })) {
        if (event.name !== 'PEER_RESPONSE') continue
        fruitless++
        for (const { id, multiaddrs } of event.providers) {
          const peer = id.toString()
          if (seen.has(peer)) continue
          seen.add(peer)
          fruitless = 0
          yield { peer, addresses: multiaddrs.slice(0, MAX_ADDRESSES).map(address => address.toString()) }
        }
        // Those near the key mostly know the same; in a small network the walk would ask every node there is,
        // each time.
        if (fruitless >= MAX_FRUITLESS && seen.size > 1) return
      }
    } catch (err) {
      if (signal?.aborted) throw signal.reason
      // A walk that failed or ran out of time told us all that it could.
      this.#log(`dht: walk ended early: ${(err as Error).message}`)
    }
  }

  /**
   * Somebody joined the routing table: announcements that reached nobody so far need not wait for their
   * timer.
   */
  handlePeerJoined(): void {
    for (const announcement of this.#announcements.values()) {
      if (announcement.told === 0 && announcement.running === undefined) void this.#run(announcement)
    }
  }

  /** Our addresses changed: what we told others leads nowhere now. */
  handleAddressesChanged(): void {
    if (this.#stopped || this.#addressTimer !== undefined) return
    this.#addressTimer = setTimeout(() => {
      this.#addressTimer = undefined
      for (const announcement of this.#announcements.values()) void this.#run(announcement)
    }, ADDRESS_CHANGE_DEBOUNCE_MS)
    this.#addressTimer.unref()
  }

  /** Ends every timer and running query. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#addressTimer)
    for (const announcement of this.#announcements.values()) this.#end(announcement)
    this.#announcements.clear()
  }

  #end(announcement: Announcement): void {
    clearTimeout(announcement.timer)
    announcement.stop.abort()
  }

  /** One announcement now; shares the one that is running. Never rejects. */
  #run(announcement: Announcement): Promise<boolean> {
    if (announcement.running !== undefined) {
      announcement.again = true
      return announcement.running
    }
    clearTimeout(announcement.timer)
    announcement.again = false
    announcement.running = this.#tell(announcement).then(told => {
      announcement.running = undefined
      this.#schedule(announcement, told)
      return told
    })
    return announcement.running
  }

  async #tell(announcement: Announcement): Promise<boolean> {
    let written = 0
    try {
      const signal = AbortSignal.any([announcement.stop.signal, AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS)])
      for await (const event of this.#dht.provide(announcement.key, { signal })) {
        // "Written to the stream", not an acknowledgement: there is none.
        if (event.name !== 'PEER_RESPONSE' || event.messageName !== 'ADD_PROVIDER') continue
        written++
        if (announcement.holders.size < MAX_TOLD) announcement.holders.add(event.from.toString())
      }
    } catch (err) {
      if (!announcement.stop.signal.aborted) this.#log(`dht: announcement failed: ${(err as Error).message}`)
    }
    this.#log(`dht: announced ${announcement.key} to ${written} peer(s)`)
    return written > 0
  }

  #schedule(announcement: Announcement, told: boolean): void {
    if (announcement.stop.signal.aborted) return
    if (told) {
      announcement.failed = 0
      announcement.told++
    } else {
      announcement.failed++
    }
    const delayMs = told
      ? (EARLY_REANNOUNCE_MS[announcement.told - 1] ?? REANNOUNCE_MS)
      : (RETRY_MS[Math.min(announcement.failed, RETRY_MS.length) - 1] ?? REANNOUNCE_MS)
    // Jitter, so that nodes started together do not announce together for ever.
    announcement.timer = setTimeout(
      () => void this.#run(announcement),
      announcement.again ? 0 : delayMs * (0.9 + 0.2 * Math.random())
    )
    announcement.timer.unref()
  }
}

/** Stands in where the DHT is switched off: tells nobody, finds nobody. */
export class NoRouter implements Router {
  async announce(): Promise<boolean> {
    return false
  }
  async withdraw(): Promise<void> {}
  async *find(): AsyncGenerator<{ peer: string; addresses: string[] }> {}
}
