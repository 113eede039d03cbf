import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { yamux as stockYamux } from '@chainsafe/libp2p-yamux'
import type { MessageStream, Stream, StreamMuxer } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import fc from 'fast-check'
import { type YamuxOptions, yamux } from '../../../src/network/transport/yamux.ts'
import { Arrivals, until } from '../support.ts'

const OPTIONS = {
  maxInboundStreams: 8,
  maxOutboundStreams: 8,
  maxWindowBytes: 1024 * 1024,
  maxWriteBufferBytes: 4 * 1024 * 1024,
  onFlood: () => {}
}
const TYPE = { data: 0, window: 1, ping: 2, goAway: 3 }
const SYN = 1
const FIN = 4
const RST = 8

function frame(type: number, flags: number, id: number, value: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(12 + payload.byteLength)
  const view = new DataView(bytes.buffer)
  view.setUint8(1, type)
  view.setUint16(2, flags)
  view.setUint32(4, id)
  view.setUint32(8, value)
  bytes.set(payload, 12)
  return bytes
}

const connections: MessageStream[] = []
afterEach(() => {
  for (const connection of connections.splice(0)) connection.abort(new Error('the test is over'))
})

function connectionPair() {
  const pair = multiaddrConnectionPair()
  connections.push(...pair)
  return pair
}

/** A multiplexer of ours that was dialled, and the bare connection of who dialled it. */
function dialled(overrides: Partial<YamuxOptions> = {}) {
  const [outbound, inbound] = connectionPair()
  const muxer = yamux({ ...OPTIONS, ...overrides })().createStreamMuxer(inbound)
  const streams = new Arrivals<Stream>()
  muxer.addEventListener('stream', event => streams.push(event.detail))
  const closed = new Arrivals<Error | undefined>()
  inbound.addEventListener('close', event => closed.push(event.error))
  const answers: Uint8Array[] = []
  outbound.addEventListener('message', ({ data }) => answers.push(data.slice()))
  return { muxer, peer: outbound as MessageStream, streams, closed, answers }
}

function pairOf(left: 'ours' | 'stock', right: 'ours' | 'stock'): { a: StreamMuxer; b: StreamMuxer } {
  const [outbound, inbound] = connectionPair()
  const factory = (kind: string) => (kind === 'ours' ? yamux(OPTIONS)() : stockYamux()())
  return { a: factory(left).createStreamMuxer(outbound), b: factory(right).createStreamMuxer(inbound) }
}

describe('the multiplexer', () => {
  for (const [left, right] of [
    ['ours', 'ours'],
    ['ours', 'stock'],
    ['stock', 'ours']
  ] as const) {
    it(`carries streams both ways and their ends: ${left} to ${right}`, async () => {
      const { a, b } = pairOf(left, right)
      const streams = new Arrivals<Stream>()
      b.addEventListener('stream', event => streams.push(event.detail))
      const payload = Uint8Array.from({ length: 2_000_000 }, (_, i) => i * 11)
      for (let round = 0; round < 3; round++) {
        const near = await a.createStream()
        const [echoed, done] = collect(near)
        near.send(payload)
        const far = (await streams.until(round + 1, 'stream')).at(-1) as Stream
        const [, farDone] = collect(far)
        await near.close()
        const [got] = await farDone
        assert.deepEqual(got, payload)
        far.send(payload)
        await far.close()
        await done
        assert.deepEqual(joined(echoed), payload)
        await until(() => a.streams.length === 0 && b.streams.length === 0, 'both ends are gone')
      }
    })
  }

  it('resets what is more than the streams allowed', async () => {
    const { peer, streams, answers } = dialled()
    for (let i = 0; i < 10; i++) peer.send(frame(TYPE.data, SYN, 2 * i + 1, 1, Uint8Array.of(0)))
    await streams.until(8, 'stream')
    await until(() => answers.some(answer => answer[3] === 8), 'a reset was answered')
    assert.equal(streams.all.length, 8)
  })

  it('ends the connection at a frame that breaks the protocol', async () => {
    for (const bad of [
      Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0),
      frame(7, 0, 1, 0),
      frame(TYPE.data, 0, 0, 0),
      frame(TYPE.window, SYN, 2, 0)
    ]) {
      const { peer, closed } = dialled()
      peer.send(bad)
      assert.match((await closed.until(1, 'end'))[0]?.message ?? '', /yamux/)
    }
  })

  it('ends the connection before it keeps a byte of a frame that is longer than the window', async () => {
    const { peer, closed } = dialled()
    peer.send(frame(TYPE.data, SYN, 1, 0xffff_ffff))
    assert.match((await closed.until(1, 'end'))[0]?.message ?? '', /4294967295 bytes where 262144 may come/)
  })

  it('keeps no more than one window for a stream that nobody reads, and grants more when somebody does', async () => {
    const { peer, streams, closed, answers } = dialled()
    const chunk = new Uint8Array(64 * 1024)
    peer.send(frame(TYPE.data, SYN, 1, chunk.byteLength, chunk))
    const [stream] = await streams.until(1, 'stream')
    assert.ok(stream)
    for (let i = 0; i < 3; i++) peer.send(frame(TYPE.data, 0, 1, chunk.byteLength, chunk))
    await until(() => stream.readBufferLength === 256 * 1024, 'a window is full')
    const isGrant = (answer: Uint8Array) => answer[1] === TYPE.window && new DataView(answer.buffer).getUint32(8) > 0
    assert.ok(!answers.some(isGrant))
    stream.addEventListener('message', () => {})
    await until(() => answers.some(isGrant), 'more is granted')
    peer.send(frame(TYPE.data, 0, 1, chunk.byteLength, chunk))
    await until(() => stream.readBufferLength === 0, 'it was read')
    assert.equal(closed.all.length, 0)
  })

  it('drops the payload of a stream that is gone, whatever its length, and goes on', async () => {
    const { peer, streams, closed } = dialled()
    peer.send(frame(TYPE.data, 0, 9, 1_000_000))
    for (let i = 0; i < 10; i++) peer.send(new Uint8Array(100_000))
    peer.send(frame(TYPE.data, SYN, 1, 1, Uint8Array.of(0)))
    await streams.until(1, 'stream')
    assert.equal(closed.all.length, 0)
  })

  it('answers pings, but not without bound to who does not read', async () => {
    const { peer, closed, answers } = dialled()
    peer.send(frame(TYPE.ping, SYN, 0, 77))
    await until(() => answers.length > 0, 'answered')
    assert.deepEqual(answers[0], frame(TYPE.ping, 2, 0, 77))
    peer.pause()
    const pings = new Uint8Array(12 * 1000)
    for (let i = 0; i < 1000; i++) pings.set(frame(TYPE.ping, SYN, 0, i), i * 12)
    for (let i = 0; i < 2000 && closed.all.length === 0; i++) {
      peer.send(pings)
      await new Promise(setImmediate)
    }
    await closed.until(1, 'end')
  })

  it('tells nobody of a stream before its first byte, and then with the window that was granted meanwhile', async () => {
    const { peer, muxer, streams, answers } = dialled()
    peer.send(frame(TYPE.window, SYN, 1, 0))
    peer.send(frame(TYPE.window, 0, 1, 100_000))
    peer.send(frame(TYPE.ping, SYN, 0, 1))
    await until(() => answers.length > 0, 'answered')
    assert.equal(muxer.streams.length, 0)
    peer.send(frame(TYPE.data, 0, 1, 1, Uint8Array.of(7)))
    const [stream] = await streams.until(1, 'stream')
    assert.ok(stream)
    const bytes = 256 * 1024 + 100_000
    stream.send(new Uint8Array(bytes + 1))
    const sent = () => answers.reduce((sum, answer) => sum + (answer[1] === TYPE.data ? answer.byteLength : 0), 0)
    await until(() => sent() > bytes, 'all that may go has gone')
    assert.equal(stream.writeBufferLength, 1)
  })

  it('resets a stream that ends before its first byte, and forgets one that is reset', async () => {
    const { peer, muxer, answers, streams } = dialled()
    for (let id = 1; id < 100; id += 2) peer.send(frame(TYPE.window, SYN | RST, id, 0))
    peer.send(frame(TYPE.window, SYN, 101, 0))
    peer.send(frame(TYPE.window, FIN, 101, 0))
    await until(() => answers.some(answer => answer[3] === RST && answer[7] === 101), 'it was reset')
    assert.equal(answers.length, 1)
    // None of them counts any more.
    for (let i = 0; i < OPTIONS.maxInboundStreams; i++) peer.send(frame(TYPE.data, SYN, 201 + 2 * i, 1, Uint8Array.of(0)))
    await streams.until(OPTIONS.maxInboundStreams, 'stream')
    assert.equal(muxer.streams.length, OPTIONS.maxInboundStreams)
  })

  for (const [what, flood] of [
    ['opens and resets streams', (id: number) => [frame(TYPE.window, SYN | RST, id, 0)]],
    [
      'opens streams, says something and resets them',
      (id: number) => [frame(TYPE.data, SYN, id, 1, Uint8Array.of(0)), frame(TYPE.window, RST, id, 0)]
    ],
    ['opens streams and ends them', (id: number) => [frame(TYPE.window, SYN | FIN, id, 0)]],
    ['pings', (id: number) => [frame(TYPE.ping, SYN, 0, id)]]
  ] as const) {
    it(`sends a peer away that ${what} without end`, async () => {
      const floods: object[] = []
      const { peer, closed } = dialled({ onFlood: connection => floods.push(connection) })
      for (let i = 0; i < 2000 && closed.all.length === 0; i++) {
        for (const bytes of flood(2 * i + 1)) if (peer.status === 'open') peer.send(bytes)
        if (i % 100 === 0) await new Promise(setImmediate)
      }
      assert.match((await closed.until(1, 'end'))[0]?.message ?? '', /too many streams opened/)
      assert.equal(floods.length, 1)
    })
  }

  it('survives any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), async chunks => {
        const { peer, streams } = dialled()
        for (const chunk of chunks) {
          if (peer.status !== 'open') break
          peer.send(chunk)
          peer.send(frame(chunk[0] ?? 0, chunk[1] ?? 0, chunk[2] ?? 0, chunk[3] ?? 0, chunk))
        }
        await new Promise(setImmediate)
        assert.ok(streams.all.length <= OPTIONS.maxInboundStreams)
        peer.abort(new Error('next'))
      }),
      { numRuns: 200 }
    )
  })
})

function joined(chunks: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(chunks))
}

/** What comes on a stream, as it comes and when the other side has closed. */
function collect(stream: Stream): [Uint8Array[], Promise<[Uint8Array]>] {
  const chunks: Uint8Array[] = []
  const done = Promise.withResolvers<[Uint8Array]>()
  stream.addEventListener('message', ({ data }) => chunks.push(data.slice()))
  stream.addEventListener('remoteCloseWrite', () => setImmediate(() => done.resolve([joined(chunks)])))
  stream.addEventListener('close', event => {
    if (event.error !== undefined) done.reject(event.error)
  })
  return [chunks, done.promise]
}
