/** The cache in front of libp2p's peer store: fewer reads, and the same answers. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId, PeerStore } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { cachePeers } from '../../src/network/peer-cache.ts'

async function setUp(): Promise<{ store: PeerStore; id: PeerId; calls: string[]; clock: { ms: number } }> {
  const { peerStore: store } = await createLibp2p({ start: false })
  const calls: string[] = []
  for (const name of ['get', 'merge', 'patch', 'save', 'delete'] as const) {
    const original = store[name] as (...args: unknown[]) => Promise<never>
    ;(store[name] as unknown) = (...args: unknown[]) => {
      calls.push(name)
      return original.apply(store, args)
    }
  }
  const clock = { ms: 0 }
  cachePeers(store, () => clock.ms)
  return { store, id: peerIdFromPrivateKey(await generateKeyPair('Ed25519')), calls, clock }
}

const ADDRESS = multiaddr('/ip4/192.0.2.1/tcp/4001')
const OTHER = multiaddr('/ip4/192.0.2.2/tcp/4001')

test('A peer that was read or written is not read again, until it is old', async () => {
  const { store, id, calls, clock } = await setUp()
  await store.merge(id, { multiaddrs: [ADDRESS], protocols: ['/a'] })
  assert.deepEqual((await store.get(id)).protocols, ['/a'])
  assert.deepEqual((await store.getInfo(id)).multiaddrs.map(String), [String(ADDRESS)])
  assert.deepEqual(calls, ['merge'])
  clock.ms = 30_000
  await store.get(id)
  assert.deepEqual(calls, ['merge', 'get'])
})

test('A merge that says nothing new is left out, one that does is not', async () => {
  const { store, id, calls } = await setUp()
  await store.merge(id, { multiaddrs: [ADDRESS], protocols: ['/a'] })
  await store.merge(id, { protocols: ['/a'] })
  await store.merge(id, { multiaddrs: [ADDRESS] })
  assert.deepEqual(calls, ['merge'])
  await store.merge(id, { multiaddrs: [OTHER] })
  await store.merge(id, { protocols: ['/b'] })
  await store.merge(id, { tags: { keep: { value: 1 } } })
  assert.deepEqual(calls, ['merge', 'merge', 'merge', 'merge'])
  const { addresses, protocols, tags } = await store.get(id)
  assert.deepEqual(addresses.map(({ multiaddr }) => String(multiaddr)).sort(), [ADDRESS, OTHER].map(String))
  assert.deepEqual([protocols, [...tags.keys()]], [['/a', '/b'], ['keep']])
})

test('What replaces a peer replaces what is remembered, and a forgotten peer is gone', async () => {
  const { store, id } = await setUp()
  await store.merge(id, { multiaddrs: [ADDRESS], protocols: ['/a'] })
  await store.patch(id, { protocols: ['/b'] })
  assert.deepEqual((await store.get(id)).protocols, ['/b'])
  await Promise.all([store.patch(id, { protocols: ['/c'] }), store.get(id), store.patch(id, { protocols: ['/d'] })])
  assert.deepEqual((await store.get(id)).protocols, ['/d'])
  await store.delete(id)
  await assert.rejects(store.get(id), { name: 'NotFoundError' })
})
