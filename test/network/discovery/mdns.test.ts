import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { after, it } from 'node:test'
import { Arrivals, Hosts } from '../support.ts'

const hosts = new Hosts()
after(() => hosts.stop())

/** Whether a datagram to the multicast group of mDNS comes back to this machine. */
async function multicastWorks(): Promise<boolean> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  try {
    socket.bind(0, '0.0.0.0')
    await once(socket, 'listening')
    socket.addMembership('224.0.0.251')
    socket.setMulticastLoopback(true)
    const arrived = once(socket, 'message', { signal: AbortSignal.timeout(1000) })
    socket.send('probe', socket.address().port, '224.0.0.251', () => {})
    await arrived
    return true
  } catch {
    return false
  } finally {
    socket.close()
  }
}

const skip = (await multicastWorks()) ? false : 'no multicast on this machine'

it('hosts on one network find each other by mDNS, and only those of the same tag', { skip }, async () => {
  const options = { mdns: true, mdnsTag: `_swarm-${process.pid}._udp.local`, dht: false, listen: ['/ip4/0.0.0.0/tcp/0'] }
  const a = await hosts.create(options)
  const other = await hosts.create({ ...options, mdnsTag: `_other-${process.pid}._udp.local` })
  const seen = new Arrivals<{ peer: string; addresses: string[] }>()
  a.onPeer((peer, addresses) => seen.push({ peer, addresses }))
  other.onPeer(peer => assert.fail(`${peer} has another tag`))
  const b = await hosts.create(options)
  const [found] = await seen.until(1, 'peer')
  assert.equal(found?.peer, b.peer)
  assert.equal(await a.bootstrap(`${found?.addresses[0]?.replace(/\/p2p\/.*/, '')}/p2p/${b.peer}`), b.peer)
})
