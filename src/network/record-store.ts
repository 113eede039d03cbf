/**
 * Where libp2p keeps what others tell it: the DHT's provider records. In memory, and bounded: anybody can send records, and the stock
 * store keeps them all until they expire and walks through everything for each question.
 *
 * Invariants: at most {@link MAX_PROVIDERS} records per key and {@link MAX_ENTRIES} entries in all; what was written longest ago goes first. A question for
 * the providers of one key costs what that key holds. Used by host.ts.
 */

import { NotFoundError } from '@libp2p/interface'
import { BaseDatastore } from 'datastore-core'
import { Key, type KeyQuery, type Pair, type Query } from 'interface-datastore'

/** Providers of one key: a newcomer needs a few and hears of the rest from them. An answer that named thousands would cost seconds. */
export const MAX_PROVIDERS = 64
export const MAX_ENTRIES = 50_000
const PROVIDERS = '/dht/provider/'

export class RecordStore extends BaseDatastore {
  /** Records by the part of their key before the last slash: of one DHT key, or of one kind. */
  readonly #groups = new Map<string, Map<string, Uint8Array>>()
  #size = 0

  override put(key: Key, value: Uint8Array): Key {
    const { group, name } = split(key.toString())
    const entries = this.#groups.get(group) ?? new Map<string, Uint8Array>()
    // Moved to the end: the order is that of the last write.
    if (entries.delete(name)) this.#size--
    entries.set(name, value)
    this.#size++
    // Groups too, so that the first one is the one not written to for longest.
    this.#groups.delete(group)
    this.#groups.set(group, entries)
    if (group.startsWith(PROVIDERS) && entries.size > MAX_PROVIDERS) this.#removeOldest(group, entries)
    if (this.#size > MAX_ENTRIES) {
      for (const [oldest, members] of this.#groups) {
        this.#removeOldest(oldest, members)
        break
      }
    }
    return key
  }

  override get(key: Key): Uint8Array {
    const { group, name } = split(key.toString())
    const value = this.#groups.get(group)?.get(name)
    if (value === undefined) throw new NotFoundError()
    return value
  }

  override has(key: Key): boolean {
    const { group, name } = split(key.toString())
    return this.#groups.get(group)?.has(name) ?? false
  }

  override delete(key: Key): void {
    const { group, name } = split(key.toString())
    const entries = this.#groups.get(group)
    if (entries?.delete(name) !== true) return
    this.#size--
    if (entries.size === 0) this.#groups.delete(group)
  }

  override *_all({ prefix }: Query): Generator<Pair> {
    for (const [group, entries] of this.#groupsUnder(prefix)) {
      for (const [name, value] of [...entries]) yield { key: new Key(group + name), value }
    }
  }

  override *_allKeys({ prefix }: KeyQuery): Generator<Key> {
    for (const [group, entries] of this.#groupsUnder(prefix)) {
      for (const name of [...entries.keys()]) yield new Key(group + name)
    }
  }

  /** At least those that hold something with the prefix; the caller filters the rest. */
  #groupsUnder(prefix: string | undefined): [string, Map<string, Uint8Array>][] {
    const only = prefix === undefined ? undefined : this.#groups.get(`${prefix}/`)
    if (prefix?.startsWith(PROVIDERS)) return only === undefined ? [] : [[`${prefix}/`, only]]
    return [...this.#groups]
  }

  #removeOldest(group: string, entries: Map<string, Uint8Array>): void {
    for (const name of entries.keys()) {
      entries.delete(name)
      this.#size--
      break
    }
    if (entries.size === 0) this.#groups.delete(group)
  }
}

/** A key up to and with its last slash, and what is behind it. */
function split(key: string): { group: string; name: string } {
  const end = key.lastIndexOf('/') + 1
  return { group: key.slice(0, end), name: key.slice(end) }
}
