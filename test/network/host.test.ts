import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Identify } from '@libp2p/identify'
import type { Startable } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { NoPeersError, NotFoundError, ProtocolError } from '../../src/errors.ts'
import { createStockNode } from './stock-peer.ts'
import { Hosts, listenerFor, RecordedPeerStream, rootOf, until } from './support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const ROOT = rootOf(1)
const IDENTIFY_PROTOCOL = '/ipfs/id/1.0.0'

/** Both ends of one peer stream between two new hosts. */
async function connected(): Promise<[RecordedPeerStream, RecordedPeerStream]> {
  const a = await hosts.create()
  const b = await hosts.create()
  const listener = listenerFor(ROOT)
  b.listen(listener)
  const left = new RecordedPeerStream(await a.connect(b.peer, b.addresses(), listenerFor(ROOT)))
  const [right] = await listener.peerStreams.until(1, 'link')
  assert.ok(right)
  return [left, right]
}

describe('a host', () => {
  for (const [left, right, expected] of [
    ['tls', 'tls', 'tls'],
    ['noise', 'noise', 'noise'],
    ['noise', 'tls', 'noise'],
    ['tls', 'noise', 'noise']
  ] as const) {
    it(`links a node of encryption ${left} to one of ${right} by ${expected}, with hellos exchanged`, async () => {
      const a = await hosts.create({ encryption: left })
      const b = await hosts.create({ encryption: right })
      const listener = listenerFor(ROOT, { hello: { ...listenerFor(ROOT).hello, labels: { rack: 'r1' } } })
      b.listen(listener)
      const peerStream = await a.connect(b.peer, b.addresses(), listenerFor(ROOT))
      assert.equal(peerStream.peer, b.peer)
      assert.equal(peerStream.initiator, true)
      assert.equal(peerStream.encryption, expected)
      assert.deepEqual(peerStream.hello.labels, { rack: 'r1' })
      const [accepted] = await listener.peerStreams.until(1, 'link')
      assert.equal(accepted?.peerStream.peer, a.peer)
      assert.equal(accepted?.peerStream.initiator, false)
      assert.ok(a.rttMs(b.peer) !== undefined)
    })
  }

  it('refuses a root that it does not know, a content of another piece count, and whom the listener refuses', async () => {
    const a = await hosts.create()
    const b = await hosts.create()
    const refusedAs = (reason: RegExp) => (err: unknown) => err instanceof ProtocolError && reason.test(err.reason)
    await assert.rejects(a.connect(b.peer, b.addresses(), listenerFor(ROOT)), refusedAs(/unknown root/))
    const stopRefusing = b.listen(listenerFor(ROOT, { accepts: () => false }))
    await assert.rejects(a.connect(b.peer, b.addresses(), listenerFor(ROOT)), refusedAs(/refused/))
    stopRefusing()
    const stop = b.listen(listenerFor(ROOT))
    const other = listenerFor(ROOT, { hello: { ...listenerFor(ROOT).hello, pieceCount: 65 } })
    await assert.rejects(a.connect(b.peer, b.addresses(), other), refusedAs(/piece count/))
    stop()
    await assert.rejects(a.connect(b.peer, b.addresses(), listenerFor(ROOT)), refusedAs(/unknown root/))
  })

  it('knows where a peer listens that dialled it, as long as it is connected', async () => {
    const a = await hosts.create()
    const b = await hosts.create()
    b.listen(listenerFor(ROOT))
    await a.connect(b.peer, b.addresses(), listenerFor(ROOT))
    await until(() => b.addressesOf(a.peer).length > 0, 'it said where it listens')
    assert.deepEqual(
      b.addressesOf(a.peer),
      a.addresses().map(address => address.replace(`/p2p/${a.peer}`, ''))
    )
    await a.stop()
    await until(() => b.addressesOf(a.peer).length === 0, 'it is gone')
  })

  it('asks a peer who it is until it answers, and once however many connections there are', async () => {
    const host = await hosts.create()
    const stock = await createStockNode('tls')
    try {
      const { identify } = stock.services as { identify: Identify & Startable }
      let asked = 0
      const refuseOnce = async (thenAnswer: boolean) => {
        await identify.stop()
        await stock.handle(IDENTIFY_PROTOCOL, async stream => {
          asked++
          if (thenAnswer) {
            await stock.unhandle(IDENTIFY_PROTOCOL)
            await identify.start()
          }
          stream.abort(new Error('busy'))
        })
      }
      await refuseOnce(true)
      const [address] = host.addresses()
      await stock.dial(multiaddr(address))
      const peer = stock.peerId.toString()
      await until(() => host.addressesOf(peer).length > 0, 'it said where it listens')
      assert.equal(asked, 1)
      await refuseOnce(false)
      const second = await stock.dial(multiaddr(address), { force: true })
      // The host would have asked when the connection opened, long before it answers this.
      await (stock.services as { ping: Ping }).ping.ping(second.remotePeer)
      assert.equal(stock.getConnections(second.remotePeer).length, 2)
      assert.equal(asked, 1)
    } finally {
      await stock.stop()
    }
  })

  it('says that a peer cannot be reached', async () => {
    const a = await hosts.create()
    const b = await hosts.create()
    const addresses = b.addresses()
    await b.stop()
    await assert.rejects(a.connect(b.peer, addresses, listenerFor(ROOT)), NoPeersError)
    await assert.rejects(a.connect('not a peer id', [], listenerFor(ROOT)), NoPeersError)
    await assert.rejects(a.connect(b.peer, ['nonsense', '/ip4/999.1.1.1'], listenerFor(ROOT)), NoPeersError)
  })

  it('carries messages and pieces both ways, and the reason of a goodbye', async () => {
    const [left, right] = await connected()
    left.peerStream.send({ type: 'bitfield', bits: new Uint8Array(8) })
    left.peerStream.send({ type: 'request', pieces: [3, 5], urgent: false })
    assert.deepEqual((await right.messages.until(2, 'message')).at(1), { type: 'request', pieces: [3, 5], urgent: false })
    const data = Uint8Array.from({ length: 200_001 }, (_, i) => i * 7)
    await right.peerStream.sendPiece({ piece: 5, bytes: data.byteLength }, data)
    const [piece] = await left.pieces.until(1, 'piece')
    assert.deepEqual(piece?.header, { piece: 5, bytes: data.byteLength })
    assert.deepEqual(new Uint8Array(piece?.data ?? []), data)
    assert.ok(left.peerStream.bytesIn > data.byteLength)
    right.peerStream.close('enough')
    assert.deepEqual(await left.closed.until(1, 'end'), ['enough'])
    assert.deepEqual(await right.closed.until(1, 'end'), ['enough'])
  })

  it('sends urgent pieces before those that have not begun, each kind in order', async () => {
    const [left, right] = await connected()
    left.peerStream.send({ type: 'request', pieces: [1, 2, 3, 4], urgent: false })
    await right.messages.until(1, 'message')
    const data = new Uint8Array(1000)
    for (const piece of [1, 2, 3, 4]) void right.peerStream.sendPiece({ piece, bytes: data.byteLength }, data, piece > 2)
    const pieces = await left.pieces.until(4, 'pieces')
    assert.deepEqual(
      pieces.map(({ header }) => header.piece),
      [3, 4, 1, 2]
    )
  })

  it('says goodbye on all peer streams when it stops', async () => {
    const a = await hosts.create()
    const b = await hosts.create()
    const listener = listenerFor(ROOT)
    b.listen(listener)
    await a.connect(b.peer, b.addresses(), listenerFor(ROOT))
    const [left] = await listener.peerStreams.until(1, 'link')
    await a.stop()
    assert.deepEqual(await left?.closed.until(1, 'end'), ['leaving'])
  })

  it('fetches a piece list of some megabytes by root, and says when the peer has none', async () => {
    const a = await hosts.create()
    const b = await hosts.create()
    const list = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 13)
    b.listen(listenerFor(ROOT, { pieceList: () => list }))
    const fetched = await a.fetchPieceList(b.peer, b.addresses(), ROOT, 4_000_000)
    assert.deepEqual(fetched, list)
    await assert.rejects(a.fetchPieceList(b.peer, [], rootOf(9), 4_000_000), NotFoundError)
    await assert.rejects(a.fetchPieceList(b.peer, [], ROOT, 2_999_999), ProtocolError)
  })
})
