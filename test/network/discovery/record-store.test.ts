import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryDatastore } from 'datastore-core'
import fc from 'fast-check'
import { type Datastore, Key } from 'interface-datastore'
import { MAX_ENTRIES, MAX_OF_ADDRESS, MAX_PROVIDERS, RecordStore } from '../../../src/network/discovery/record-store.ts'
import { remoteAddressOf } from '../../../src/network/limits/remote-address.ts'

async function keysOf(store: Datastore, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.query({ prefix })) keys.push(key.toString())
  return keys.sort()
}

const names = [
  '/peers/a',
  '/peers/b',
  '/dht/record/x',
  '/dht/provider/k1/p1',
  '/dht/provider/k1/p2',
  '/dht/provider/k12/p1',
  '/top'
]
const prefixes = ['/peers', '/dht/provider', '/dht/provider/k1', '/dht/provider/k12', '/dht/provider/none', '/', '/dht']

describe('the record store', () => {
  it('answers like the stock store below its bounds', async () => {
    const operation = fc.tuple(fc.constantFrom('put', 'delete'), fc.constantFrom(...names))
    await fc.assert(
      fc.asyncProperty(fc.array(operation), async operations => {
        const ours = new RecordStore()
        const stock = new MemoryDatastore()
        for (const [what, name] of operations) {
          for (const store of [ours, stock]) {
            if (what === 'put') await store.put(new Key(name), Uint8Array.of(1))
            else await store.delete(new Key(name))
          }
        }
        for (const name of names) assert.equal(ours.has(new Key(name)), await stock.has(new Key(name)))
        for (const prefix of prefixes) {
          const expected = await keysOf(stock, prefix)
          // A prefix in the middle of a name matches in the stock store; the DHT never asks so.
          const isWhole = (key: string) => prefix === '/' || key.startsWith(`${prefix}/`)
          assert.deepEqual((await keysOf(ours, prefix)).filter(isWhole), expected.filter(isWhole))
        }
      })
    )
  })

  it('keeps the oldest providers of a key up to its bound, and one of each place when there are more', async () => {
    const hostOf = (peer: string) => (peer.startsWith('flood') ? '203.0.113.9' : peer)
    const store = new RecordStore(peer => remoteAddressOf(multiaddr(`/ip4/${hostOf(peer)}/tcp/1`)))
    const put = (peer: string) => store.put(new Key(`/dht/provider/k/${peer}`), Uint8Array.of(1))
    put('198.51.100.1')
    for (let i = 0; i < 1000; i++) put(`flood${i}`)
    const kept = async () => (await keysOf(store, '/dht/provider/k')).map(key => key.split('/').at(-1) as string)
    assert.equal((await kept()).length, MAX_PROVIDERS)
    assert.ok((await kept()).includes('198.51.100.1'))
    // Others still get in, and the flood is left with one.
    const others = Array.from({ length: MAX_PROVIDERS - 2 }, (_, i) => `192.0.${i}.1`)
    for (const peer of [...others, '10.0.0.1', '10.0.0.2']) put(peer)
    const full = await kept()
    assert.equal(full.length, MAX_PROVIDERS)
    assert.deepEqual(
      full.filter(peer => peer.startsWith('flood')),
      ['flood0']
    )
    assert.ok(full.includes('198.51.100.1') && others.every(peer => full.includes(peer)))
    assert.ok(!full.includes('10.0.0.1'), 'the oldest stay')
    put('192.0.5.77')
    assert.ok(!(await kept()).includes('192.0.5.77'), 'a place has one')
  })

  it('holds no more than its bound of an address, the oldest of which go, and forgets what is deleted', () => {
    const store = new RecordStore(() => remoteAddressOf(multiaddr('/ip4/203.0.113.9/tcp/1')))
    const key = (i: number) => new Key(`/dht/provider/k${i}/p`)
    store.put(key(0), Uint8Array.of(1))
    store.delete(key(0))
    for (let i = 1; i <= MAX_OF_ADDRESS; i++) store.put(key(i), Uint8Array.of(1))
    // Written again, so that it is not the oldest.
    store.put(key(1), Uint8Array.of(2))
    store.put(key(MAX_OF_ADDRESS + 1), Uint8Array.of(1))
    assert.ok(store.has(key(1)))
    assert.ok(!store.has(key(2)))
    assert.ok(store.has(key(MAX_OF_ADDRESS + 1)))
  })

  it('holds no more than its bound in all', () => {
    const store = new RecordStore()
    for (let i = 0; i < MAX_ENTRIES + 5; i++) store.put(new Key(`/dht/provider/k${i}/p`), Uint8Array.of(1))
    assert.ok(!store.has(new Key('/dht/provider/k4/p')))
    assert.ok(store.has(new Key('/dht/provider/k5/p')))
  })
})
