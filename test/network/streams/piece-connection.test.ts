import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import type { Libp2p } from 'libp2p'
import { createStockNode, openStock, openStockPieceConnection, type StockStream } from '../stock-peer.ts'
import { Hosts, listenerFor, RecordedPeerStream, rootOf, until } from '../support.ts'

const ROOT = rootOf(5)
const PIECE = new Uint8Array(200_000).fill(7)

/**
 * Passes connections on to a port, in the order in which they come, and can hold up what one of them brings.
 */
class Relay {
  readonly server: Server
  /** Bytes passed on towards the port, by connection. */
  readonly bytes: number[] = []
  readonly #sources: Socket[] = []
  readonly #targets: Socket[] = []

  constructor(port: number) {
    this.server = createServer(source => {
      const index = this.#sources.push(source) - 1
      this.bytes[index] = 0
      const target = connect(port, '127.0.0.1')
      this.#targets.push(target)
      source.on('data', data => {
        this.bytes[index] = (this.bytes[index] as number) + data.byteLength
        target.write(data)
      })
      target.on('data', data => source.write(data))
      for (const [from, to] of [
        [source, target],
        [target, source]
      ] as const) {
        from.on('end', () => to.end())
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
      }
    })
  }

  hold(index: number): void {
    this.#sources[index]?.pause()
  }

  release(index: number): void {
    this.#sources[index]?.resume()
  }

  isClosed(index: number): boolean {
    return this.#sources[index]?.destroyed === true
  }

  cut(index: number): void {
    this.#sources[index]?.destroy()
    this.#targets[index]?.destroy()
  }

  async close(): Promise<void> {
    for (const socket of [...this.#sources, ...this.#targets]) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }
}

const hosts = new Hosts()
const relays: Relay[] = []
const nodes: Libp2p[] = []
afterEach(async () => {
  await hosts.stop()
  await Promise.all(relays.splice(0).map(relay => relay.close()))
  await Promise.all(nodes.splice(0).map(node => node.stop()))
})

/**
 * A peer stream whose first side dialled through the relay and has its piece connection there too, as the
 * relay's second connection.
 */
async function separated(): Promise<{ left: RecordedPeerStream; right: RecordedPeerStream; relay: Relay }> {
  const a = await hosts.create()
  const b = await hosts.create()
  const listener = listenerFor(ROOT)
  b.listen(listener)
  const [address] = b.addresses()
  const relay = new Relay(Number(address?.split('/')[4]))
  relays.push(relay)
  relay.server.listen(0, '127.0.0.1')
  await once(relay.server, 'listening')
  const { port } = relay.server.address() as AddressInfo
  const left = new RecordedPeerStream(await a.connect(b.peer, [`/ip4/127.0.0.1/tcp/${port}`], listenerFor(ROOT)))
  const [right] = await listener.peerStreams.until(1, 'link')
  assert.ok(right)
  assert.equal(left.peerStream.hasPieceConnection, false)
  assert.equal(await left.peerStream.separatePieces(), true)
  assert.ok(left.peerStream.hasPieceConnection)
  assert.equal(relay.bytes.length, 2)
  return { left, right, relay }
}

describe('a piece connection', () => {
  it('carries the pieces of the side that opened it, and messages do not wait behind them', async () => {
    const { left, right, relay } = await separated()
    assert.equal(await left.peerStream.separatePieces(), true, 'one is enough')
    assert.equal(relay.bytes.length, 2)
    assert.equal(right.peerStream.hasPieceConnection, false)
    right.peerStream.send({ type: 'request', pieces: [1], urgent: false })
    await left.messages.until(1, 'request')
    const before = [...relay.bytes]
    relay.hold(1)
    void left.peerStream.sendPiece({ piece: 1, bytes: PIECE.byteLength }, PIECE)
    left.peerStream.send({ type: 'have', pieces: [2] })
    assert.deepEqual(await right.messages.until(1, 'message'), [{ type: 'have', pieces: [2] }])
    assert.equal(right.pieces.all.length, 0)
    relay.release(1)
    const [piece] = await right.pieces.until(1, 'piece')
    assert.deepEqual(new Uint8Array(piece?.data ?? []), PIECE)
    const [onPeerStream, onPieceConnection] = relay.bytes.map((bytes, index) => bytes - (before[index] as number))
    assert.ok((onPieceConnection as number) > PIECE.byteLength, `${onPieceConnection} bytes on the lane`)
    assert.ok((onPeerStream as number) < PIECE.byteLength / 10, `${onPeerStream} bytes beside it`)
    assert.ok(left.peerStream.bytesOut > PIECE.byteLength)
    assert.ok(right.peerStream.bytesIn > PIECE.byteLength)
  })

  it('may be opened by both sides, each for its own pieces', async () => {
    const { left, right } = await separated()
    assert.equal(await right.peerStream.separatePieces(), true)
    for (const [from, to] of [
      [left, right],
      [right, left]
    ] as const) {
      to.peerStream.send({ type: 'request', pieces: [3], urgent: false })
      await from.messages.until(1, 'request')
      void from.peerStream.sendPiece({ piece: 3, bytes: PIECE.byteLength }, PIECE)
      assert.equal((await to.pieces.until(1, 'piece'))[0]?.header.piece, 3)
    }
  })

  it('brings what was sent before a goodbye, although the goodbye is faster', async () => {
    const { left, right, relay } = await separated()
    right.peerStream.send({ type: 'request', pieces: [1], urgent: false })
    await left.messages.until(1, 'request')
    relay.hold(1)
    const sent = left.peerStream.sendPiece({ piece: 1, bytes: PIECE.byteLength }, PIECE)
    await sent
    left.peerStream.send({ type: 'have', pieces: [9] })
    left.peerStream.close('done')
    await left.closed.until(1, 'end')
    relay.release(1)
    assert.deepEqual(await right.closed.until(1, 'end'), ['done'])
    assert.equal(right.pieces.all.length, 1)
  })

  it('ends its peer stream when it is lost, as pieces were on their way', async () => {
    const { left, right, relay } = await separated()
    relay.cut(1)
    assert.match((await left.closed.until(1, 'end'))[0] ?? '', /piece connection/)
    await right.closed.until(1, 'end')
  })

  it('ends with its link', async () => {
    const { left, right, relay } = await separated()
    right.peerStream.close('enough')
    assert.deepEqual(await left.closed.until(1, 'end'), ['enough'])
    await until(() => relay.isClosed(1), 'the connection of the piece connection is closed')
    assert.equal(relay.isClosed(0), false)
  })
})

describe('a piece connection that a peer opens', () => {
  /** A stock peer's peer stream to one of our hosts, and what it needs for a piece connection. */
  async function neighbours(): Promise<{
    ours: RecordedPeerStream
    theirs: StockStream
    openPieceConnection(): Promise<StockStream>
  }> {
    const host = await hosts.create()
    const node = await createStockNode('both')
    nodes.push(node)
    const listener = listenerFor(ROOT)
    host.listen(listener)
    const address = host.addresses()[0] as string
    const theirs = await openStock(node, address)
    theirs.hello(ROOT)
    const [ours] = await listener.peerStreams.until(1, 'link')
    assert.ok(ours)
    await theirs.arrived.until(1, 'hello')
    return { ours, theirs, openPieceConnection: () => openStockPieceConnection(node, address) }
  }

  async function goodbyeOn(pieceConnection: StockStream): Promise<string> {
    await pieceConnection.closed.until(1, 'end')
    const last = pieceConnection.arrived.all.at(-1)
    return last?.type === 'goodbye' ? last.reason : `no goodbye but ${last?.type}`
  }

  it('brings pieces that we asked for on the peer stream', async () => {
    const { ours, theirs, openPieceConnection } = await neighbours()
    ours.peerStream.send({ type: 'request', pieces: [4], urgent: false })
    await theirs.arrived.until(2, 'request')
    const pieceConnection = await openPieceConnection()
    pieceConnection.hello(ROOT)
    await pieceConnection.proven.until(1, 'answer')
    pieceConnection.piece(4, PIECE)
    assert.equal((await ours.pieces.until(1, 'piece'))[0]?.header.piece, 4)
  })

  it('is refused without a peer stream for its root, and when there is one already; the peer stream stays', async () => {
    const { ours, openPieceConnection } = await neighbours()
    const stranger = await openPieceConnection()
    stranger.hello(rootOf(99))
    assert.equal(await goodbyeOn(stranger), 'no link')
    const first = await openPieceConnection()
    first.hello(ROOT)
    await first.proven.until(1, 'answer')
    const second = await openPieceConnection()
    second.hello(ROOT)
    assert.equal(await goodbyeOn(second), 'duplicate link')
    assert.deepEqual(ours.closed.all, [])
  })

  for (const [what, misbehave, reason] of [
    [
      'a piece that was not requested',
      (pieceConnection: StockStream) => pieceConnection.piece(1, PIECE),
      /piece 1 was not requested/
    ],
    [
      'a message',
      (pieceConnection: StockStream) => pieceConnection.say({ type: 'have', pieces: [1] }),
      /have on a piece connection/
    ],
    [
      'garbage',
      (pieceConnection: StockStream) => pieceConnection.stream.send(new Uint8Array(100).fill(0xee)),
      /unknown frame type/
    ]
  ] as const) {
    it(`ends with its link when it brings ${what}`, async () => {
      const { ours, openPieceConnection } = await neighbours()
      const pieceConnection = await openPieceConnection()
      pieceConnection.hello(ROOT)
      await pieceConnection.proven.until(1, 'answer')
      misbehave(pieceConnection)
      assert.match(await goodbyeOn(pieceConnection), reason)
      assert.match((await ours.closed.until(1, 'end'))[0] ?? '', reason)
    })
  }
})
