import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { DhtRouter, type DhtService } from '../../../src/network/discovery/dht-router.ts'
import { testRouter } from '../../compliance/router.ts'
import { Hosts, rootOf, until } from '../support.ts'

const hosts = new Hosts()
after(() => hosts.stop())

const bootstrapNode = await hosts.create()

testRouter('the DHT', async count =>
  Promise.all(Array.from({ length: count }, () => hosts.create({ bootstrap: bootstrapNode.addresses() })))
)

describe('a node without the DHT', () => {
  it('tells nobody and finds nobody', async () => {
    const host = await hosts.create({ dht: false })
    assert.equal(await host.router.announce(rootOf(1)), false)
    for await (const { peer } of host.router.find(rootOf(1))) assert.fail(`${peer} was found`)
    await host.router.withdraw(rootOf(1))
  })
})

describe('the bootstrap loop', () => {
  it('finds a bootstrap node that comes up later, and finds it again after it restarted', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'swarm-test-'))
    const first = await hosts.create({ stateDir })
    const [address] = first.addresses()
    assert.ok(address)
    const options = { stateDir, listen: [address.replace(/\/p2p\/.*/, '')] }
    await first.stop()
    let misses = 0
    let contacts = 0
    await hosts.create({
      bootstrap: [address],
      log: line => {
        if (line.includes('does not answer')) misses++
        if (line.includes('reached')) contacts++
      }
    })
    await until(() => misses > 0, 'the first dial failed')
    const second = await hosts.create(options)
    await until(() => contacts === 1, 'reached')
    await second.stop()
    await hosts.create(options)
    await until(() => contacts === 2, 'reached again')
    await rm(stateDir, { recursive: true })
  })
})

describe('a lookup', () => {
  it('connects to no peer that a record names, since that one serves no DHT', async () => {
    const bootstrap = bootstrapNode.addresses()
    const named = await hosts.create({ bootstrap, servesDht: false })
    const asking = await hosts.create({ bootstrap, servesDht: false })
    await until(async () => await named.router.announce(rootOf(7)), 'announced')
    const found: string[] = []
    await until(async () => {
      for await (const { peer } of asking.router.find(rootOf(7))) found.push(peer)
      return found.length > 0
    }, 'found')
    assert.ok(found.includes(named.peer))
    // A connection that is begun later stands, and is identified.
    const later = await hosts.create({ dht: false })
    await asking.bootstrap(later.addresses()[0] as string)
    await until(() => asking.addressesOf(later.peer).length > 0, 'identified')
    assert.deepEqual(asking.addressesOf(named.peer), [])
  })
})

describe('announcements', () => {
  it('are repeated at once when a peer joins that could have been told, and after an address change', async () => {
    let told = 0
    let reachable = false
    const dht: DhtService = {
      async *provide() {
        if (!reachable) throw new Error('nobody there')
        told++
        yield { name: 'PEER_RESPONSE', messageName: 'ADD_PROVIDER', from: 'somebody' } as never
      },
      async *findProviders() {},
      async cancelReprovide() {}
    }
    const router = new DhtRouter(dht, 'self', () => {})
    assert.equal(await router.announce(rootOf(3)), false)
    reachable = true
    router.handlePeerJoined()
    await until(() => told === 1, 'announced again')
    router.handlePeerJoined()
    router.handleAddressesChanged()
    router.handleAddressesChanged()
    await until(() => told === 2, 'announced the new address')
    await router.withdraw(rootOf(3))
    router.handleAddressesChanged()
    router.stop()
    assert.equal(await router.announce(rootOf(3)), false)
    assert.equal(told, 2)
  })
})

describe('a walk', () => {
  /** A DHT in which the peers named, one list per answer, are told one after the other. */
  const walk = async (answers: readonly string[][]): Promise<{ found: string[]; asked: number }> => {
    let asked = 0
    const dht: DhtService = {
      async *provide() {},
      async *findProviders() {
        for (const names of answers) {
          asked++
          const providers = names.map(id => ({ id, multiaddrs: [] }))
          yield { name: 'PEER_RESPONSE', messageName: 'GET_PROVIDERS', providers } as never
        }
      },
      async cancelReprovide() {}
    }
    const router = new DhtRouter(dht, 'self', () => {})
    const found: string[] = []
    for await (const { peer } of router.find(rootOf(4))) found.push(peer)
    router.stop()
    return { found, asked }
  }

  it('that found somebody ends when four answers in a row named nobody new', async () => {
    const silence = Array.from({ length: 10 }, () => ['a'])
    assert.deepEqual(await walk([[], ['a', 'self'], ...silence]), { found: ['a'], asked: 6 })
    assert.deepEqual(await walk([['a'], [], [], [], ['b'], [], [], [], [], ['c']]), { found: ['a', 'b'], asked: 9 })
  })

  it('that found nobody yet asks everybody', async () => {
    const silence = Array.from({ length: 30 }, (): string[] => [])
    assert.deepEqual(await walk([...silence, ['z']]), { found: ['z'], asked: 31 })
  })
})
