/**
 * What every host must do that a driver relies on; run on the real one (test/network/host-compliance.test.ts)
 * and on its twin in memory.
 */

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ProtocolError } from '../../src/errors.ts'
import type { Host } from '../../src/network/types.ts'
import type { Message } from '../../src/wire/messages.ts'
import { listenerFor, RecordedPeerStream, rootOf } from '../network/support.ts'

export interface HostKind {
  create(): Promise<Host>
  /** Waits for what the hosts are to do; where time is virtual it passes meanwhile. */
  settle<T>(promise: Promise<T>): Promise<T>
  stop(): Promise<void>
}

const ROOT = rootOf(6)
const PIECE = new Uint8Array(64 * 1024).map((_, index) => index % 251)
const HAVE: Message = { type: 'have', pieces: [7] }
const REQUEST: Message = { type: 'request', pieces: [3], urgent: false }

export function testHost(name: string, kind: HostKind): void {
  describe(`${name} as a host`, () => {
    after(() => kind.stop())

    /** Two hosts with a peer stream. */
    async function neighbours(): Promise<{ a: Host; b: Host; left: RecordedPeerStream; right: RecordedPeerStream }> {
      const [a, b] = await Promise.all([kind.create(), kind.create()])
      const listener = listenerFor(ROOT)
      b.listen(listener)
      const left = new RecordedPeerStream(await kind.settle(a.connect(b.peer, b.addresses(), listenerFor(ROOT))))
      const [right] = await kind.settle(listener.peerStreams.until(1, 'link'))
      assert.ok(right)
      return { a, b, left, right }
    }

    it('connects two peers that know each other by then', async () => {
      const { a, b, left, right } = await neighbours()
      assert.deepEqual([left.peerStream.peer, right.peerStream.peer], [b.peer, a.peer])
      assert.deepEqual([left.peerStream.initiator, right.peerStream.initiator], [true, false])
      assert.ok((a.rttMs(b.peer) ?? -1) >= 0)
      assert.equal(a.knowsNobody, false)
    })

    it('brings messages in order, and a piece as it was', async () => {
      const { left, right } = await neighbours()
      right.peerStream.send(REQUEST)
      await kind.settle(left.messages.until(1, 'request'))
      left.peerStream.send(HAVE)
      const sent = left.peerStream.sendPiece({ piece: 3, bytes: PIECE.byteLength }, PIECE)
      const [piece] = await kind.settle(right.pieces.until(1, 'piece'))
      assert.equal(piece?.header.piece, 3)
      assert.deepEqual(new Uint8Array(piece?.data ?? []), PIECE)
      assert.deepEqual(right.messages.all, [HAVE])
      assert.equal(typeof (await kind.settle(sent)), 'boolean')
    })

    it('tells both ends of the end of a peer stream once, with the reason, behind what was said before', async () => {
      const { left, right } = await neighbours()
      left.peerStream.send(HAVE)
      left.peerStream.close('enough')
      left.peerStream.close('again')
      assert.deepEqual(await kind.settle(right.closed.until(1, 'end')), ['enough'])
      assert.deepEqual(left.closed.all, ['enough'])
      assert.deepEqual(right.messages.all, [HAVE])
      await assert.rejects(left.peerStream.sendPiece({ piece: 3, bytes: PIECE.byteLength }, PIECE))
    })

    it('gives pieces a connection of their own, once', async () => {
      const { left, right } = await neighbours()
      assert.equal(await kind.settle(left.peerStream.separatePieces()), true)
      assert.equal(await kind.settle(left.peerStream.separatePieces()), true)
      assert.deepEqual([left.peerStream.hasPieceConnection, right.peerStream.hasPieceConnection], [true, false])
    })

    it('resolves with the peer stream that stands', async () => {
      const { a, b, left } = await neighbours()
      assert.equal(await kind.settle(a.connect(b.peer, b.addresses(), listenerFor(ROOT))), left.peerStream)
    })

    it('refuses whom the listener does not accept, and who asks for a content that it does not have', async () => {
      const [a, b] = await Promise.all([kind.create(), kind.create()])
      b.listen(listenerFor(ROOT, { accepts: () => false }))
      const connect = (root: Uint8Array): Promise<unknown> => kind.settle(a.connect(b.peer, b.addresses(), listenerFor(root)))
      await assert.rejects(connect(ROOT), err => err instanceof ProtocolError && err.reason === 'refused')
      await assert.rejects(connect(rootOf(7)), err => err instanceof ProtocolError && err.reason === 'unknown root')
    })

    it('ends the peer stream of a peer that it bans', async () => {
      const { a, b, left } = await neighbours()
      b.ban(a.peer, 60_000)
      await kind.settle(left.closed.until(1, 'end'))
    })
  })
}
