/**
 * Where libp2p keeps what others tell it: the DHT's provider records. In memory, and bounded: anybody can
 * send records, and the stock store keeps them all until they expire and walks through everything for each
 * question.
 *
 * Invariants: at most {@link MAX_PROVIDERS} records per key, {@link MAX_OF_ADDRESS} of an address and {@link
 * MAX_ENTRIES} entries in all; in all and of an address what was written longest ago goes first. Of a key the
 * oldest stay: when it is full each place (public prefix or private address) keeps one, so that a peer
 * with many identities pushes nobody out. A question for the providers of one key costs what that key holds.
 * Used by host.ts.
 */

import { NotFoundError } from '@libp2p/interface'
import { BaseDatastore } from 'datastore-core'
import { Key, type KeyQuery, type Pair, type Query } from 'interface-datastore'
import type { RemoteAddress } from '../limits/remote-address.ts'

/**
 * Providers of one key: a newcomer needs a few and hears of the rest from them. An answer that named
 * thousands would cost seconds.
 */
export const MAX_PROVIDERS = 64
export const MAX_ENTRIES = 50_000
/** Provider records that the peers of one address have left: about 1 KB each. */
export const MAX_OF_ADDRESS = 8_000
const PROVIDERS = '/dht/provider/'

/** Who left a provider record, as far as known. */
interface Entry {
  readonly value: Uint8Array
  readonly from: RemoteAddress | undefined
}

export class RecordStore extends BaseDatastore {
  /** Records by the part of their key before the last slash: of one DHT key, or of one kind. */
  readonly #groups = new Map<string, Map<string, Entry>>()
  /** Provider records by the address that they came from, in the order in which they were written last. */
  readonly #byAddress = new Map<string, Map<string, { group: string; name: string }>>()
  readonly #fromOf: (peer: string) => RemoteAddress | undefined
  #size = 0

  /** `fromOf` tells where a connected peer is. */
  constructor(fromOf: (peer: string) => RemoteAddress | undefined = () => undefined) {
    super()
    this.#fromOf = fromOf
  }

  override put(key: Key, value: Uint8Array): Key {
    const { group, name } = split(key.toString())
    const isProvider = group.startsWith(PROVIDERS)
    const from = isProvider ? this.#fromOf(name) : undefined
    const entries = this.#groups.get(group) ?? new Map<string, Entry>()
    const old = entries.get(name)
    if (isProvider && old === undefined && entries.size >= MAX_PROVIDERS && !this.#makeRoom(group, entries, from)) return key
    // Renewed records of a key keep their places in the order of the first writing; of others that of the
    // last counts.
    if (old !== undefined) {
      this.#forgetAddress(group, name, old)
      if (!isProvider) entries.delete(name)
    } else {
      this.#size++
    }
    entries.set(name, { value, from })
    // Groups too, so that the first one is the one not written to for longest.
    this.#groups.delete(group)
    this.#groups.set(group, entries)
    if (from !== undefined) this.#countAddress(group, name, from)
    if (this.#size > MAX_ENTRIES) this.#removeOldest()
    return key
  }

  /**
   * Of the places that have several records of this key the newest record goes; false: there is none, or the
   * newcomer's place has one already.
   */
  #makeRoom(group: string, entries: Map<string, Entry>, from: RemoteAddress | undefined): boolean {
    const seen = new Set<string>()
    let surplus: string | undefined
    for (const [name, entry] of entries) {
      const place = placeOf(entry.from)
      if (place === placeOf(from)) return false
      if (seen.has(place)) surplus = name
      seen.add(place)
    }
    if (surplus === undefined) return false
    this.#remove(group, surplus)
    return true
  }

  #countAddress(group: string, name: string, { address }: RemoteAddress): void {
    const records = this.#byAddress.get(address) ?? new Map<string, { group: string; name: string }>()
    this.#byAddress.set(address, records)
    records.set(group + name, { group, name })
    if (records.size <= MAX_OF_ADDRESS) return
    for (const oldest of records.values()) {
      this.#remove(oldest.group, oldest.name)
      return
    }
  }

  #forgetAddress(group: string, name: string, { from }: Entry): void {
    if (from === undefined) return
    const records = this.#byAddress.get(from.address)
    records?.delete(group + name)
    if (records?.size === 0) this.#byAddress.delete(from.address)
  }

  override get(key: Key): Uint8Array {
    const { group, name } = split(key.toString())
    const entry = this.#groups.get(group)?.get(name)
    if (entry === undefined) throw new NotFoundError()
    return entry.value
  }

  override has(key: Key): boolean {
    const { group, name } = split(key.toString())
    return this.#groups.get(group)?.has(name) ?? false
  }

  override delete(key: Key): void {
    const { group, name } = split(key.toString())
    this.#remove(group, name)
  }

  override *_all({ prefix }: Query): Generator<Pair> {
    for (const [group, entries] of this.#groupsUnder(prefix)) {
      for (const [name, { value }] of [...entries]) yield { key: new Key(group + name), value }
    }
  }

  override *_allKeys({ prefix }: KeyQuery): Generator<Key> {
    for (const [group, entries] of this.#groupsUnder(prefix)) {
      for (const name of [...entries.keys()]) yield new Key(group + name)
    }
  }

  /** At least those that hold something with the prefix; the caller filters the rest. */
  #groupsUnder(prefix: string | undefined): [string, Map<string, Entry>][] {
    const only = prefix === undefined ? undefined : this.#groups.get(`${prefix}/`)
    if (prefix?.startsWith(PROVIDERS)) return only === undefined ? [] : [[`${prefix}/`, only]]
    return [...this.#groups]
  }

  #removeOldest(): void {
    for (const [group, entries] of this.#groups) {
      for (const name of entries.keys()) {
        this.#remove(group, name)
        return
      }
    }
  }

  #remove(group: string, name: string): void {
    const entries = this.#groups.get(group)
    const entry = entries?.get(name)
    if (entries === undefined || entry === undefined) return
    entries.delete(name)
    this.#size--
    this.#forgetAddress(group, name, entry)
    if (entries.size === 0) this.#groups.delete(group)
  }
}

/** What may have one record of a full key: machines of our own network are told apart, elsewhere networks. */
function placeOf(from: RemoteAddress | undefined): string {
  if (from === undefined) return 'unknown'
  return from.isPrivate ? from.address : from.prefix
}

/** A key up to and with its last slash, and what is behind it. */
function split(key: string): { group: string; name: string } {
  const end = key.lastIndexOf('/') + 1
  return { group: key.slice(0, end), name: key.slice(end) }
}
