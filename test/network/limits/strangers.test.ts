/**
 * What those learn of us who know how a content is called in the DHT, but not its root.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, describe, it } from 'node:test'
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { NotFoundError, ProtocolError } from '../../../src/errors.ts'
import { AnsweringHandshake, OpeningHandshake, type StreamParties } from '../../../src/network/streams/handshake.ts'
import { encodeMessage, FRAME_HEADER_BYTES, FRAME_TYPES } from '../../../src/wire/codec.ts'
import {
  type Answer,
  type Confirm,
  decodeHandshake,
  encodeHandshake,
  type HandshakeFrame,
  type Open,
  prove,
  rootKeyOf
} from '../../../src/wire/handshake.ts'
import { PIECE_CONNECTION_PROTOCOL, PIECE_LIST_PROTOCOL, PIECES_PROTOCOL } from '../../../src/wire/messages.ts'
import { createStockNode, openStock } from '../stock-peer.ts'
import { Arrivals, Hosts, listenerFor, RecordedPeerStream, rootOf } from '../support.ts'

const hosts = new Hosts()
const nodes: Libp2p[] = []
afterEach(async () => {
  await hosts.stop()
  await Promise.all(nodes.splice(0).map(node => node.stop()))
})

const ROOT = rootOf(11)
const LABELS = { rack: 'rack-seven' }
const PROTOCOLS = [PIECES_PROTOCOL, PIECE_CONNECTION_PROTOCOL, PIECE_LIST_PROTOCOL]

async function stock(): Promise<Libp2p> {
  const node = await createStockNode('both')
  nodes.push(node)
  return node
}

/** A host that serves the root, labels and list and all. */
async function member() {
  const host = await hosts.create()
  const listener = listenerFor(ROOT, {
    hello: { ...listenerFor(ROOT).hello, labels: LABELS },
    pieceList: () => new Uint8Array(10_000).fill(0x5a)
  })
  host.listen(listener)
  return { host, listener, address: host.addresses()[0] as string }
}

/** All that comes on a stream up to its end. */
async function everything(stream: Stream): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  const ended = Promise.withResolvers<void>()
  stream.addEventListener('message', ({ data }) => chunks.push(data.subarray().slice()))
  stream.addEventListener('remoteCloseWrite', () => ended.resolve())
  stream.addEventListener('close', () => ended.resolve())
  await ended.promise
  return Buffer.concat(chunks)
}

function openFrame(root: Uint8Array, proof = new Uint8Array(randomBytes(32))): Uint8Array {
  const { digest } = rootKeyOf(root)
  return encodeHandshake({ type: 'open', digest, nonce: new Uint8Array(randomBytes(32)), canBind: false, proof })
}

describe('a stranger that opens a stream', () => {
  for (const protocol of PROTOCOLS) {
    it(`of ${protocol} is told the same whether we serve the root or not`, async () => {
      const { listener, address } = await member()
      const node = await stock()
      const answers: string[] = []
      for (const root of [ROOT, rootOf(12)]) {
        // A piece connection's connection ends with it.
        const connection = await node.dial(multiaddr(address), { force: true })
        const stream = await connection.newStream(protocol)
        stream.send(openFrame(root))
        answers.push((await everything(stream)).toString('latin1'))
      }
      assert.equal(answers[0], answers[1])
      const reason = protocol === PIECE_CONNECTION_PROTOCOL ? 'no link' : 'unknown root'
      assert.equal(answers[0], Buffer.from(encodeMessage({ type: 'goodbye', reason })).toString('latin1'))
      assert.equal(listener.peerStreams.all.length, 0)
    })
  }

  it('is told nothing before it has proven the root, whatever it says', async () => {
    const { listener, address } = await member()
    const node = await stock()
    const connection = await node.dial(multiaddr(address))
    const hello = encodeMessage(listener.hello)
    const confirm = encodeHandshake({ type: 'confirm', proof: new Uint8Array(32) })
    for (const frame of [hello, confirm, encodeMessage({ type: 'have', pieces: [1] })]) {
      const stream = await connection.newStream(PIECES_PROTOCOL)
      stream.send(frame)
      const said = await everything(stream)
      assert.equal(said[4], FRAME_TYPES.goodbye)
      assert.equal(said.indexOf('rack'), -1)
    }
    assert.equal(listener.peerStreams.all.length, 0)
  })

  it('does not speak a protocol that names the root: older versions are not answered', async () => {
    const { address } = await member()
    const node = await stock()
    const connection = await node.dial(multiaddr(address))
    for (const protocol of ['/swarm/pieces/1.0.0', '/swarm/lane/1.0.0', '/swarm/piece-list/1.0.0']) {
      await assert.rejects(connection.newStream(protocol), { name: 'UnsupportedProtocolError' })
    }
  })
})

describe('a stranger that is dialled', () => {
  /** A node that answers the member's `open` with this, and what it heard. */
  async function answering(protocol: string, answer: (open: Open, connection: Connection) => Uint8Array[]) {
    const node = await stock()
    const heard = new Arrivals<Buffer>()
    await node.handle(protocol, async (stream, connection) => {
      const chunks: Uint8Array[] = []
      stream.addEventListener('message', ({ data }) => {
        chunks.push(data.subarray().slice())
        if (chunks.length > 1) return
        const open = decodeHandshake(13, chunks[0]?.subarray(FRAME_HEADER_BYTES) as Uint8Array) as Open
        for (const frame of answer(open, connection)) stream.send(frame)
      })
      const end = () => heard.push(Buffer.concat(chunks))
      stream.addEventListener('remoteCloseWrite', end, { once: true })
      stream.addEventListener('close', end, { once: true })
    })
    return { peer: node.peerId.toString(), addresses: node.getMultiaddrs().map(String), heard }
  }

  const guess = (): Uint8Array =>
    encodeHandshake({ type: 'answer', isBound: false, nonce: new Uint8Array(32), proof: new Uint8Array(randomBytes(32)) })
  const hello = encodeMessage(listenerFor(ROOT).hello)
  const answers: [string, (open: Open) => Uint8Array[]][] = [
    ['proves nothing', () => [guess(), hello]],
    ['says hello at once', () => [hello]],
    ['sends our own proof back', open => [encodeHandshake({ ...open, type: 'answer', isBound: false }), hello]]
  ]
  for (const [what, answer] of answers) {
    it(`and ${what} hears a nonce and a proof that mean nothing to it`, async () => {
      const { host, listener } = await member()
      const { peer, addresses, heard } = await answering(PIECES_PROTOCOL, answer)
      await assert.rejects(host.connect(peer, addresses, listener), ProtocolError)
      const [said] = await heard.until(1, 'end')
      assert.ok(said)
      assert.equal(said.indexOf(ROOT), -1)
      assert.equal(said.indexOf('rack'), -1)
      // The open, and a goodbye: no confirmation, no hello.
      const openBytes = FRAME_HEADER_BYTES + 97
      assert.equal(said[openBytes + 4], FRAME_TYPES.goodbye)
      const goodbyeBytes = said.readUInt32BE(openBytes)
      assert.equal(said.byteLength, openBytes + 4 + goodbyeBytes)
    })
  }

  it('is not believed a piece list', async () => {
    const { host } = await member()
    const list = Uint8Array.of(0, 0, 0, 0, 1, 0xaa)
    const { peer, addresses } = await answering(PIECE_LIST_PROTOCOL, () => [guess(), list])
    await assert.rejects(host.fetchPieceList(peer, addresses, ROOT, 1000), /root is not proven/)
  })
})

describe('a member', () => {
  it('that proves the root on an open gets the answer, and pieces only after its confirmation', async () => {
    const { address, listener } = await member()
    const node = await stock()
    const theirs = await openStock(node, address)
    theirs.hello(ROOT)
    await theirs.proven.until(1, 'answer')
    const [ours] = await listener.peerStreams.until(1, 'link')
    assert.equal(ours?.peerStream.hello.pieceCount, 64)
    assert.deepEqual((await theirs.arrived.until(1, 'hello'))[0], listener.hello)

    const silent = await openStock(node, address)
    // Another nonce than the proof is over.
    silent.stream.send(openFrame(ROOT, new Uint8Array(silent.proofOf('open', ROOT))))
    await silent.closed.until(1, 'end')
    assert.deepEqual(silent.arrived.all.at(-1), { type: 'goodbye', reason: 'unknown root' })
  })

  it('gets the piece list of the root, also over noise and from a peer with stock TLS', async () => {
    const { host } = await member()
    for (const options of [{}, { encryption: 'noise' as const }, { fastPaths: false }]) {
      const other = await hosts.create(options)
      const list = await other.fetchPieceList(host.peer, host.addresses(), ROOT, 20_000)
      assert.deepEqual(list, new Uint8Array(10_000).fill(0x5a))
      await assert.rejects(other.fetchPieceList(host.peer, [], rootOf(12), 20_000), NotFoundError)
      const peerStream = new RecordedPeerStream(await other.connect(host.peer, [], listenerFor(ROOT)))
      assert.deepEqual(peerStream.peerStream.hello.labels, LABELS)
    }
  })
})

describe('a proof', () => {
  const parties = (self: string, peer: string, binding?: Uint8Array, protocol = PIECES_PROTOCOL): StreamParties => ({
    protocol,
    self,
    peer,
    binding
  })
  function frameOf<T extends HandshakeFrame>(bytes: Uint8Array): T {
    return decodeHandshake(bytes[4] as number, bytes.subarray(FRAME_HEADER_BYTES)) as T
  }
  const KEY = rootKeyOf(ROOT)

  it('is of no use on another connection where the encryption exports keying material', () => {
    const here = new Uint8Array(randomBytes(32))
    const there = new Uint8Array(randomBytes(32))
    const opening = new OpeningHandshake(KEY, parties('a', 'b', here))
    const same = AnsweringHandshake.of(frameOf<Open>(opening.open), KEY, parties('b', 'a', here))
    assert.ok(same)
    same.handleConfirm(frameOf<Confirm>(opening.handleAnswer(frameOf<Answer>(same.answer))))
    assert.ok(same.isProven && opening.isProven)
    const other = AnsweringHandshake.of(frameOf<Open>(opening.open), KEY, parties('b', 'a', there))
    assert.ok(other)
    const again = new OpeningHandshake(KEY, parties('a', 'b', here))
    assert.throws(() => again.handleAnswer(frameOf<Answer>(other.answer)), /not proven/)
  })

  it('is of no use to a peer in the middle, which has an id of its own', () => {
    const opening = new OpeningHandshake(KEY, parties('a', 'middle'))
    assert.equal(AnsweringHandshake.of(frameOf<Open>(opening.open), KEY, parties('b', 'middle')), undefined)
  })

  it('is of no use on another protocol, and a confirmation not twice', () => {
    const opening = new OpeningHandshake(KEY, parties('a', 'b'))
    const open = frameOf<Open>(opening.open)
    assert.equal(AnsweringHandshake.of(open, KEY, parties('b', 'a', undefined, PIECE_CONNECTION_PROTOCOL)), undefined)
    const first = AnsweringHandshake.of(open, KEY, parties('b', 'a'))
    const second = AnsweringHandshake.of(open, KEY, parties('b', 'a'))
    assert.ok(first && second)
    const confirm = frameOf<Confirm>(opening.handleAnswer(frameOf<Answer>(first.answer)))
    assert.throws(() => second.handleConfirm(confirm), /not proven/)
    first.handleConfirm(confirm)
    assert.throws(() => first.handleConfirm(confirm), /second confirmation/)
    assert.throws(() => opening.handleAnswer(frameOf<Answer>(second.answer)), /second answer/)
  })

  it('cannot be made bound where we export nothing', () => {
    const opening = new OpeningHandshake(KEY, parties('a', 'b'))
    const { nonce } = frameOf<Open>(opening.open)
    const binding = new Uint8Array(32)
    const proof = prove('answer', KEY, {
      protocol: PIECES_PROTOCOL,
      opener: 'a',
      answerer: 'b',
      openerNonce: nonce,
      answererNonce: binding,
      binding
    })
    assert.throws(() => opening.handleAnswer({ type: 'answer', isBound: true, nonce: binding, proof }), ProtocolError)
  })
})
