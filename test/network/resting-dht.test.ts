import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { peerDiscoverySymbol } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { dhtKey } from '../../src/content/dht-key.ts'
import { type DhtComponents, RestingDht } from '../../src/network/resting-dht.ts'

const KEY = dhtKey(new Uint8Array(32))

type Handler = (stream: unknown, connection: unknown) => unknown

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = []
  for await (const item of items) collected.push(item)
  return collected
}

/** A registrar that holds one handler, and a DHT module that counts how often it was loaded. */
function setUp() {
  let handler: Handler = () => {}
  let loaded = 0
  const answered: unknown[] = []
  const components = {
    registrar: {
      handle: async (_: string, given: Handler) => {
        handler = given
      },
      getHandler: () => ({ handler })
    },
    connectionManager: { getConnections: () => [] }
  } as unknown as DhtComponents
  const module = {
    start: async () => {
      handler = stream => answered.push(stream)
    },
    stop: async () => {},
    [peerDiscoverySymbol]: new EventTarget(),
    async *provide() {
      yield { name: 'PROVIDER' }
    }
  } as unknown as KadDHT
  const load = async () => {
    loaded++
    return module
  }
  const dht = new RestingDht(components, { protocol: '/kad', load, log: () => {} })
  return { dht, answered, ask: (stream: object) => handler(stream, {}), loaded: () => loaded }
}

describe('a DHT at rest', () => {
  test('is not loaded, and tells nobody, while it is of no use', async () => {
    const { dht, loaded } = setUp()
    dht.isUseful = () => false
    await dht.start()
    assert.deepEqual(await collect(dht.provide(KEY)), [])
    assert.deepEqual(await collect(dht.findProviders(KEY)), [])
    assert.equal(loaded(), 0)
  })

  test('is loaded once as soon as it is of use', async () => {
    const { dht, loaded } = setUp()
    await dht.start()
    const told = await Promise.all([collect(dht.provide(KEY)), collect(dht.provide(KEY))])
    assert.deepEqual(
      told.map(events => events.length),
      [1, 1]
    )
    assert.equal(loaded(), 1)
  })

  test('answers who asks, whether it is of use to us or not', async () => {
    const { dht, answered, ask } = setUp()
    dht.isUseful = () => false
    await dht.start()
    const stream = {}
    await ask(stream)
    assert.equal(answered[0], stream)
    assert.equal((await collect(dht.provide(KEY))).length, 1)
  })
})
