import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { GOSSIPSUB_OPTIONS, topicOf } from '../../src/network/gossip.ts'
import type { AvailabilityGossip } from '../../src/network/types.ts'
import { encodeHex } from '../../src/util/bytes.ts'
import { encodeGossip } from '../../src/wire/gossip.ts'
import { Arrivals, Hosts, rootOf, until } from './support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const ROOT = rootOf(5)

function gossipOf(peer: string, addresses: string[] = []): AvailabilityGossip {
  return { peer, addresses, pieceCount: 16, bits: Uint8Array.of(0xff, 0x0f) }
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
    const liar = await createLibp2p({
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false },
      services: { identify: identify(), pubsub: gossipsub(GOSSIPSUB_OPTIONS) }
    })
    try {
      const { pubsub } = liar.services
      const topic = topicOf(ROOT)
      pubsub.subscribe(topic)
      await liar.dial(multiaddr(host.addresses()[0] as string))
      await until(() => pubsub.getSubscribers(topic).length > 0, 'subscribed')
      await pubsub.publish(topic, encodeGossip(gossipOf(host.peer)))
      await pubsub.publish(topic, new Uint8Array(100).fill(7))
      await pubsub.publish(topic, encodeGossip(gossipOf(liar.peerId.toString())))
      assert.equal((await heard.until(1, 'gossip'))[0]?.peer, liar.peerId.toString())
      assert.equal(heard.all.length, 1)
      assert.ok(lines.some(line => line.includes('did not sign')))
      assert.ok(lines.some(line => line.includes('malformed')))
    } finally {
      await liar.stop()
    }
  })

  it('does not name the root in its topic', () => {
    assert.ok(!topicOf(ROOT).includes(encodeHex(ROOT)))
  })
})
