/**
 * A cache in front of libp2p's peer store, put into its methods.
 *
 * The store takes a lock and decodes protobuf, keys and addresses for each read, and each stream that opens writes the protocol it
 * already knew: a sixth of all CPU of a fleet of ten (docs/PERFORMANCE.md). What was read or written is kept decoded for
 * {@link FRESH_MS}, and a merge that says nothing new is left out.
 *
 * Invariant: whatever changes a peer goes to the store first, and the cache then holds the store's answer or nothing. Peers given out are
 * shared: nobody changes them. Called by host.ts.
 */

import type { Peer, PeerData, PeerId, PeerStore } from '@libp2p/interface'

/** Tags and addresses expire in the store, so nothing stays here for longer. */
const FRESH_MS = 30_000
const MAX_PEERS = 1024

interface Entry {
  readonly peer: Peer
  readonly untilMs: number
}

/** Makes reads of `store` cheap from now on. `now` in ms, of any origin. */
export function cachePeers(store: PeerStore, now: () => number = () => performance.now()): void {
  const entries = new Map<string, Entry>()
  const { get, save, patch, merge, delete: remove } = store

  const cached = (id: PeerId): Peer | undefined => {
    const entry = entries.get(id.toString())
    return entry !== undefined && entry.untilMs > now() ? entry.peer : undefined
  }
  const keep = (id: PeerId, peer: Peer): Peer => {
    const key = id.toString()
    entries.delete(key)
    if (entries.size >= MAX_PEERS) {
      const oldest = entries.keys().next()
      if (oldest.done !== true) entries.delete(oldest.value)
    }
    entries.set(key, { peer, untilMs: now() + FRESH_MS })
    return peer
  }
  /** Answers come back in the order in which the store's lock let the calls in; a read that waited must not hide a write. */
  const writing = async (id: PeerId, write: () => Promise<Peer>): Promise<Peer> => {
    entries.delete(id.toString())
    return keep(id, await write())
  }

  store.get = async (id, options) => cached(id) ?? keep(id, await get.call(store, id, options))
  store.getInfo = async (id, options) => {
    const { addresses } = await store.get(id, options)
    return { id, multiaddrs: addresses.map(({ multiaddr }) => multiaddr) }
  }
  store.save = (id, data, options) => writing(id, () => save.call(store, id, data, options))
  store.patch = (id, data, options) => writing(id, () => patch.call(store, id, data, options))
  store.merge = async (id, data, options) => {
    const known = cached(id)
    if (known !== undefined && saysNothingNew(known, data)) return known
    return writing(id, () => merge.call(store, id, data, options))
  }
  store.delete = async (id, options) => {
    await remove.call(store, id, options)
    entries.delete(id.toString())
  }
}

function saysNothingNew(known: Peer, { multiaddrs = [], protocols = [], ...others }: PeerData): boolean {
  if (Object.values(others).some(value => value !== undefined)) return false
  return (
    protocols.every(protocol => known.protocols.includes(protocol)) &&
    multiaddrs.every(address => known.addresses.some(({ multiaddr }) => multiaddr.equals(address)))
  )
}
