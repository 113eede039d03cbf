import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { GOSSIPSUB_OPTIONS, topicOf } from '../../../src/network/discovery/gossip.ts'
import { GossipSeal } from '../../../src/network/discovery/gossip-seal.ts'
import type { AvailabilityGossip } from '../../../src/network/types.ts'
import { encodeHex } from '../../../src/util/bytes.ts'
import { encodeGossip } from '../../../src/wire/gossip.ts'
import { Arrivals, Hosts, rootOf, until } from '../support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const ROOT = rootOf(5)

function gossipOf(peer: string, addresses: string[] = []): AvailabilityGossip {
  return { peer, addresses, pieceCount: 16, bits: Uint8Array.of(0xff, 0x0f) }
}

const SEAL = new GossipSeal(ROOT, topicOf(ROOT))

/** A peer of unmodified modules that says what it likes. */
function gossiper() {
  return createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), pubsub: gossipsub(GOSSIPSUB_OPTIONS) }
  })
}

describe('gossip', () => {
  it('reaches a peer that is no neighbour, through a third, even when published before anybody listened', async () => {
    const middle = await hosts.create({ dht: false })
    const a = await hosts.create({ dht: false, bootstrap: middle.addresses() })
    const heard = new Arrivals<AvailabilityGossip>()
    const topic = await a.join(ROOT, () => assert.fail('heard itself'))
    const gossip = gossipOf(a.peer, ['/ip4/127.0.0.1/tcp/1'])
    await topic.publish(gossip)
    const heardInTheMiddle = new Arrivals<AvailabilityGossip>()
    await middle.join(ROOT, gossip => heardInTheMiddle.push(gossip))
    assert.deepEqual(await heardInTheMiddle.until(1, 'gossip'), [gossip])
    const b = await hosts.create({ dht: false, bootstrap: middle.addresses() })
    await b.join(ROOT, gossip => heard.push(gossip))
    await until(() => {
      void topic.publish(gossip)
      return heard.all.length > 0
    }, 'heard by the far one')
    assert.deepEqual(heard.all[0], gossip)
  })

  it('does not reach who left the topic or joined another', async () => {
    const a = await hosts.create({ dht: false })
    const b = await hosts.create({ dht: false, bootstrap: a.addresses() })
    const heard = new Arrivals<AvailabilityGossip>()
    const left = await b.join(ROOT, () => assert.fail('left'))
    left.leave()
    await b.join(rootOf(6), () => assert.fail('another root'))
    await b.join(ROOT, gossip => heard.push(gossip))
    const topic = await a.join(ROOT, () => {})
    await topic.publish(gossipOf(a.peer))
    await heard.until(1, 'gossip')
  })

  it('in the name of another peer, or malformed, is rejected', async () => {
    const lines: string[] = []
    const host = await hosts.create({ dht: false, log: line => lines.push(line) })
    const heard = new Arrivals<AvailabilityGossip>()
    await host.join(ROOT, gossip => heard.push(gossip))
    const liar = await gossiper()
    try {
      const { pubsub } = liar.services
      const topic = topicOf(ROOT)
      pubsub.subscribe(topic)
      await liar.dial(multiaddr(host.addresses()[0] as string))
      await until(() => pubsub.getSubscribers(topic).length > 0, 'subscribed')
      const say = (message: Uint8Array) => pubsub.publish(topic, SEAL.seal(message, liar.peerId.toString()))
      await say(encodeGossip(gossipOf(host.peer)))
      await say(new Uint8Array(100).fill(7))
      await say(encodeGossip(gossipOf(liar.peerId.toString())))
      assert.equal((await heard.until(1, 'gossip'))[0]?.peer, liar.peerId.toString())
      assert.equal(heard.all.length, 1)
      assert.ok(lines.some(line => line.includes('did not sign')))
      assert.ok(lines.some(line => line.includes('malformed')))
    } finally {
      await liar.stop()
    }
  })

  it('of a stranger, or taken from another author or root, is neither heard nor checked further, and soon not listened to', async () => {
    const host = await hosts.create({ dht: false })
    await host.join(ROOT, () => assert.fail('heard'))
    const stranger = await gossiper()
    try {
      const { pubsub } = stranger.services
      const topic = topicOf(ROOT)
      pubsub.subscribe(topic)
      await stranger.dial(multiaddr(host.addresses()[0] as string))
      await until(() => pubsub.getSubscribers(topic).length > 0, 'subscribed')
      const self = stranger.peerId.toString()
      const message = encodeGossip(gossipOf(self))
      const bad = [message, SEAL.seal(message, host.peer), new GossipSeal(rootOf(6), topic).seal(message, self)]
      for (const payload of bad) await pubsub.publish(topic, payload)
      await until(() => host.refusals.get('gossip') === bad.length, 'all were refused')
      for (let i = 0; i < 200; i++) await pubsub.publish(topic, Uint8Array.of(i))
      // What gossipsub does not listen to is not even counted.
      await pubsub.publish(topic, SEAL.seal(message, self))
      await until(() => (host.refusals.get('gossip') ?? 0) > bad.length, 'more was refused')
      assert.ok((host.refusals.get('gossip') ?? 0) <= 203)
    } finally {
      await stranger.stop()
    }
  })

  it('cannot be read without the root, and not be sealed for another author or topic', () => {
    const message = encodeGossip(gossipOf('12D3KooWa', ['/ip4/192.0.2.1/tcp/1']))
    const payload = SEAL.seal(message, '12D3KooWa')
    assert.deepEqual(SEAL.open(payload, '12D3KooWa'), message)
    assert.equal(Buffer.from(payload).indexOf('192.0.2.1'), -1)
    assert.equal(SEAL.open(payload, '12D3KooWb'), undefined)
    assert.equal(new GossipSeal(rootOf(6), topicOf(ROOT)).open(payload, '12D3KooWa'), undefined)
    assert.equal(new GossipSeal(ROOT, topicOf(rootOf(6))).open(payload, '12D3KooWa'), undefined)
    for (const length of [0, 11, 12, 27, payload.byteLength - 1])
      assert.equal(SEAL.open(payload.subarray(0, length), '12D3KooWa'), undefined)
    for (let i = 0; i < payload.byteLength; i++) {
      const changed = payload.slice()
      changed[i] = (changed[i] as number) ^ 1
      assert.equal(SEAL.open(changed, '12D3KooWa'), undefined)
    }
  })

  it('does not name the root in its topic', () => {
    assert.ok(!topicOf(ROOT).includes(encodeHex(ROOT)))
  })
})
