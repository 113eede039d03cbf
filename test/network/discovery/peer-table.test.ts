/**
 * The table in memory that replaces libp2p's peer store: the same answers and the same events as the stock
 * one's, bounded.
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2pEvents, Peer, PeerData, PeerId, PeerStore, PeerUpdate, TypedEventTarget } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { keepPeersInMemory, MAX_PEERS } from '../../../src/network/discovery/peer-table.ts'

const [FIRST, SECOND, THIRD] = [1, 2, 3].map(host => multiaddr(`/ip4/192.0.2.${host}/tcp/4001`)) as [never, never, never]
const HOUR_MS = 3_600_000

interface Setup {
  readonly store: PeerStore
  readonly self: PeerId
  /** What listeners were told, in words. */
  readonly told: string[]
  readonly clock: { ms: number }
}

async function setUp(kind: 'stock' | 'table'): Promise<Setup> {
  const node = await createLibp2p({
    start: false,
    services: { events: ({ events }: { events: TypedEventTarget<Libp2pEvents> }) => events }
  })
  const { peerStore: store, peerId: self } = node
  const { events } = node.services
  const clock = { ms: Date.now() }
  if (kind === 'table') keepPeersInMemory(store, { self, events, now: () => clock.ms })
  const told: string[] = []
  for (const type of ['peer:update', 'self:peer:update'] as const) {
    // What the stock store gives as the previous state has changed under its hands.
    events.addEventListener(type, ({ detail: { peer, previous } }: CustomEvent<PeerUpdate>) => {
      told.push(`${type} ${previous === undefined ? 'new' : 'changed'} ${words(peer)}`)
    })
  }
  return { store, self, told, clock }
}

/** All that is known of a peer but its id. */
function words(peer: Peer | undefined): string {
  if (peer === undefined) return 'nothing'
  const addresses = peer.addresses.map(({ multiaddr, isCertified }) => `${multiaddr}${isCertified ? '!' : ''}`)
  const tags = [...peer.tags].map(([name, { value }]) => `${name}=${value}`)
  const metadata = [...peer.metadata].map(([name, value]) => `${name}=${value.join()}`)
  return [addresses, peer.protocols, tags, metadata].map(list => list.join()).join(' | ')
}

async function newPeer() {
  const privateKey = await generateKeyPair('Ed25519')
  return { privateKey, id: peerIdFromPrivateKey(privateKey) }
}

/** What was said in turn, and then is known, as the stock store has it. */
const CASES: readonly { title: string; calls: readonly ['save' | 'patch' | 'merge', PeerData][] }[] = [
  {
    title: 'joins addresses, protocols, tags and metadata',
    calls: [
      ['merge', { multiaddrs: [SECOND], protocols: ['/b'], tags: { a: { value: 1 } }, metadata: { m: new Uint8Array([1]) } }],
      ['merge', { multiaddrs: [FIRST, SECOND], protocols: ['/a', '/b'], tags: { b: {} }, metadata: { n: new Uint8Array([2]) } }]
    ]
  },
  {
    title: 'tells of nothing when nothing is new',
    calls: [
      ['merge', { multiaddrs: [FIRST], protocols: ['/a'], tags: { a: { value: 1 } } }],
      ['merge', { multiaddrs: [FIRST] }],
      ['merge', { protocols: ['/a'], tags: { a: { value: 1 } } }],
      ['patch', { multiaddrs: [FIRST] }]
    ]
  },
  {
    title: 'replaces the fields of a patch and leaves the others',
    calls: [
      ['merge', { multiaddrs: [FIRST], protocols: ['/a'], tags: { a: { value: 1 } } }],
      ['patch', { multiaddrs: [SECOND, THIRD] }],
      ['patch', { protocols: ['/c'], tags: {} }]
    ]
  },
  {
    title: 'forgets all that is not saved',
    calls: [
      ['merge', { multiaddrs: [FIRST], protocols: ['/a'], tags: { a: { value: 1 } } }],
      ['save', { multiaddrs: [SECOND] }]
    ]
  },
  {
    title: 'removes tags and metadata that are given as undefined',
    calls: [
      ['merge', { tags: { a: { value: 1 }, b: { value: 2 } }, metadata: { m: new Uint8Array([1]) } }],
      ['merge', { tags: { a: undefined }, metadata: { m: undefined } }]
    ]
  },
  {
    title: 'keeps an address certified once it was',
    calls: [
      ['merge', { addresses: [{ multiaddr: FIRST, isCertified: true }] }],
      ['merge', { addresses: [{ multiaddr: FIRST, isCertified: false }] }]
    ]
  }
]

describe('the table of peers', () => {
  for (const { title, calls } of CASES) {
    test(`${title}, as the stock store`, async () => {
      const { id } = await newPeer()
      const seen: Record<string, unknown> = {}
      for (const kind of ['stock', 'table'] as const) {
        const { store, told } = await setUp(kind)
        const answers: string[] = []
        for (const [method, data] of calls) answers.push(words(await store[method](id, data)))
        seen[kind] = { answers, told, known: words(await store.get(id)), all: (await store.all()).map(words) }
      }
      assert.deepEqual(seen.table, seen.stock)
    })
  }

  test('takes a signed record of addresses, a newer one after it, and none that is older', async () => {
    const { id, privateKey } = await newPeer()
    const { store } = await setUp('table')
    const sealed = async (seqNumber: bigint, address: typeof FIRST) => {
      const envelope = await RecordEnvelope.seal(new PeerRecord({ peerId: id, multiaddrs: [address], seqNumber }), privateKey)
      return envelope.marshal()
    }
    assert.equal(await store.consumePeerRecord(await sealed(2n, FIRST)), true)
    assert.equal(await store.consumePeerRecord(await sealed(1n, SECOND)), false)
    assert.equal(words(await store.get(id)), `${FIRST}! |  |  | `)
    assert.equal(await store.consumePeerRecord(await sealed(3n, SECOND)), true)
    assert.equal(words(await store.get(id)), `${SECOND}! |  |  | `)
  })

  test('leaves out the peer itself at the end of an address, and a peer that was deleted', async () => {
    const { id } = await newPeer()
    const { store } = await setUp('table')
    await store.merge(id, { multiaddrs: [multiaddr(`${FIRST}/p2p/${id}`)] })
    assert.deepEqual((await store.getInfo(id)).multiaddrs.map(String), [String(FIRST)])
    await store.delete(id)
    assert.equal(await store.has(id), false)
    await assert.rejects(store.get(id), { name: 'NotFoundError' })
  })

  test('forgets tags when their time is over, addresses after six hours, peers after two days, never ourselves', async () => {
    const { id } = await newPeer()
    const { store, self, clock } = await setUp('table')
    await store.merge(self, { multiaddrs: [FIRST] })
    await store.merge(id, { multiaddrs: [FIRST], tags: { short: { value: 1, ttl: 1000 }, long: { value: 2 } } })
    clock.ms += 1001
    assert.equal(words(await store.get(id)), `${FIRST} |  | long=2 | `)
    clock.ms += 3 * HOUR_MS
    await store.merge(id, { multiaddrs: [FIRST, SECOND] })
    clock.ms += 3 * HOUR_MS
    assert.equal(words(await store.get(id)), `${SECOND} |  | long=2 | `, 'what is known already makes no event')
    clock.ms += 48 * HOUR_MS
    assert.equal(await store.has(id), false)
    assert.equal(words(await store.get(self)), `${FIRST} |  |  | `)
  })

  test('holds a bounded number of peers, and lets those go that were not written to for longest', async () => {
    const { store, self } = await setUp('table')
    await store.merge(self, { protocols: ['/a'] })
    const { id: oldest } = await newPeer()
    const { id: renewed } = await newPeer()
    await store.merge(oldest, { protocols: ['/a'] })
    await store.merge(renewed, { protocols: ['/a'] })
    // Ids by number: keys would take longer than the test.
    const numbered = (index: number): PeerId =>
      Object.assign(Object.create(oldest), { toString: () => `peer ${index}`, equals: () => false })
    for (let index = 4; index < MAX_PEERS; index++) await store.merge(numbered(index), { protocols: ['/a'] })
    await store.merge(renewed, { protocols: ['/b'] })
    await store.merge(numbered(0), { protocols: ['/a'] })
    assert.deepEqual([await store.has(oldest), await store.has(renewed), await store.has(self)], [true, true, true])
    await store.merge(numbered(1), { protocols: ['/a'] })
    assert.deepEqual([await store.has(oldest), await store.has(renewed), await store.has(self)], [false, true, true])
  })

  test('refuses a key that is not the peer’s', async () => {
    const [{ id }, { privateKey }] = [await newPeer(), await newPeer()]
    const { store } = await setUp('table')
    await assert.rejects(store.merge(id, { publicKey: privateKey.publicKey }), { name: 'InvalidParametersError' })
  })
})
