import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Libp2p } from 'libp2p'
import { PIECES_PROTOCOL } from '../../src/wire/messages.ts'
import { createStockNode, openStock, StockStream } from './stock-peer.ts'
import { Arrivals, Hosts, listenerFor, RecordedPeerStream, rootOf } from './support.ts'

const hosts = new Hosts()
const stockNodes: Libp2p[] = []
afterEach(async () => {
  await hosts.stop()
  await Promise.all(stockNodes.splice(0).map(node => node.stop()))
})

async function stock(encryption: 'tls' | 'noise' | 'both'): Promise<Libp2p> {
  const node = await createStockNode(encryption)
  stockNodes.push(node)
  return node
}

const ROOT = rootOf(2)
const PIECE = Uint8Array.from({ length: 256 * 1024 }, (_, i) => i * 31 + (i >> 8))

describe('a peer built from unmodified libp2p modules', () => {
  for (const encryption of ['tls', 'noise', 'both'] as const) {
    const negotiated = encryption === 'both' ? 'tls' : encryption

    it(`with encryption ${encryption} joins, gets a piece and serves one when it dials us`, async () => {
      const host = await hosts.create()
      const node = await stock(encryption)
      const listener = listenerFor(ROOT)
      host.listen(listener)
      const theirs = await openStock(node, host.addresses()[0] as string)
      theirs.hello(ROOT)
      const [ours] = await listener.peerStreams.until(1, 'link')
      assert.ok(ours)
      assert.equal(ours.peerStream.encryption, negotiated)
      await exchange(ours, theirs)
    })

    it(`with encryption ${encryption} joins, gets a piece and serves one when we dial it`, async () => {
      const host = await hosts.create()
      const node = await stock(encryption)
      const streams = new Arrivals<StockStream>()
      await node.handle(PIECES_PROTOCOL, (stream, connection) => {
        const theirs = new StockStream(stream, connection, node.peerId.toString(), false)
        theirs.hello(ROOT)
        streams.push(theirs)
      })
      const addresses = node.getMultiaddrs().map(address => address.toString())
      const ours = new RecordedPeerStream(await host.connect(node.peerId.toString(), addresses, listenerFor(ROOT)))
      const [theirs] = await streams.until(1, 'stream')
      assert.ok(theirs)
      assert.equal(ours.peerStream.encryption, negotiated)
      await exchange(ours, theirs)
    })
  }

  it('reaches a host that offers noise only', async () => {
    const host = await hosts.create({ encryption: 'noise' })
    const node = await stock('both')
    const listener = listenerFor(ROOT)
    host.listen(listener)
    const theirs = await openStock(node, host.addresses()[0] as string)
    theirs.hello(ROOT)
    const [ours] = await listener.peerStreams.until(1, 'link')
    assert.equal(ours?.peerStream.encryption, 'noise')
  })
})

/** Each gives the other eight pieces that it asked for, both ways at once. */
async function exchange(ours: RecordedPeerStream, theirs: StockStream): Promise<void> {
  const pieces = [0, 1, 2, 3, 4, 5, 6, 7]
  const [hello] = await theirs.arrived.until(1, 'hello')
  assert.equal(hello?.type, 'hello')
  theirs.say({ type: 'request', pieces, urgent: false })
  ours.peerStream.send({ type: 'request', pieces, urgent: false })
  await ours.messages.until(1, 'request')
  await theirs.arrived.until(2, 'request')
  for (const piece of pieces) theirs.piece(piece, PIECE)
  await Promise.all(pieces.map(piece => ours.peerStream.sendPiece({ piece, bytes: PIECE.byteLength }, PIECE)))
  for (const { data } of await ours.pieces.until(pieces.length, 'piece')) assert.deepEqual(new Uint8Array(data), PIECE)
  const got = (await theirs.arrived.until(2 + pieces.length, 'piece')).slice(2)
  for (const piece of got) assert.deepEqual(piece.type === 'piece' ? piece.data : undefined, PIECE)
  ours.peerStream.close('thank you')
  await theirs.closed.until(1, 'end')
  assert.deepEqual(theirs.arrived.all.at(-1), { type: 'goodbye', reason: 'thank you' })
}
