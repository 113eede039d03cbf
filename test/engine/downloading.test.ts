import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import type { Message } from '../../src/wire/messages.ts'
import { join, PIECE_BYTES, say, sent, swarmOf, tickUntil } from './world.ts'

/** A piece that the peer offers, sends and that is right. */
function deliver(swarm: Swarm, peer: string, piece: number, nowMs: number): Output[] {
  return [
    ...say(swarm, peer, { type: 'offer', pieces: [piece] }, nowMs),
    ...swarm.handle({ type: 'pieceReceived', peer, piece, bytes: PIECE_BYTES }, nowMs),
    ...swarm.handle({ type: 'pieceVerified', peer, piece }, nowMs)
  ]
}

describe('the downloading half', () => {
  it('takes an offer of a piece that it lacks and turns down the same piece from another', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'a', 8, 'all')
    join(swarm, 'b', 8, 'all')
    assert.deepEqual(sent(say(swarm, 'a', { type: 'offer', pieces: [3] }), 'request', 'a'), [
      { type: 'request', pieces: [3], urgent: false }
    ])
    assert.deepEqual(sent(say(swarm, 'b', { type: 'offer', pieces: [3] }), 'reject', 'b'), [
      { type: 'reject', pieces: [3], reason: 'expected' }
    ])
  })

  it('tells all what it has together with what it took, and when that does not come after all', () => {
    const swarm = swarmOf(8, [0])
    for (const key of ['a', 'b']) join(swarm, key, 8, 'all')
    deliver(swarm, 'a', 7, 0)
    say(swarm, 'a', { type: 'offer', pieces: [3] }, 1)
    say(swarm, 'b', { type: 'offer', pieces: [4] }, 1)
    swarm.handle({ type: 'pieceReceived', peer: 'b', piece: 4, bytes: PIECE_BYTES }, 10)
    const told = (outputs: readonly Output[]): Message[] =>
      outputs.flatMap(output => (output.type === 'broadcast' ? [output.message] : []))
    assert.deepEqual(told(swarm.handle({ type: 'pieceVerified', peer: 'b', piece: 4 }, 11)), [
      { type: 'have', pieces: [4] },
      { type: 'expecting', pieces: [3] }
    ])
    const outputs = swarm.handle({ type: 'peerLeft', peer: 'a', reason: 'gone' }, 20)
    assert.deepEqual(told(outputs), [{ type: 'cancel', pieces: [3] }])
    // Asked for without an offer it gives way to one, so nobody is to refrain.
    assert.equal(sent(outputs, 'request', 'b').length, 1)
    join(swarm, 'c', 8, 'all', 20)
    say(swarm, 'c', { type: 'offer', pieces: [5] }, 21)
    swarm.handle({ type: 'pieceReceived', peer: 'c', piece: 5, bytes: PIECE_BYTES }, 30)
    assert.deepEqual(told(swarm.handle({ type: 'pieceVerified', peer: 'c', piece: 5 }, 31)), [{ type: 'have', pieces: [5] }])
  })

  it('tells nobody that it expects a piece of a sender that never delivered', () => {
    const swarm = swarmOf(8, [0])
    for (const key of ['stranger', 'known']) join(swarm, key, 8, 'all')
    say(swarm, 'stranger', { type: 'offer', pieces: [3] }, 1)
    const outputs = [...deliver(swarm, 'known', 4, 2), ...tickUntil(swarm, 2, 1000)]
    assert.equal(sent(outputs, 'have').length, 1)
    assert.deepEqual(sent(outputs, 'expecting'), [])
  })

  it('bans a peer whose piece is corrupt and takes the piece from another', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'bad', 8, 'all')
    join(swarm, 'good', 8, 'all')
    say(swarm, 'bad', { type: 'offer', pieces: [3] })
    const accepted = swarm.handle({ type: 'pieceReceived', peer: 'bad', piece: 3, bytes: PIECE_BYTES }, 10)
    assert.ok(accepted.some(output => output.type === 'acceptPiece' && output.piece === 3))
    const outputs = swarm.handle({ type: 'pieceCorrupt', peer: 'bad', piece: 3 }, 11)
    const disconnect = outputs.find(output => output.type === 'disconnect')
    assert.ok(disconnect?.type === 'disconnect' && disconnect.peer === 'bad' && disconnect.banMs > 0)
    assert.equal(swarm.accepts('bad', 12), false)
    assert.deepEqual(sent(outputs, 'request', 'good'), [{ type: 'request', pieces: [3], urgent: false }])
    swarm.assertInvariants()
  })

  it('asks others at once for what the sender that left, paused or lost the piece did not send', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'sender', 8, 'all')
    join(swarm, 'other', 8, 'all')
    say(swarm, 'sender', { type: 'offer', pieces: [3] })
    assert.deepEqual(sent(say(swarm, 'other', { type: 'offer', pieces: [3] }), 'reject', 'other')[0]?.reason, 'expected')
    const outputs = swarm.handle({ type: 'peerLeft', peer: 'sender', reason: 'complete' }, 10)
    // 'other' was told that somebody else sends it and would not offer it again for long.
    assert.deepEqual(sent(outputs, 'request', 'other'), [{ type: 'request', pieces: [3], urgent: false }])

    join(swarm, 'third', 8, 'all', 20)
    for (const reason of ['choked', 'missing'] as const) {
      const [from, to] = reason === 'choked' ? (['other', 'third'] as const) : (['third', 'fourth'] as const)
      if (to === 'fourth') join(swarm, 'fourth', 8, 'all', 21)
      const answered = say(swarm, from, { type: 'reject', pieces: [3], reason }, 30)
      assert.deepEqual(sent(answered, 'request', to), [{ type: 'request', pieces: [3], urgent: false }])
    }
    // Nobody is left who has it: it waits for an offer.
    assert.deepEqual(sent(say(swarm, 'fourth', { type: 'reject', pieces: [3], reason: 'missing' }, 40), 'request'), [])
    swarm.assertInvariants()
  })

  it('does not turn down the offer that its own request crossed', () => {
    const swarm = swarmOf(1, [])
    join(swarm, 'a', 1, 'all')
    swarm.handle({ type: 'readerMoved', reader: 'r', first: 0, last: 0, deadlineMs: 100 }, 10)
    assert.deepEqual(say(swarm, 'a', { type: 'offer', pieces: [0] }, 11), [])
  })

  it('drops a piece that it never asked for and bans its sender', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'pushy', 8, 'all')
    const outputs = swarm.handle({ type: 'pieceReceived', peer: 'pushy', piece: 3, bytes: PIECE_BYTES }, 10)
    assert.ok(outputs.some(output => output.type === 'dropPiece'))
    assert.ok(outputs.some(output => output.type === 'disconnect' && output.banMs > 0))
  })

  it('asks another peer when the first goes silent', () => {
    const swarm = swarmOf(1, [])
    join(swarm, 'silent', 1, 'all')
    join(swarm, 'other', 1, 'all')
    say(swarm, 'silent', { type: 'offer', pieces: [0] })
    // The silent one never delivered: there is no reason to wait for its time-out.
    const outputs = tickUntil(swarm, 0, 2000)
    assert.equal(sent(outputs, 'request', 'other').length, 1)
  })

  it('is patient with the only peer while nobody has delivered anything, and drops it soon once somebody has', () => {
    const droppedMs = (hasDelivered: boolean): number => {
      const swarm = swarmOf(8, [])
      if (hasDelivered) {
        join(swarm, 'good', 8, [0])
        say(swarm, 'good', { type: 'offer', pieces: [0] })
        swarm.handle({ type: 'pieceReceived', peer: 'good', piece: 0, bytes: PIECE_BYTES }, 100)
        swarm.handle({ type: 'pieceVerified', piece: 0, peer: 'good' }, 100)
      }
      join(swarm, 'slow', 8, 'all')
      for (let ms = 200; ms < 600_000; ms += 200) {
        const isDropped = swarm
          .handle({ type: 'tick' }, ms)
          .some(output => output.type === 'disconnect' && output.peer === 'slow')
        if (isDropped) return ms
      }
      return Number.POSITIVE_INFINITY
    }
    assert.ok(droppedMs(false) > 120_000, `after ${droppedMs(false)} ms`)
    assert.ok(droppedMs(true) < 100_000, `after ${droppedMs(true)} ms`)
  })

  it('requests by itself from a peer that never offers', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'simple', 8, 'all')
    assert.ok(sent(tickUntil(swarm, 0, 6000), 'request', 'simple').length > 0)
  })

  it('asks for what a reader waits for at once and urgently', () => {
    const swarm = swarmOf(64, [])
    join(swarm, 'a', 64, 'all')
    const outputs = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 50, deadlineMs: 100 }, 10)
    const [request] = sent(outputs, 'request', 'a')
    assert.equal(request?.urgent, true)
    assert.equal(request?.pieces[0], 40)
  })

  it('clears the way for a reader that comes or jumps', () => {
    const swarm = swarmOf(64, [])
    join(swarm, 'a', 64, 'all')
    join(swarm, 'b', 64, 'all')
    const [first] = sent(say(swarm, 'a', { type: 'offer', pieces: [3] }, 1), 'request', 'a')
    assert.deepEqual(first?.pieces, [3])
    const come = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 50, deadlineMs: 100 }, 10)
    assert.deepEqual(sent(come, 'cancel', 'a'), [{ type: 'cancel', pieces: [3] }])
    // Only what it needs to start, until it has its first piece: others would come before that.
    const asked = sent(come, 'request').flatMap(({ pieces }) => pieces)
    assert.deepEqual(asked.sort(), [40, 41, 42])
    const on = swarm.handle({ type: 'readerMoved', reader: 'r', first: 41, last: 51, deadlineMs: 100 }, 20)
    assert.deepEqual(sent(on, 'cancel'), [])
    const jump = swarm.handle({ type: 'readerMoved', reader: 'r', first: 8, last: 18, deadlineMs: 100 }, 30)
    assert.ok(sent(jump, 'cancel').some(({ pieces }) => pieces.includes(41)))
    swarm.assertInvariants()
  })

  it('goes on with the rest of the window, and with others, where what a reader needs first cannot be had', () => {
    const swarm = swarmOf(64, [])
    join(swarm, 'a', 64, [44, 45, 63])
    const outputs = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 50, deadlineMs: 100 }, 10)
    assert.deepEqual(
      sent(outputs, 'request', 'a').flatMap(({ pieces }) => pieces),
      [44, 45]
    )
    for (const piece of [44, 45]) {
      swarm.handle({ type: 'pieceReceived', peer: 'a', piece, bytes: PIECE_BYTES }, 20)
      swarm.handle({ type: 'pieceVerified', piece, peer: 'a' }, 20)
    }
    assert.deepEqual(sent(say(swarm, 'a', { type: 'offer', pieces: [63] }, 21), 'request')[0]?.pieces, [63])
  })

  it('asks for what a reader waits for where no piece of ours stands before the request', () => {
    const swarm = swarmOf(64, [1, 2])
    const rest = Array.from({ length: 62 }, (_, index) => index + 2)
    join(swarm, 'busy', 64, rest)
    join(swarm, 'idle', 64, rest)
    const served = say(swarm, 'busy', { type: 'request', pieces: [1], urgent: true }, 1)
    assert.ok(served.some(output => output.type === 'servePiece' && output.peer === 'busy'))
    const outputs = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 40, deadlineMs: 100 }, 10)
    assert.deepEqual(sent(outputs, 'request', 'idle')[0]?.pieces, [40])
  })

  it('says why it waits', () => {
    const swarm = swarmOf(8, [])
    assert.equal(swarm.snapshot().waitingFor, undefined)
    tickUntil(swarm, 0, 5000)
    assert.match(swarm.snapshot().waitingFor ?? '', /no peer of this content/)
    join(swarm, 'a', 8, [], 6000)
    assert.match(swarm.snapshot().waitingFor ?? '', /no connected peer has any of the 8 missing pieces/)
    swarm.handle({ type: 'storeFailed', piece: 1, reason: 'ENOSPC' }, 6001)
    assert.match(swarm.snapshot().waitingFor ?? '', /disk cannot keep pieces: ENOSPC/)
  })
})
