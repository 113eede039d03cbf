import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { afterEach, describe, it } from 'node:test'
import type { HostOptions, PeerStream } from '../../../src/network/types.ts'
import type { BufferPool } from '../../../src/util/buffer-pool.ts'
import { Hosts, listenerFor, rootOf } from '../support.ts'

const hosts = new Hosts()
afterEach(() => hosts.stop())

const ROOT = rootOf(8)
const PIECES = 64
const PIECE_BYTES = 256 * 1024
const DEPTH = 8

/** Different in every piece, and at every place of it. */
function fill(piece: number, data: Uint8Array): Uint8Array {
  const block = createHash('sha256').update(`piece ${piece}`).digest()
  for (let offset = 0; offset < data.byteLength; offset += block.byteLength) {
    block.writeUInt32BE(offset)
    data.set(block.subarray(0, Math.min(block.byteLength, data.byteLength - offset)), offset)
  }
  return data
}

/**
 * Serves what is asked for and gets every piece, {@link DEPTH} at a time; resolves when all were intact, with
 * how many of the sent buffers came back by then.
 */
function trade(peerStream: PeerStream, buffers: BufferPool): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let released = 0
  const expected = new Uint8Array(PIECE_BYTES)
  let next = 0
  let received = 0
  const requestMore = () => {
    const pieces: number[] = []
    while (next < PIECES && next - received < DEPTH) pieces.push(next++)
    if (pieces.length > 0) peerStream.send({ type: 'request', pieces, urgent: false })
  }
  peerStream.start({
    onMessage: message => {
      if (message.type !== 'request') return
      for (const piece of message.pieces) {
        const data = fill(piece, buffers.take(PIECE_BYTES))
        peerStream.sendPiece({ piece, bytes: PIECE_BYTES }, data).then(isReleased => {
          // Scribbled over before it is used again: a sender that still reads it is found out.
          if (!isReleased) return
          released++
          buffers.give(data.fill(0xff))
        }, reject)
      }
    },
    onPiece: ({ piece }, data) => {
      if (Buffer.compare(data, fill(piece, expected)) !== 0) reject(new Error(`piece ${piece} is not intact`))
      buffers.give(data.fill(0xff))
      received++
      if (received === PIECES) resolve(released)
      else requestMore()
    },
    onClose: reason => reject(new Error(reason))
  })
  requestMore()
  return promise
}

describe('pieces in bulk, both ways at once, in buffers that are used again', () => {
  const variants: [string, Partial<HostOptions>, Partial<HostOptions>][] = [
    ['tls', {}, {}],
    ['noise', { encryption: 'noise' }, { encryption: 'noise' }],
    ['stock modules', { fastPaths: false }, { fastPaths: false }],
    ['fast paths towards stock modules', {}, { fastPaths: false }],
    ['stock modules towards fast paths', { fastPaths: false }, {}]
  ]
  for (const [name, left, right] of variants) {
    it(`arrive intact over ${name}`, async () => {
      const a = await hosts.create(left)
      const b = await hosts.create(right)
      const theirs = Promise.withResolvers<number>()
      b.listen(
        listenerFor(ROOT, { onPeerStream: peerStream => trade(peerStream, b.buffers).then(theirs.resolve, theirs.reject) })
      )
      const peerStream = await a.connect(b.peer, b.addresses(), listenerFor(ROOT))
      const [ours] = await Promise.all([trade(peerStream, a.buffers), theirs.promise])
      assert.equal(ours > 0, name.startsWith('tls') || name.startsWith('fast'))
    })
  }
})
