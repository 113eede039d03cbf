import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import type { Libp2p } from 'libp2p'
import { createStockNode, openStock, openStockLane, type StockStream } from '../stock-peer.ts'
import { Hosts, listenerFor, RecordedLink, rootOf, until } from '../support.ts'

const ROOT = rootOf(5)
const PIECE = new Uint8Array(200_000).fill(7)

/** Passes connections on to a port, in the order in which they come, and can hold up what one of them brings. */
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

/** A link whose first side dialled through the relay and has its lane there too, as the relay's second connection. */
async function separated(): Promise<{ left: RecordedLink; right: RecordedLink; relay: Relay }> {
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
  const left = new RecordedLink(await a.connect(b.peer, [`/ip4/127.0.0.1/tcp/${port}`], listenerFor(ROOT)))
  const [right] = await listener.links.until(1, 'link')
  assert.ok(right)
  assert.equal(left.link.hasLane, false)
  assert.equal(await left.link.separatePieces(), true)
  assert.ok(left.link.hasLane)
  assert.equal(relay.bytes.length, 2)
  return { left, right, relay }
}

describe('a lane', () => {
  it('carries the pieces of the side that opened it, and messages do not wait behind them', async () => {
    const { left, right, relay } = await separated()
    assert.equal(await left.link.separatePieces(), true, 'one is enough')
    assert.equal(relay.bytes.length, 2)
    assert.equal(right.link.hasLane, false)
    right.link.send({ type: 'request', pieces: [1], urgent: false })
    await left.messages.until(1, 'request')
    const before = [...relay.bytes]
    relay.hold(1)
    void left.link.sendPiece({ piece: 1, bytes: PIECE.byteLength }, PIECE)
    left.link.send({ type: 'have', pieces: [2] })
    assert.deepEqual(await right.messages.until(1, 'message'), [{ type: 'have', pieces: [2] }])
    assert.equal(right.pieces.all.length, 0)
    relay.release(1)
    const [piece] = await right.pieces.until(1, 'piece')
    assert.deepEqual(new Uint8Array(piece?.data ?? []), PIECE)
    const [onLink, onLane] = relay.bytes.map((bytes, index) => bytes - (before[index] as number))
    assert.ok((onLane as number) > PIECE.byteLength, `${onLane} bytes on the lane`)
    assert.ok((onLink as number) < PIECE.byteLength / 10, `${onLink} bytes beside it`)
    assert.ok(left.link.bytesOut > PIECE.byteLength)
    assert.ok(right.link.bytesIn > PIECE.byteLength)
  })

  it('may be opened by both sides, each for its own pieces', async () => {
    const { left, right } = await separated()
    assert.equal(await right.link.separatePieces(), true)
    for (const [from, to] of [
      [left, right],
      [right, left]
    ] as const) {
      to.link.send({ type: 'request', pieces: [3], urgent: false })
      await from.messages.until(1, 'request')
      void from.link.sendPiece({ piece: 3, bytes: PIECE.byteLength }, PIECE)
      assert.equal((await to.pieces.until(1, 'piece'))[0]?.header.piece, 3)
    }
  })

  it('brings what was sent before a goodbye, although the goodbye is faster', async () => {
    const { left, right, relay } = await separated()
    right.link.send({ type: 'request', pieces: [1], urgent: false })
    await left.messages.until(1, 'request')
    relay.hold(1)
    const sent = left.link.sendPiece({ piece: 1, bytes: PIECE.byteLength }, PIECE)
    await sent
    left.link.send({ type: 'have', pieces: [9] })
    left.link.close('done')
    await left.closed.until(1, 'end')
    relay.release(1)
    assert.deepEqual(await right.closed.until(1, 'end'), ['done'])
    assert.equal(right.pieces.all.length, 1)
  })

  it('ends its link when it is lost, as pieces were on their way', async () => {
    const { left, right, relay } = await separated()
    relay.cut(1)
    assert.match((await left.closed.until(1, 'end'))[0] ?? '', /lane/)
    await right.closed.until(1, 'end')
  })

  it('ends with its link', async () => {
    const { left, right, relay } = await separated()
    right.link.close('enough')
    assert.deepEqual(await left.closed.until(1, 'end'), ['enough'])
    await until(() => relay.isClosed(1), 'the connection of the lane is closed')
    assert.equal(relay.isClosed(0), false)
  })
})

describe('a lane that a peer opens', () => {
  /** A stock peer's link to one of our hosts, and what it needs for a lane. */
  async function linked(): Promise<{ ours: RecordedLink; theirs: StockStream; openLane(): Promise<StockStream> }> {
    const host = await hosts.create()
    const node = await createStockNode('both')
    nodes.push(node)
    const listener = listenerFor(ROOT)
    host.listen(listener)
    const address = host.addresses()[0] as string
    const theirs = await openStock(node, address)
    theirs.hello(ROOT)
    const [ours] = await listener.links.until(1, 'link')
    assert.ok(ours)
    await theirs.arrived.until(1, 'hello')
    return { ours, theirs, openLane: () => openStockLane(node, address) }
  }

  async function goodbyeOn(lane: StockStream): Promise<string> {
    await lane.closed.until(1, 'end')
    const last = lane.arrived.all.at(-1)
    return last?.type === 'goodbye' ? last.reason : `no goodbye but ${last?.type}`
  }

  it('brings pieces that we asked for on the link', async () => {
    const { ours, theirs, openLane } = await linked()
    ours.link.send({ type: 'request', pieces: [4], urgent: false })
    await theirs.arrived.until(2, 'request')
    const lane = await openLane()
    lane.hello(ROOT)
    await lane.proven.until(1, 'answer')
    lane.piece(4, PIECE)
    assert.equal((await ours.pieces.until(1, 'piece'))[0]?.header.piece, 4)
  })

  it('is refused without a link for its root, and when there is one already; the link stays', async () => {
    const { ours, openLane } = await linked()
    const stranger = await openLane()
    stranger.hello(rootOf(99))
    assert.equal(await goodbyeOn(stranger), 'no link')
    const first = await openLane()
    first.hello(ROOT)
    await first.proven.until(1, 'answer')
    const second = await openLane()
    second.hello(ROOT)
    assert.equal(await goodbyeOn(second), 'duplicate link')
    assert.deepEqual(ours.closed.all, [])
  })

  for (const [what, misbehave, reason] of [
    ['a piece that was not requested', (lane: StockStream) => lane.piece(1, PIECE), /piece 1 was not requested/],
    ['a message', (lane: StockStream) => lane.say({ type: 'have', pieces: [1] }), /have on a lane/],
    ['garbage', (lane: StockStream) => lane.stream.send(new Uint8Array(100).fill(0xee)), /unknown frame type/]
  ] as const) {
    it(`ends with its link when it brings ${what}`, async () => {
      const { ours, openLane } = await linked()
      const lane = await openLane()
      lane.hello(ROOT)
      await lane.proven.until(1, 'answer')
      misbehave(lane)
      assert.match(await goodbyeOn(lane), reason)
      assert.match((await ours.closed.until(1, 'end'))[0] ?? '', reason)
    })
  }
})
