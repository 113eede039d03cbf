/**
 * What every host must do that a driver relies on; run on the real one (test/network/host-compliance.test.ts) and on its twin in memory.
 */

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ProtocolError } from '../../src/errors.ts'
import type { Host } from '../../src/network/types.ts'
import type { Message } from '../../src/wire/messages.ts'
import { listenerFor, RecordedLink, rootOf } from '../network/support.ts'

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

    /** Two hosts with a link. */
    async function linked(): Promise<{ a: Host; b: Host; left: RecordedLink; right: RecordedLink }> {
      const [a, b] = await Promise.all([kind.create(), kind.create()])
      const listener = listenerFor(ROOT)
      b.listen(listener)
      const left = new RecordedLink(await kind.settle(a.connect(b.peer, b.addresses(), listenerFor(ROOT))))
      const [right] = await kind.settle(listener.links.until(1, 'link'))
      assert.ok(right)
      return { a, b, left, right }
    }

    it('links two peers that know each other by then', async () => {
      const { a, b, left, right } = await linked()
      assert.deepEqual([left.link.peer, right.link.peer], [b.peer, a.peer])
      assert.deepEqual([left.link.initiator, right.link.initiator], [true, false])
      assert.ok((a.rttMs(b.peer) ?? -1) >= 0)
      assert.equal(a.knowsNobody, false)
    })

    it('brings messages in order, and a piece as it was', async () => {
      const { left, right } = await linked()
      right.link.send(REQUEST)
      await kind.settle(left.messages.until(1, 'request'))
      left.link.send(HAVE)
      const sent = left.link.sendPiece({ piece: 3, bytes: PIECE.byteLength }, PIECE)
      const [piece] = await kind.settle(right.pieces.until(1, 'piece'))
      assert.equal(piece?.header.piece, 3)
      assert.deepEqual(new Uint8Array(piece?.data ?? []), PIECE)
      assert.deepEqual(right.messages.all, [HAVE])
      assert.equal(typeof (await kind.settle(sent)), 'boolean')
    })

    it('tells both ends of the end of a link once, with the reason, behind what was said before', async () => {
      const { left, right } = await linked()
      left.link.send(HAVE)
      left.link.close('enough')
      left.link.close('again')
      assert.deepEqual(await kind.settle(right.closed.until(1, 'end')), ['enough'])
      assert.deepEqual(left.closed.all, ['enough'])
      assert.deepEqual(right.messages.all, [HAVE])
      await assert.rejects(left.link.sendPiece({ piece: 3, bytes: PIECE.byteLength }, PIECE))
    })

    it('gives pieces a connection of their own, once', async () => {
      const { left, right } = await linked()
      assert.equal(await kind.settle(left.link.separatePieces()), true)
      assert.equal(await kind.settle(left.link.separatePieces()), true)
      assert.deepEqual([left.link.hasLane, right.link.hasLane], [true, false])
    })

    it('resolves with the link that stands', async () => {
      const { a, b, left } = await linked()
      assert.equal(await kind.settle(a.connect(b.peer, b.addresses(), listenerFor(ROOT))), left.link)
    })

    it('refuses whom the listener does not accept, and who asks for a content that it does not have', async () => {
      const [a, b] = await Promise.all([kind.create(), kind.create()])
      b.listen(listenerFor(ROOT, { accepts: () => false }))
      const connect = (root: Uint8Array): Promise<unknown> => kind.settle(a.connect(b.peer, b.addresses(), listenerFor(root)))
      await assert.rejects(connect(ROOT), err => err instanceof ProtocolError && err.reason === 'refused')
      await assert.rejects(connect(rootOf(7)), err => err instanceof ProtocolError && err.reason === 'unknown root')
    })

    it('ends the link of a peer that it bans', async () => {
      const { a, b, left } = await linked()
      b.ban(a.peer, 60_000)
      await kind.settle(left.closed.until(1, 'end'))
    })
  })
}
