import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import { join, PIECE_BYTES, say, sent, swarmOf, World } from './world.ts'

const MOST = 4

/** A leecher whose neighbours are all there may be; those that it dialled first. */
function full(dialled: number): Swarm {
  const swarm = swarmOf(16, [], { maxNeighbours: MOST })
  for (let i = 0; i < MOST; i++) swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: i < dialled, labels: {} }, i)
  return swarm
}

const newcomer = (swarm: Swarm, peer: string, nowMs: number): readonly Output[] =>
  swarm.handle({ type: 'peerJoined', peer, initiator: false, labels: {} }, nowMs)
const cut = (outputs: readonly Output[]): string[] =>
  outputs.flatMap(output => (output.type === 'disconnect' ? [output.peer] : []))

describe('a peer that has all neighbours that it may have', () => {
  it('lets the neighbour that dialled it first go for a newcomer, once those there have had their time', () => {
    const swarm = full(2)
    assert.deepEqual(cut(newcomer(swarm, 'late', 1000)), ['late'])
    assert.deepEqual(cut(newcomer(swarm, 'late', 20_000)), ['n2'])
  })

  it('does so now and then, not for everybody who knocks', () => {
    const swarm = full(0)
    newcomer(swarm, 'late', 20_000)
    assert.deepEqual(cut(newcomer(swarm, 'later', 20_001)), ['later'])
    assert.deepEqual(cut(newcomer(swarm, 'later', 40_000)), ['n1'])
  })

  it('does so more seldom where its uplink takes seconds for a piece', () => {
    const takesAt = (pieceMs: number, atMs: number): boolean => {
      const swarm = swarmOf(16, 'all', { maxNeighbours: MOST })
      for (let i = 0; i < MOST; i++) swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: false, labels: {} }, 0)
      say(swarm, 'n0', { type: 'bitfield', bits: new Uint8Array(2) })
      for (const [index, piece] of [1, 2, 3].entries()) {
        say(swarm, 'n0', { type: 'request', pieces: [piece], urgent: true }, index * pieceMs)
        swarm.handle({ type: 'pieceServed', peer: 'n0', piece, bytes: PIECE_BYTES }, index * pieceMs + 1)
        say(swarm, 'n0', { type: 'have', pieces: [piece] }, (index + 1) * pieceMs)
      }
      return !cut(newcomer(swarm, 'late', atMs)).includes('late')
    }
    assert.equal(takesAt(100, 9000), false)
    assert.equal(takesAt(100, 20_000), true)
    assert.equal(takesAt(4000, 20_000), false)
    assert.equal(takesAt(4000, 60_000), true)
  })

  it('keeps those that it dialled, however many others knock', () => {
    const swarm = full(MOST)
    for (let nowMs = 20_000; nowMs < 200_000; nowMs += 20_000)
      assert.deepEqual(cut(newcomer(swarm, `late${nowMs}`, nowMs)), [`late${nowMs}`])
  })

  it('tells those that it turns away where others are: who was turned away before them, then its neighbours', () => {
    const swarm = full(MOST)
    const told = (peer: string): string[] =>
      sent(newcomer(swarm, peer, 1000), 'peers', peer).flatMap(({ peers }) => peers.map(other => other.peer))
    assert.deepEqual(told('a').sort(), ['n0', 'n1', 'n2', 'n3'])
    assert.deepEqual(told('b').slice(0, 1), ['a'])
    for (let i = 0; i < 600; i++) told(`c${i}`)
    const last = told('last')
    assert.equal(last.length, 16)
    assert.equal(last.filter(peer => peer.startsWith('c')).length, 12)
    const heard = new Set(Array.from({ length: 200 }, () => told('last')).flat())
    assert.ok(!heard.has('last') && !heard.has('a') && !heard.has('c80'), 'it forgets those that came long ago')
    assert.ok(heard.size > 400, `${heard.size}`)
  })

  it('does not hear those that it turned away or let go again at once', () => {
    const swarm = full(0)
    newcomer(swarm, 'late', 1000)
    assert.equal(swarm.accepts('late', 1500), false)
    assert.equal(swarm.accepts('late', 2500), true)
    assert.deepEqual(cut(newcomer(swarm, 'later', 20_000)), ['n0'])
    assert.equal(swarm.accepts('n0', 20_500), false)
  })

  it('tells nothing to those that it banned', () => {
    const swarm = full(MOST)
    say(swarm, 'n0', { type: 'have', pieces: [99] })
    assert.deepEqual(sent(newcomer(swarm, 'n0', 1000), 'peers'), [])
    assert.equal(swarm.accepts('n0', 1000), false)
  })

  it('is left alone for longer each time by a peer that it turned away', () => {
    const swarm = swarmOf(16, [])
    swarm.handle({ type: 'tick' }, 0)
    swarm.handle({ type: 'peerDiscovered', peer: 'full', source: 'hint' }, 1)
    const dials: number[] = []
    for (let nowMs = 100; nowMs < 60_000; nowMs += 100) {
      for (const output of swarm.handle({ type: 'tick' }, nowMs)) {
        if (output.type !== 'dial') continue
        dials.push(nowMs)
        swarm.handle({ type: 'peerJoined', peer: 'full', initiator: true, labels: {} }, nowMs)
        swarm.handle({ type: 'peerLeft', peer: 'full', reason: 'no room' }, nowMs + 20)
      }
    }
    const pauses = dials.slice(1).map((dialMs, index) => dialMs - (dials[index] as number))
    assert.ok(pauses.length >= 3)
    for (const [index, pauseMs] of pauses.slice(1).entries()) assert.ok(pauseMs > (pauses[index] as number), pauses.join())
  })
})

describe('somebody who reads what no neighbour has', () => {
  const offered = (have: readonly number[]): string[] => {
    const swarm = swarmOf(16, [3])
    join(swarm, 'holder', 16, have)
    swarm.handle({ type: 'readerMoved', reader: 'r', first: 0, last: 1, deadlineMs: 0 }, 10)
    // What the reader stands at is asked for now, if it can be had, but not what is offered here.
    const outputs = say(swarm, 'holder', { type: 'offer', pieces: [9] }, 20)
    return outputs.flatMap(output =>
      output.type === 'send' && 'pieces' in output.message && output.message.pieces.includes(9) ? [output.message.type] : []
    )
  }

  it('takes other pieces meanwhile', () => {
    assert.deepEqual(offered([9]), ['request'])
    assert.deepEqual(offered([0, 9]), ['reject'])
  })
})

describe('a seeder with one receiver, who has nobody to pass anything on to', () => {
  it('keeps its uplink full', () => {
    const world = new World({ delayMs: 5, pieceMs: 10 })
    world.add('seeder', swarmOf(256, 'all'))
    world.add('leecher', swarmOf(256, []))
    world.connect('seeder', 'leecher')
    assert.ok(world.run(() => world.isEveryoneComplete(), 60_000))
    assert.ok(world.nowMs < 1.1 * 256 * 10, `took ${world.nowMs} ms of 2560`)
  })
})
