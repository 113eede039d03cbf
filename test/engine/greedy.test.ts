import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import { join, PIECE_BYTES, say, sent, swarmOf, tickUntil } from './world.ts'

const PIECES = 64
const ALL = Array.from({ length: PIECES }, (_, piece) => piece)
const PIECE_MS = 1000

const cut = (outputs: readonly Output[]): string[] =>
  outputs.flatMap(output => (output.type === 'disconnect' ? [output.peer] : []))

/**
 * Serves and acknowledges what the swarm sends, one piece after another on a slow uplink, until `untilMs`.
 * Offers are taken.
 */
function serve(swarm: Swarm, first: readonly Output[], untilMs: number): Map<string, number> {
  const served = new Map<string, number>()
  const queue: { peer: string; piece: number }[] = []
  const perform = (outputs: readonly Output[], nowMs: number): void => {
    for (const output of outputs) {
      if (output.type === 'servePiece') queue.push(output)
      if (output.type === 'send' && output.message.type === 'offer')
        perform(say(swarm, output.peer, { type: 'request', pieces: output.message.pieces, urgent: false }, nowMs), nowMs)
    }
  }
  let nowMs = 0
  perform(first, 0)
  while (nowMs < untilMs) {
    nowMs += PIECE_MS
    perform(tickUntil(swarm, nowMs - PIECE_MS, nowMs), nowMs)
    const next = queue.shift()
    if (next === undefined) continue
    const { peer, piece } = next
    served.set(peer, (served.get(peer) ?? 0) + 1)
    perform(swarm.handle({ type: 'pieceServed', peer, piece, bytes: PIECE_BYTES }, nowMs), nowMs)
    perform(say(swarm, peer, { type: 'have', pieces: [piece] }, nowMs), nowMs)
  }
  return served
}

describe('a peer that asks for everything as urgent', () => {
  it('leaves others nearly half of a slow uplink', () => {
    const swarm = swarmOf(PIECES, 'all')
    const outputs = ['greedy', 'a', 'b'].flatMap(peer => join(swarm, peer, PIECES, []))
    outputs.push(...say(swarm, 'greedy', { type: 'request', pieces: ALL, urgent: true }))
    const served = serve(swarm, outputs, 40 * PIECE_MS)
    const [greedy = 0, a = 0, b = 0] = ['greedy', 'a', 'b'].map(peer => served.get(peer))
    assert.ok(a + b > 0.8 * greedy, `${greedy} pieces to it, ${a} and ${b} to the others`)
    assert.ok(greedy > 0)
  })

  it('is banned when it asks again for many pieces that it acknowledged', () => {
    const swarm = swarmOf(PIECES, 'all')
    join(swarm, 'greedy', PIECES, 'all')
    assert.deepEqual(cut(say(swarm, 'greedy', { type: 'request', pieces: ALL.slice(0, 16), urgent: true })), [])
    assert.deepEqual(cut(say(swarm, 'greedy', { type: 'request', pieces: ALL.slice(16, 17), urgent: true })), ['greedy'])
    assert.equal(swarm.accepts('greedy', 1), false)
  })
})

describe('a peer that lost many pieces', () => {
  it('begins its streams again, so that its neighbours know and do not take it for greedy', () => {
    const swarm = swarmOf(PIECES, 'all')
    join(swarm, 'a', PIECES, 'all')
    const lose = (piece: number): readonly Output[] => swarm.handle({ type: 'pieceLost', piece }, piece)
    for (const piece of ALL.slice(0, 7)) assert.deepEqual(cut(lose(piece)), [])
    assert.deepEqual(cut(lose(7)), ['a'])
    assert.equal(sent(join(swarm, 'a', PIECES, 'all', 100), 'bitfield')[0]?.bits[0], 0)
  })
})
