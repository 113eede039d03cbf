import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryDatastore } from 'datastore-core'
import fc from 'fast-check'
import { type Datastore, Key } from 'interface-datastore'
import { MAX_ENTRIES, MAX_PROVIDERS, RecordStore } from '../../src/network/record-store.ts'

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

  it('keeps the latest providers of a key, up to its bound', async () => {
    const store = new RecordStore()
    for (let i = 0; i < MAX_PROVIDERS + 10; i++) store.put(new Key(`/dht/provider/k/p${i}`), Uint8Array.of(1))
    const kept = await keysOf(store, '/dht/provider/k')
    assert.equal(kept.length, MAX_PROVIDERS)
    assert.ok(!kept.includes('/dht/provider/k/p9'))
    assert.ok(kept.includes(`/dht/provider/k/p${MAX_PROVIDERS + 9}`))
  })

  it('holds no more than its bound in all', () => {
    const store = new RecordStore()
    for (let i = 0; i < MAX_ENTRIES + 5; i++) store.put(new Key(`/dht/provider/k${i}/p`), Uint8Array.of(1))
    assert.ok(!store.has(new Key('/dht/provider/k4/p')))
    assert.ok(store.has(new Key('/dht/provider/k5/p')))
  })
})
