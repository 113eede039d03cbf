import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import type { Libp2p } from 'libp2p'
import type { HostOptions } from '../../src/network/types.ts'
import { encodeMessage, FRAME_TYPES, PIECE_FRAME_TYPE } from '../../src/wire/codec.ts'
import { createStockNode, openStock, type StockStream } from './stock-peer.ts'
import { Hosts, listenerFor, RecordedPeerStream as Recorded, type RecordedPeerStream, rootOf, until } from './support.ts'

const hosts = new Hosts()
const nodes: Libp2p[] = []
afterEach(async () => {
  await hosts.stop()
  await Promise.all(nodes.splice(0).map(node => node.stop()))
})

const ROOT = rootOf(3)
const PIECE_BYTES = 256 * 1024

/**
 * Patience for the tests of patience; all others keep the default, so that a busy machine does not end them.
 */
const IMPATIENT: Partial<HostOptions> = { stallTimeoutMs: 300 }

/** A host, and a peer with an open peer stream to it. */
async function neighbours(options: Partial<HostOptions> = {}): Promise<{ ours: RecordedPeerStream; theirs: StockStream }> {
  const { theirs, listener } = await silent(options)
  theirs.hello(ROOT)
  const [ours] = await listener.peerStreams.until(1, 'link')
  assert.ok(ours)
  await theirs.arrived.until(1, 'hello')
  return { ours, theirs }
}

/** The same before any hello. */
async function silent(options: Partial<HostOptions> = {}) {
  const host = await hosts.create(options)
  const node = await createStockNode('both')
  nodes.push(node)
  const listener = listenerFor(ROOT)
  host.listen(listener)
  return { theirs: await openStock(node, host.addresses()[0] as string), listener, host }
}

/** What the peer was told when it was dropped. */
async function goodbyeTo(theirs: StockStream): Promise<string> {
  await theirs.closed.until(1, 'end')
  const last = theirs.arrived.all.at(-1)
  return last?.type === 'goodbye' ? last.reason : `no goodbye but ${last?.type}`
}

function frame(length: number, type: number): Uint8Array {
  const head = new Uint8Array(5)
  new DataView(head.buffer).setUint32(0, length)
  head[4] = type
  return head
}

describe('a peer that misbehaves is dropped with the reason', () => {
  it('when it never says hello', async () => {
    const { theirs } = await silent({ handshakeTimeoutMs: 1_000 })
    assert.equal(await goodbyeTo(theirs), 'no hello in time')
  })

  it('when something else comes before its hello', async () => {
    const { theirs } = await silent()
    theirs.say({ type: 'have', pieces: [1] })
    assert.match(await goodbyeTo(theirs), /before hello/)
  })

  it('when it proves the root or says hello twice', async () => {
    const proven = await neighbours()
    proven.theirs.hello(ROOT)
    assert.match(await goodbyeTo(proven.theirs), /handshake after hello/)

    const { ours, theirs } = await neighbours()
    theirs.say(listenerFor(ROOT).hello)
    assert.match(await goodbyeTo(theirs), /second hello/)
    assert.match((await ours.closed.until(1, 'end'))[0] ?? '', /second hello/)
  })

  it('when it sends garbage', async () => {
    const { theirs } = await neighbours()
    theirs.stream.send(new Uint8Array(1000).fill(0xee))
    assert.match(await goodbyeTo(theirs), /unknown frame type/)
  })

  it('when it announces a frame that is too long, before any of it is kept', async () => {
    for (const [length, type] of [
      [0xffffffff, PIECE_FRAME_TYPE],
      [PIECE_BYTES + 6, PIECE_FRAME_TYPE],
      [1_000_000, FRAME_TYPES.have],
      [10, FRAME_TYPES.bitfield]
    ] as const) {
      const { theirs } = await neighbours()
      theirs.stream.send(frame(length, type))
      assert.match(await goodbyeTo(theirs), /with length/)
    }
  })

  it('when it names a piece that does not exist', async () => {
    const { theirs } = await neighbours()
    theirs.stream.send(encodeMessage({ type: 'have', pieces: [64] }))
    assert.match(await goodbyeTo(theirs), /piece 64 of 64/)
  })

  it('when it sends a piece that was not requested, or one twice', async () => {
    const first = await neighbours()
    first.theirs.piece(1, new Uint8Array(PIECE_BYTES))
    assert.match(await goodbyeTo(first.theirs), /piece 1 was not requested/)
    assert.equal(first.ours.pieces.all.length, 0)

    const second = await neighbours()
    second.ours.peerStream.send({ type: 'request', pieces: [1], urgent: false })
    await second.theirs.arrived.until(2, 'request')
    second.theirs.piece(1, new Uint8Array(PIECE_BYTES))
    second.theirs.piece(1, new Uint8Array(PIECE_BYTES))
    assert.match(await goodbyeTo(second.theirs), /piece 1 was not requested/)
    assert.equal(second.ours.pieces.all.length, 1)
  })

  it('when it rejected a piece and sends it all the same', async () => {
    const { ours, theirs } = await neighbours()
    ours.peerStream.send({ type: 'request', pieces: [1, 2], urgent: false })
    await theirs.arrived.until(2, 'request')
    theirs.say({ type: 'reject', pieces: [1], reason: 'full' })
    theirs.piece(2, new Uint8Array(10))
    theirs.piece(1, new Uint8Array(10))
    assert.match(await goodbyeTo(theirs), /piece 1 was not requested/)
    assert.equal(ours.pieces.all.length, 1)
  })

  it('when it stops in the middle of a frame', async () => {
    const { ours, theirs } = await neighbours(IMPATIENT)
    ours.peerStream.send({ type: 'request', pieces: [0], urgent: false })
    await theirs.arrived.until(2, 'request')
    theirs.stream.send(frame(PIECE_BYTES + 5, PIECE_FRAME_TYPE))
    theirs.stream.send(new Uint8Array(1000))
    assert.equal(await goodbyeTo(theirs), 'stopped inside a frame')
    assert.deepEqual(await ours.closed.until(1, 'end'), ['stopped inside a frame'])
  })

  it('when it floods us with messages', async () => {
    const { theirs } = await neighbours()
    const frame = encodeMessage({ type: 'have', pieces: Array.from({ length: 64 }, (_, piece) => piece) })
    const flood = new Uint8Array(frame.byteLength * 1000)
    for (let i = 0; i < 1000; i++) flood.set(frame, i * frame.byteLength)
    for (let i = 0; i < 1000 && theirs.closed.all.length === 0; i++) {
      if (theirs.stream.writeStatus === 'writable') theirs.stream.send(flood)
      await new Promise(setImmediate)
    }
    assert.match(await goodbyeTo(theirs), /too many messages/)
  })

  it('when it opens stream after stream without a hello', async () => {
    const { host } = await silent({ handshakeTimeoutMs: 600_000 })
    const node = await createStockNode('both')
    nodes.push(node)
    const streams = await Promise.all(
      Array.from({ length: 60 }, () => openStock(node, host.addresses()[0] as string).catch(() => undefined))
    )
    const isOpen = (stream: StockStream | undefined) => stream?.stream.status === 'open'
    await until(() => streams.filter(isOpen).length <= 32, 'the streams too many were refused')
  })

  it('when it does not read, without more than a bounded amount waiting for it', async () => {
    const { ours, theirs } = await neighbours(IMPATIENT)
    theirs.stream.pause()
    const data = new Uint8Array(PIECE_BYTES)
    const sends = Array.from({ length: 64 }, (_, piece) => ours.peerStream.sendPiece({ piece, bytes: PIECE_BYTES }, data))
    const outcomes = await Promise.allSettled(sends)
    assert.deepEqual(await ours.closed.until(1, 'end'), ['not reading'])
    assert.ok(outcomes.some(({ status }) => status === 'rejected'))
    // What was handed over is in windows and socket buffers, not piled up behind them.
    assert.ok(ours.peerStream.bytesOut < 12 * 1024 * 1024, `${ours.peerStream.bytesOut} bytes handed over`)
  })

  it('when it does not read and control messages pile up', async () => {
    const { ours, theirs } = await neighbours()
    theirs.stream.pause()
    const data = new Uint8Array(PIECE_BYTES)
    const sends = Array.from({ length: 64 }, (_, piece) => ours.peerStream.sendPiece({ piece, bytes: PIECE_BYTES }, data))
    const settled = Promise.allSettled(sends)
    const pieces = Array.from({ length: 1024 }, (_, i) => i % 64)
    for (let i = 0; i < 5000 && ours.closed.all.length === 0; i++) ours.peerStream.send({ type: 'have', pieces })
    assert.deepEqual(await ours.closed.until(1, 'end'), ['not reading'])
    await settled
  })
})

describe('a link', () => {
  it('survives a handler of ours that throws only as an end with a reason', async () => {
    const { theirs, listener } = await silent()
    const ended = Promise.withResolvers<string>()
    listener.onPeerStream = peerStream => {
      peerStream.start({
        onMessage: () => {
          throw new Error('a bug of ours')
        },
        onPiece: () => {},
        onClose: reason => ended.resolve(reason)
      })
    }
    theirs.hello(ROOT)
    await theirs.arrived.until(1, 'hello')
    theirs.say({ type: 'have', pieces: [1] })
    assert.equal(await goodbyeTo(theirs), 'internal error')
    assert.equal(await ended.promise, 'internal error')
  })

  it('lets control messages overtake waiting pieces, but never inside a piece', async () => {
    const { ours, theirs } = await neighbours()
    const data = Uint8Array.from({ length: PIECE_BYTES }, (_, i) => i)
    // More than windows and socket buffers take while nobody reads, so that the last ones wait for certain.
    theirs.stream.pause()
    const sends = Array.from({ length: 64 }, (_, piece) => ours.peerStream.sendPiece({ piece, bytes: PIECE_BYTES }, data))
    await Promise.race(sends)
    ours.peerStream.send({ type: 'have', pieces: [9] })
    theirs.stream.resume()
    await Promise.all(sends)
    const arrived = await theirs.arrived.until(66, 'frame')
    const place = arrived.findIndex(({ type }) => type === 'have')
    assert.ok(place > 0 && place < 65, `have came at ${place}`)
    for (const frame of arrived) if (frame.type === 'piece') assert.ok(Buffer.compare(frame.data, data) === 0)
  })

  it('tells its end even when it ended before it was started', async () => {
    const { listener, theirs } = await silent()
    let kept: Parameters<typeof listener.onPeerStream>[0] | undefined
    listener.onPeerStream = peerStream => {
      kept = peerStream
    }
    theirs.hello(ROOT)
    await until(() => kept !== undefined, 'there is a link')
    theirs.stream.abort(new Error('gone'))
    await until(() => {
      try {
        kept?.send({ type: 'have', pieces: [1] })
      } catch {}
      return (kept as unknown as { isEnded: boolean }).isEnded
    }, 'the link ended')
    assert.ok(kept)
    const recorded = new Recorded(kept)
    assert.equal(recorded.closed.all.length, 1)
  })
})
