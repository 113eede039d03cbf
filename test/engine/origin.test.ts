import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Input, Output } from '../../src/engine/contract.ts'
import { PIECE_BYTES, swarmOf } from './world.ts'

const PIECES = 128

/**
 * Hands inputs to a lone peer with an origin that gives nothing, each at its time, and its ticks when they
 * are due or `lateMs` later; the pieces it asked for by then.
 */
function askedBy(inputs: readonly (readonly [nowMs: number, input: Input])[], lateMs = 0): number {
  const swarm = swarmOf(PIECES, [])
  const windowBytes = PIECES * PIECE_BYTES
  let asked = 0
  let ticks = 0
  const count = (outputs: readonly Output[]): void => {
    for (const output of outputs) if (output.type === 'fetchFromOrigin') asked += output.pieces.length
  }
  count(swarm.handle({ type: 'originChanged', state: 'open', self: 'self', windowBytes, isSequential: false }, 0))
  for (const [nowMs, input] of inputs) {
    for (let dueMs = swarm.deadlineMs(); dueMs !== undefined && dueMs + lateMs < nowMs; dueMs = swarm.deadlineMs()) {
      assert.ok(ticks++ < 10_000, 'a tick moves the deadline')
      count(swarm.handle({ type: 'tick' }, dueMs + lateMs))
    }
    count(swarm.handle(input, nowMs))
  }
  return asked
}

describe('a peer with an origin and no neighbour', () => {
  it('asks for nothing before a search has ended', () => {
    assert.equal(askedBy([[2000, { type: 'tick' }]]), 0)
  })

  it('asks at once when there is nowhere else to look', () => {
    assert.ok(askedBy([[1, { type: 'searchEnded', couldAsk: false, mayTurnUp: false }]]) > PIECES / 64)
  })

  it('begins with little of the content when others may turn up, and then takes more', () => {
    const searched = [1, { type: 'searchEnded', couldAsk: false, mayTurnUp: true }] as const
    const first = askedBy([searched])
    assert.ok(first > 0 && first <= PIECES / 64, `${first} pieces`)
    const later = askedBy([searched, [700, { type: 'tick' }]])
    assert.ok(later > first && later <= PIECES / 2, `${later} pieces`)
    assert.ok(askedBy([searched, [1100, { type: 'tick' }]]) > later)
  })

  it('takes more slowly when its own ticks come late, for then others are late, too', () => {
    const inputs = [
      [1, { type: 'searchEnded', couldAsk: false, mayTurnUp: true }],
      [900, { type: 'tick' }]
    ] as const
    assert.ok(askedBy(inputs, 100) < askedBy(inputs))
  })

  it('waits for a peer that it knows and has not reached', () => {
    const known = [1, { type: 'peerDiscovered', peer: 'other', source: 'hint' }] as const
    const searched = [2, { type: 'searchEnded', couldAsk: false, mayTurnUp: false }] as const
    assert.equal(askedBy([known, searched, [1000, { type: 'tick' }]]), 0)
    assert.ok(
      askedBy([known, searched, [1000, { type: 'dialFailed', peer: 'other', reason: 'refused' }], [1500, { type: 'tick' }]]) > 0
    )
    assert.ok(askedBy([known, searched, [6000, { type: 'tick' }]]) > 0)
  })
})
