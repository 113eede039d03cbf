import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { peerDiscoverySymbol } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { dhtKey } from '../../../src/content/dht-key.ts'
import { type DhtComponents, OnDemandDht } from '../../../src/network/discovery/on-demand-dht.ts'

const KEY = dhtKey(new Uint8Array(32))

type Handler = (stream: unknown, connection: unknown) => unknown

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = []
  for await (const item of items) collected.push(item)
  return collected
}

/** A registrar that holds one handler, and a DHT module that counts how often it was loaded. */
function setUp(serveAfterMs = 0) {
  let handler: Handler | undefined
  let loaded = 0
  const modes: string[] = []
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
    setMode: async (mode: string) => {
      modes.push(mode)
    },
    [peerDiscoverySymbol]: new EventTarget(),
    async *provide() {
      yield { name: 'PROVIDER' }
    }
  } as unknown as KadDHT
  const load = async (_: unknown, clientMode: boolean) => {
    loaded++
    modes.push(clientMode ? 'client' : 'server')
    return module
  }
  const dht = new OnDemandDht(components, { protocol: '/kad', load, log: () => {}, serveAfterMs })
  return {
    dht,
    answered,
    ask: (stream: object) => handler?.(stream, {}),
    isServing: () => handler !== undefined,
    modes,
    loaded: () => loaded
  }
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

  test('only asks as long as it is not to serve, and serves from then on', async context => {
    context.mock.timers.enable({ apis: ['setTimeout'] })
    const { dht, isServing, modes } = setUp(1000)
    await dht.start()
    assert.equal(isServing(), false)
    assert.equal((await collect(dht.provide(KEY))).length, 1)
    assert.deepEqual(modes, ['client'])
    context.mock.timers.tick(1000)
    await dht.wake()
    await Promise.resolve()
    assert.deepEqual(modes, ['client', 'server'])
    await dht.stop()
  })

  test('that was not asked for anything until it is to serve waits for questions, and is loaded to answer', async context => {
    context.mock.timers.enable({ apis: ['setTimeout'] })
    const { dht, ask, isServing, answered, modes } = setUp(1000)
    await dht.start()
    context.mock.timers.tick(1000)
    assert.equal(isServing(), true)
    const stream = {}
    await ask(stream)
    assert.equal(answered[0], stream)
    assert.deepEqual(modes, ['server'])
    await dht.stop()
  })
})
