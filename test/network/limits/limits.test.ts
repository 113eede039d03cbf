import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { MultiaddrConnection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { Doorkeeper } from '../../../src/network/limits/doorkeeper.ts'
import { Refusals } from '../../../src/network/limits/refusals.ts'
import { remoteAddressOf } from '../../../src/network/limits/remote-address.ts'
import { NETWORK_LIMITS, type NetworkLimits } from '../../../src/network/limits/table.ts'
import { Tally } from '../../../src/network/limits/tally.ts'
import { TokenBuckets } from '../../../src/network/limits/token-bucket.ts'

describe('an address', () => {
  for (const [text, address, prefix, isPrivate] of [
    ['/ip4/203.0.113.7/tcp/1', '203.0.113.7', '203.0.113.0/24', false],
    ['/ip4/127.0.0.1/tcp/1', '127.0.0.1', '127.0.0.0/24', true],
    ['/ip4/10.1.2.3/tcp/1', '10.1.2.3', '10.1.2.0/24', true],
    ['/ip4/172.31.0.1/tcp/1', '172.31.0.1', '172.31.0.0/24', true],
    ['/ip4/172.32.0.1/tcp/1', '172.32.0.1', '172.32.0.0/24', false],
    ['/ip6/2001:db8:1:2:3:4:5:6/tcp/1', '2001:db8:1:2::/64', '2001:db8:1::/48', false],
    ['/ip6/2001:db8::1/tcp/1', '2001:db8:0:0::/64', '2001:db8:0::/48', false],
    ['/ip6/::1/tcp/1', '::1', '::1', true],
    ['/ip6/fe80::1/tcp/1', 'fe80:0:0:0::/64', 'fe80:0:0::/48', true],
    ['/ip6/::ffff:203.0.113.7/tcp/1', '203.0.113.7', '203.0.113.0/24', false],
    ['/dns4/example.com/tcp/1', 'unknown', 'unknown', false]
  ] as const) {
    it(`${text} is of ${address}, in ${prefix}`, () => {
      assert.deepEqual(remoteAddressOf(multiaddr(text)), { address, prefix, isPrivate })
    })
  }
})

describe('a budget', () => {
  it('allows its burst at once, then its rate, and keeps keys apart', () => {
    const buckets = new TokenBuckets()
    const rate = { perSecond: 10, burst: 5 }
    const taken = (nowMs: number) => Array.from({ length: 20 }, () => buckets.take('a', rate, nowMs)).filter(Boolean).length
    assert.equal(taken(0), 5)
    assert.equal(taken(100), 1)
    assert.equal(taken(10_000), 5)
    assert.equal(buckets.take('b', rate, 10_000), true)
    assert.equal(buckets.take('b', rate, 10_000, 5), false)
  })

  it('holds no more than so many keys', () => {
    const buckets = new TokenBuckets()
    const rate = { perSecond: 1, burst: 1 }
    for (let i = 0; i < 20_001; i++) assert.equal(buckets.take(`key ${i}`, rate, 0), true)
    assert.equal(buckets.take('key 20000', rate, 0), false)
    // The first was forgotten, and is as good as new.
    assert.equal(buckets.take('key 0', rate, 0), true)
  })
})

describe('a tally', () => {
  it('bounds an address, and a prefix of many addresses; a private one is freer', () => {
    const tally = new Tally(NETWORK_LIMITS, 'pieceLists')
    const fill = (text: (i: number) => string): number => {
      for (let i = 0; ; i++) {
        const from = remoteAddressOf(multiaddr(text(i)))
        if (!tally.hasRoom(from)) return i
        tally.add(from)
      }
    }
    assert.equal(
      fill(() => '/ip4/203.0.113.1/tcp/1'),
      NETWORK_LIMITS.publicAddress.pieceLists
    )
    assert.equal(
      fill(i => `/ip4/198.51.100.${i}/tcp/1`),
      NETWORK_LIMITS.publicPrefix.pieceLists
    )
    assert.equal(
      fill(() => '/ip4/192.168.0.1/tcp/1'),
      NETWORK_LIMITS.privateAddress.pieceLists
    )
    const from = remoteAddressOf(multiaddr('/ip4/203.0.113.1/tcp/1'))
    tally.add(from, -1)
    assert.equal(tally.hasRoom(from), true)
  })
})

class FakeConnection extends EventTarget {
  readonly remoteAddr: ReturnType<typeof multiaddr>
  readonly socket: { bytesRead: number }
  abortedWith: string | undefined

  constructor(host: string, bytesRead = 1) {
    super()
    this.remoteAddr = multiaddr(`/ip4/${host}/tcp/1`)
    // Looks like a TCP connection of libp2p's as far as the doorkeeper cares.
    this.socket = { bytesRead }
  }

  abort(err: Error): void {
    this.abortedWith = err.message
    this.dispatchEvent(new Event('close'))
  }
}

describe('the doorkeeper', () => {
  const scope = { ...NETWORK_LIMITS.publicAddress, pending: 2, open: 4, handshakesPerSecond: 1, handshakeBurst: 100 }
  const limits: NetworkLimits = {
    ...NETWORK_LIMITS,
    publicAddress: scope,
    publicPrefix: { ...scope, pending: 100, open: 100 },
    total: { ...NETWORK_LIMITS.total, pending: 5 },
    firstByteMs: 50
  }

  function keeper(overrides: Partial<NetworkLimits> = {}) {
    const refusals = new Refusals(() => {})
    const connections = new Set<FakeConnection>()
    const neighbours = new Set<string>()
    const door = new Doorkeeper({
      limits: { ...limits, ...overrides },
      maxConnections: 6,
      refusals,
      connectionCount: () => connections.size,
      isNeighbour: peer => neighbours.has(peer)
    })
    const knock = (host: string, bytesRead = 1) => {
      const connection = new FakeConnection(host, bytesRead)
      const isAdmitted = door.admit(connection as unknown as MultiaddrConnection)
      if (!isAdmitted) return undefined
      connections.add(connection)
      connection.addEventListener('close', () => connections.delete(connection))
      return connection
    }
    const upgrade = (connection: FakeConnection | undefined, peer: string) =>
      door.handleUpgraded(connection as unknown as MultiaddrConnection, peer)
    return { refusals, neighbours, knock, upgrade }
  }

  it('lets the oldest silent connection of an address give way to its next, and refuses it when none is silent', () => {
    const { knock, refusals } = keeper()
    const first = knock('203.0.113.1', 0)
    assert.ok(knock('203.0.113.1'))
    assert.ok(knock('203.0.113.1'))
    assert.match(first?.abortedWith ?? '', /silent/)
    assert.equal(knock('203.0.113.1'), undefined)
    assert.equal(refusals.counts.get('connection-silent'), 1)
    assert.equal(refusals.counts.get('connection-pending'), 1)
    assert.ok(knock('203.0.113.2'), 'another address is let in')
  })

  it('lets the busiest address give way when all together have too many handshakes under way', () => {
    const { knock } = keeper()
    const busy = [knock('203.0.113.1'), knock('203.0.113.1')]
    for (const host of ['198.51.100.1', '198.51.100.2', '198.51.100.3']) assert.ok(knock(host))
    assert.ok(knock('198.51.100.4'))
    assert.match(busy[0]?.abortedWith ?? '', /pending/)
    assert.equal(busy[1]?.abortedWith, undefined)
  })

  it('closes a connection of the busiest address when there are too many, but none that carries a peer stream', () => {
    const { knock, upgrade, neighbours } = keeper()
    const busy = ['a', 'b', 'c', 'd'].map(peer => {
      const connection = knock('203.0.113.1')
      upgrade(connection, peer)
      return connection
    })
    assert.equal(knock('203.0.113.1'), undefined, 'no address has more than its share')
    neighbours.add('a')
    for (const host of ['198.51.100.1', '198.51.100.2']) upgrade(knock(host), host)
    assert.ok(knock('198.51.100.3'))
    assert.equal(busy[0]?.abortedWith, undefined)
    assert.match(busy[1]?.abortedWith ?? '', /open/)
    for (const peer of ['c', 'd']) neighbours.add(peer)
    assert.equal(knock('198.51.100.4'), undefined, 'an address no busier than others pushes none of them out')
  })

  it('bounds handshakes in a second', () => {
    const { knock, refusals } = keeper({ publicAddress: { ...scope, pending: 100, open: 100, handshakeBurst: 3 } })
    for (let i = 0; i < 5; i++) knock('203.0.113.1')?.abort(new Error('gone'))
    assert.equal(refusals.counts.get('connection-rate'), 2)
  })

  it('closes a connection that brings no byte in time, and no other', async (t: TestContext) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { knock, upgrade } = keeper()
    const silent = knock('203.0.113.1', 0)
    const talking = knock('203.0.113.2')
    const upgraded = knock('203.0.113.3', 0)
    upgrade(upgraded, 'peer')
    t.mock.timers.tick(49)
    await new Promise(setImmediate)
    assert.equal(silent?.abortedWith, undefined)
    t.mock.timers.tick(1)
    await new Promise(setImmediate)
    assert.match(silent?.abortedWith ?? '', /silent/)
    assert.equal(talking?.abortedWith, undefined)
    assert.equal(upgraded?.abortedWith, undefined)
  })
})

describe('refusals', () => {
  it('are counted by kind, and told once a minute with the busiest address', (t: TestContext) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const lines: string[] = []
    const refusals = new Refusals(line => lines.push(line))
    for (const address of ['203.0.113.1', '203.0.113.2', '203.0.113.2']) refusals.count('connection-rate', address)
    refusals.count('gossip', '203.0.113.9')
    t.mock.timers.tick(59_999)
    assert.deepEqual(lines, [])
    t.mock.timers.tick(1)
    assert.deepEqual(lines, [
      'limits: refused 3 x connection-rate, 2 of them from 203.0.113.2',
      'limits: refused 1 x gossip, 1 of them from 203.0.113.9'
    ])
    t.mock.timers.tick(600_000)
    assert.equal(lines.length, 2)
    assert.equal(refusals.counts.get('connection-rate'), 3)
    assert.equal(refusals.counts.get('banned'), 0)
  })
})
