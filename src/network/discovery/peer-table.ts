/**
 * libp2p's peer store as a table in memory, put into the methods of the stock one.
 *
 * The stock store takes a lock, decodes protobuf, keys and addresses for each read, and encodes all of it for
 * each write; each new stream and each peer that says who it is writes. That was a sixth of what a connection
 * costs (docs/PERFORMANCE.md), for records that our nodes do not keep on disk.
 *
 * Invariants: reads and writes behave as the stock store's (merge joins, patch and save replace, what is
 * stale is left out, a change is told once); at most {@link MAX_PEERS} peers, the one not written to for
 * longest goes first, never ourselves. Peers given out are shared: nobody changes them. Called by host.ts.
 */

import {
  type Address,
  InvalidParametersError,
  type Libp2pEvents,
  NotFoundError,
  type Peer,
  type PeerData,
  type PeerId,
  type PeerQuery,
  type PeerStore,
  type PeerUpdate,
  type Tag,
  type TagOptions,
  type TypedEventTarget
} from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { CODE_P2P, type Multiaddr } from '@multiformats/multiaddr'

/** Anybody can send records of peers. */
export const MAX_PEERS = 10_000
/** An address counts for this long after it was first told, a peer for this long after it was last. */
const MAX_ADDRESS_AGE_MS = 6 * 3_600_000
const MAX_PEER_AGE_MS = 48 * 3_600_000

export interface PeerTableInit {
  readonly self: PeerId
  readonly events: TypedEventTarget<Libp2pEvents>
  /** Milliseconds since 1970. */
  readonly now?: () => number
}

interface Expiring extends Tag {
  /** Milliseconds since 1970. */
  readonly expiryMs?: number
}

interface Entry {
  /** Shown as it is until {@link freshUntilMs}. */
  peer: Peer
  updatedMs: number
  /** When each address, as text, was first told. */
  observedMs: ReadonlyMap<string, number>
  /** When the next tag or address is stale. */
  freshUntilMs: number
}

/** From now on `store` keeps what it is told in memory. */
export function keepPeersInMemory(store: PeerStore, init: PeerTableInit): void {
  const table = new PeerTable(init)
  store.has = async id => table.find(id) !== undefined
  store.get = async id => table.get(id)
  store.getInfo = async id => ({ id, multiaddrs: table.get(id).addresses.map(({ multiaddr }) => multiaddr) })
  store.save = async (id, data) => table.write(id, data, 'save')
  store.patch = async (id, data) => table.write(id, data, 'patch')
  store.merge = async (id, data) => table.write(id, data, 'merge')
  store.delete = async id => table.delete(id)
  store.all = async query => table.all(query)
  store.forEach = async (visit, query) => {
    for (const peer of table.all(query)) visit(peer)
  }
}

class PeerTable {
  readonly #self: PeerId
  readonly #events: TypedEventTarget<Libp2pEvents>
  readonly #now: () => number
  /** In the order of their last change. */
  readonly #entries = new Map<string, Entry>()

  constructor({ self, events, now = Date.now }: PeerTableInit) {
    this.#self = self
    this.#events = events
    this.#now = now
  }

  get(id: PeerId): Peer {
    const peer = this.find(id)
    if (peer === undefined) throw new NotFoundError(`nothing is known of ${id}`)
    return peer
  }

  find(id: PeerId): Peer | undefined {
    const key = id.toString()
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    const nowMs = this.#now()
    if (nowMs < entry.freshUntilMs) return entry.peer
    if (!this.#self.equals(id) && nowMs - entry.updatedMs > MAX_PEER_AGE_MS) {
      this.#entries.delete(key)
      return undefined
    }
    this.#refresh(entry, nowMs)
    return entry.peer
  }

  delete(id: PeerId): void {
    if (!this.#self.equals(id)) this.#entries.delete(id.toString())
  }

  all({ filters = [], orders = [], limit, offset = 0 }: PeerQuery = {}): Peer[] {
    const peers: Peer[] = []
    for (const { peer } of [...this.#entries.values()]) {
      if (this.#self.equals(peer.id)) continue
      const fresh = this.find(peer.id)
      if (fresh !== undefined && filters.every(filter => filter(fresh))) peers.push(fresh)
    }
    for (const order of orders) peers.sort(order)
    return peers.slice(offset, limit === undefined ? undefined : offset + limit)
  }

  /** `save` forgets what was there, `patch` replaces the fields given, `merge` adds to them. */
  write(id: PeerId, data: PeerData, how: 'save' | 'patch' | 'merge'): Peer {
    if (data.publicKey !== undefined && !id.equals(data.publicKey.toMultihash().bytes)) {
      throw new InvalidParametersError('public key does not match the peer id')
    }
    const previous = this.find(id)
    const known = how === 'save' ? undefined : previous
    const nowMs = this.#now()
    const peer: Peer = {
      id: withKey(known?.id ?? id, data),
      addresses: addressesOf(id, data, known, how === 'merge'),
      protocols: protocolsOf(data, known, how === 'merge'),
      metadata: entriesOf(data.metadata, known?.metadata, how === 'merge', value => value),
      tags: entriesOf(data.tags, known?.tags, how === 'merge', tag => tagOf(tag, nowMs)),
      ...defined('peerRecordEnvelope', data.peerRecordEnvelope ?? known?.peerRecordEnvelope)
    }
    const isNews = previous === undefined || !isSame(previous, peer)
    this.#keep(id, peer, nowMs)
    if (isNews) this.#tell({ peer, ...defined('previous', previous) })
    return peer
  }

  #keep(id: PeerId, peer: Peer, nowMs: number): void {
    const key = id.toString()
    const before = this.#entries.get(key)?.observedMs
    const observedMs = new Map<string, number>()
    for (const { multiaddr } of peer.addresses) {
      const text = multiaddr.toString()
      observedMs.set(text, before?.get(text) ?? nowMs)
    }
    const entry: Entry = { peer, updatedMs: nowMs, observedMs, freshUntilMs: 0 }
    entry.freshUntilMs = this.#freshUntil(entry)
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    if (this.#entries.size <= MAX_PEERS) return
    for (const oldest of this.#entries.keys()) {
      if (oldest === this.#self.toString()) continue
      this.#entries.delete(oldest)
      break
    }
  }

  /** Leaves out what is stale by now. */
  #refresh(entry: Entry, nowMs: number): void {
    const { peer, observedMs } = entry
    const isSelf = this.#self.equals(peer.id)
    const addresses = peer.addresses.filter(
      ({ multiaddr }) => isSelf || nowMs - (observedMs.get(multiaddr.toString()) ?? 0) <= MAX_ADDRESS_AGE_MS
    )
    const tags = new Map([...peer.tags].filter(([, tag]) => ((tag as Expiring).expiryMs ?? Number.POSITIVE_INFINITY) > nowMs))
    entry.peer = { ...peer, addresses, tags }
    entry.freshUntilMs = this.#freshUntil(entry)
  }

  #freshUntil({ peer, observedMs, updatedMs }: Entry): number {
    let untilMs = updatedMs + MAX_PEER_AGE_MS
    for (const tag of peer.tags.values()) untilMs = Math.min(untilMs, (tag as Expiring).expiryMs ?? untilMs)
    if (!this.#self.equals(peer.id)) {
      for (const { multiaddr } of peer.addresses) {
        untilMs = Math.min(untilMs, (observedMs.get(multiaddr.toString()) ?? 0) + MAX_ADDRESS_AGE_MS + 1)
      }
    }
    return untilMs
  }

  #tell(detail: PeerUpdate): void {
    const type = this.#self.equals(detail.peer.id) ? 'self:peer:update' : 'peer:update'
    this.#events.safeDispatchEvent(type, { detail })
  }
}

/** Only RSA keys are not part of the id. */
function withKey(id: PeerId, { publicKey }: PeerData): PeerId {
  return id.publicKey === undefined && publicKey !== undefined ? peerIdFromPublicKey(publicKey) : id
}

function addressesOf(id: PeerId, { multiaddrs, addresses }: PeerData, known: Peer | undefined, isMerging: boolean): Address[] {
  if (multiaddrs === undefined && addresses === undefined) return known?.addresses ?? []
  const byText = new Map<string, Address>()
  const add = (multiaddr: Multiaddr, isCertified: boolean): void => {
    const bare = withoutPeer(multiaddr, id)
    const text = bare.toString()
    const there = byText.get(text)
    if (there === undefined || (isCertified && !there.isCertified)) byText.set(text, { multiaddr: bare, isCertified })
  }
  if (isMerging) for (const { multiaddr, isCertified } of known?.addresses ?? []) add(multiaddr, isCertified)
  for (const multiaddr of multiaddrs ?? []) add(multiaddr, false)
  for (const { multiaddr, isCertified } of addresses ?? []) add(multiaddr, isCertified)
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, address]) => address)
}

/** Without the peer's own id at the end. */
function withoutPeer(multiaddr: Multiaddr, id: PeerId): Multiaddr {
  const named = multiaddr.getComponents().find(({ code }) => code === CODE_P2P)?.value
  return named === id.toString() ? multiaddr.decapsulate(`/p2p/${named}`) : multiaddr
}

function protocolsOf({ protocols }: PeerData, known: Peer | undefined, isMerging: boolean): string[] {
  if (protocols === undefined) return known?.protocols ?? []
  return [...new Set(isMerging ? [...(known?.protocols ?? []), ...protocols] : protocols)].sort()
}

/** A map of the given entries, or with `isMerging` those on top of what is known; undefined removes. */
function entriesOf<Given, Kept>(
  given: Map<string, Given | undefined> | Record<string, Given | undefined> | undefined,
  known: Map<string, Kept> | undefined,
  isMerging: boolean,
  keep: (value: Given) => Kept
): Map<string, Kept> {
  if (given === undefined) return known ?? new Map()
  const entries = new Map(isMerging ? known : undefined)
  for (const [name, value] of given instanceof Map ? given : Object.entries(given)) {
    if (value === undefined) entries.delete(name)
    else entries.set(name, keep(value))
  }
  return entries
}

function tagOf({ value = 0, ttl }: TagOptions, nowMs: number): Expiring {
  return ttl === undefined ? { value } : { value, expiryMs: nowMs + ttl }
}

function isSame(a: Peer, b: Peer): boolean {
  return (
    a.protocols.length === b.protocols.length &&
    a.protocols.every((protocol, index) => protocol === b.protocols[index]) &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every(({ multiaddr, isCertified }, index) => {
      const other = b.addresses[index]
      return other !== undefined && isCertified === other.isCertified && multiaddr.equals(other.multiaddr)
    }) &&
    isSameMap(a.tags, b.tags, isSameTag) &&
    isSameMap(a.metadata, b.metadata, isSameBytes) &&
    (a.id.publicKey === undefined) === (b.id.publicKey === undefined) &&
    isSameBytes(a.peerRecordEnvelope, b.peerRecordEnvelope)
  )
}

function isSameMap<Value>(a: Map<string, Value>, b: Map<string, Value>, isSameValue: (a: Value, b: Value) => boolean): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [name, value] of a) {
    const other = b.get(name)
    if (other === undefined || !isSameValue(value, other)) return false
  }
  return true
}

function isSameTag(a: Expiring, b: Expiring): boolean {
  return a.value === b.value && a.expiryMs === b.expiryMs
}

function isSameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0)
}

function defined<Name extends string, Value>(name: Name, value: Value | undefined): { [key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [key in Name]?: Value }
}
