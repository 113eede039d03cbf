import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Output } from '../../src/engine/contract.ts'
import { join, PIECE_BYTES, say, sent, swarmOf, tickUntil } from './world.ts'

describe('the uploading half', () => {
  it('offers the piece that the fewest neighbours hold', () => {
    const swarm = swarmOf(4, 'all')
    join(swarm, 'x', 4, 'all')
    join(swarm, 'y', 4, 'all')
    join(swarm, 'z', 4, [0, 1, 3])
    // What was offered to it and is not on its way does not count.
    say(swarm, 'z', { type: 'reject', pieces: [2], reason: 'full' })
    const [offer] = sent(join(swarm, 'c', 4, [0]), 'offer', 'c')
    assert.equal(offer?.pieces[0], 2)
  })

  it('serves a peer that only requests and never answers offers', () => {
    const swarm = swarmOf(8, 'all')
    join(swarm, 'simple', 8, [])
    const answer = say(swarm, 'simple', { type: 'request', pieces: [5, 6], urgent: false }, 100)
    const servedIn = (outputs: readonly Output[]): number[] =>
      outputs.flatMap(output => (output.type === 'servePiece' ? [output.piece] : []))
    const first = servedIn([...answer, ...tickUntil(swarm, 100, 6000)])
    assert.equal(first.length, 1, 'one on trial')
    // It acknowledges as everybody must.
    const kept = say(swarm, 'simple', { type: 'have', pieces: first }, 6000)
    const second = servedIn([...kept, ...tickUntil(swarm, 6000, 7000)])
    assert.deepEqual([...first, ...second].sort(), [5, 6])
  })

  it('offers again at once when a peer that was full has kept a piece', () => {
    const swarm = swarmOf(4, 'all')
    const [offer] = sent(join(swarm, 'leecher', 4, []), 'offer', 'leecher')
    const [first, ...others] = offer?.pieces ?? []
    assert.ok(first !== undefined && others.length > 0)
    say(swarm, 'leecher', { type: 'request', pieces: [first], urgent: false }, 1)
    say(swarm, 'leecher', { type: 'reject', pieces: others, reason: 'full' }, 1)
    const [again] = sent(say(swarm, 'leecher', { type: 'have', pieces: [first] }, 5), 'offer', 'leecher')
    assert.ok(again !== undefined && again.pieces.length > 0)
  })

  it('gives the first piece the uplink for itself until the transport took it, and for a bounded time', () => {
    const servedBy = (untilMs: number, takenMs?: number, pieceBytes = PIECE_BYTES): number => {
      const swarm = swarmOf(8, 'all', {}, 'test', pieceBytes)
      const peers = ['a', 'b', 'c']
      const offers = peers.map(peer => sent(join(swarm, peer, 8, []), 'offer', peer).flatMap(offer => offer.pieces))
      const outputs = peers.flatMap((peer, index) => {
        const pieces = offers[index] as number[]
        return say(swarm, peer, { type: 'request', pieces, urgent: false }, 100)
      })
      outputs.push(...tickUntil(swarm, 100, takenMs ?? untilMs))
      const first = outputs.find(output => output.type === 'servePiece')
      if (takenMs !== undefined && first !== undefined) {
        const { peer, piece } = first
        outputs.push(...swarm.handle({ type: 'pieceServed', peer, piece, bytes: pieceBytes }, takenMs))
      }
      return [...outputs, ...tickUntil(swarm, takenMs ?? untilMs, untilMs)].filter(({ type }) => type === 'servePiece').length
    }
    assert.equal(servedBy(1900), 1)
    assert.equal(servedBy(1900, 1800), 2)
    assert.equal(servedBy(8000), 2)
    // As long as it takes at 0.5 Mbit/s.
    assert.equal(servedBy(4000, undefined, 256 * 1024), 1)
    assert.equal(servedBy(8000, undefined, 256 * 1024), 2)
  })

  it('begins pieces beside first ones that nobody acknowledges ever more seldom', () => {
    const swarm = swarmOf(64, 'all')
    const startedMs: number[] = []
    const take = (outputs: readonly Output[], nowMs: number): void => {
      for (const output of outputs) {
        if (output.type === 'servePiece') {
          startedMs.push(nowMs)
          take(swarm.handle({ type: 'pieceServed', peer: output.peer, piece: output.piece, bytes: PIECE_BYTES }, nowMs), nowMs)
        } else if (output.type === 'send' && output.message.type === 'offer') {
          take(say(swarm, output.peer, { type: 'request', pieces: output.message.pieces, urgent: false }, nowMs), nowMs)
        }
      }
    }
    const first = Array.from({ length: 16 }, (_, i) => join(swarm, `leecher${i}`, 64, []))
    take(first.flat(), 0)
    for (let nowMs = 10; nowMs <= 50_000; nowMs += 10) take(swarm.handle({ type: 'tick' }, nowMs), nowMs)
    const times = [...new Set(startedMs)]
    // The first had the uplink for itself.
    const pauses = times.slice(2).map((ms, index) => ms - (times[index + 1] as number))
    assert.ok(pauses.length >= 3, `pieces began at ${times}`)
    for (const [index, pause] of pauses.entries()) assert.ok(index === 0 || pause > (pauses[index - 1] as number), `${pauses}`)
  })

  it('offers nothing that a neighbour expects from others, until that does not come', () => {
    const swarm = swarmOf(4, 'all')
    const offersTo = (outputs: readonly Output[]): number[] => sent(outputs, 'offer', 'x').flatMap(({ pieces }) => pieces)
    assert.deepEqual(offersTo(join(swarm, 'x', 4, [0, 1, 2])), [3])
    say(swarm, 'x', { type: 'reject', pieces: [3], reason: 'full' }, 1)
    say(swarm, 'x', { type: 'expecting', pieces: [3] }, 2)
    assert.deepEqual(offersTo(tickUntil(swarm, 2, 3000)), [])
    const again = [...say(swarm, 'x', { type: 'cancel', pieces: [3] }, 3001), ...tickUntil(swarm, 3001, 3100)]
    assert.deepEqual(offersTo(again), [3])
    swarm.assertInvariants()
  })

  it('refuses a neighbour that expects a piece which does not exist', () => {
    const swarm = swarmOf(4, 'all')
    join(swarm, 'x', 4, [])
    const [output] = say(swarm, 'x', { type: 'expecting', pieces: [4] }, 1)
    assert.ok(output?.type === 'disconnect' && output.banMs > 0)
  })

  it('sends nothing that was not requested', () => {
    const swarm = swarmOf(8, 'all')
    const outputs = [...join(swarm, 'leecher', 8, []), ...tickUntil(swarm, 0, 20_000)]
    assert.ok(sent(outputs, 'offer').length > 0)
    assert.equal(outputs.filter(output => output.type === 'servePiece').length, 0)
  })

  it('rejects requests of pieces that it lacks', () => {
    const swarm = swarmOf(8, [1])
    join(swarm, 'peer', 8, [])
    assert.deepEqual(sent(say(swarm, 'peer', { type: 'request', pieces: [2], urgent: false }), 'reject'), [
      { type: 'reject', pieces: [2], reason: 'missing' }
    ])
  })

  it('serves an urgent request before all others', () => {
    const swarm = swarmOf(64, 'all', { maxUploadSlots: 1 })
    join(swarm, 'a', 64, [])
    join(swarm, 'b', 64, [])
    const outputs = say(swarm, 'a', { type: 'request', pieces: [1, 2, 3, 4, 5, 6], urgent: true })
    say(swarm, 'b', { type: 'request', pieces: [9], urgent: false })
    assert.equal(outputs.find(output => output.type === 'servePiece')?.peer, 'a')
  })

  it('starts an urgent piece although its window is full, and so only a few', () => {
    const swarm = swarmOf(64, 'all')
    const offers = ['slow', 'slower'].flatMap(peer => sent(join(swarm, peer, 64, []), 'offer', peer))
    join(swarm, 'reader', 64, [])
    assert.equal(offers.length, 2)
    // Never acknowledged: what was started stays under way.
    const started = ['slow', 'slower'].flatMap((peer, index) => {
      const { pieces } = offers[index] as { pieces: number[] }
      return say(swarm, peer, { type: 'request', pieces, urgent: false }, 11)
    })
    started.push(...tickUntil(swarm, 11, 2500))
    const before = swarm.snapshot()
    assert.ok(started.length > 0 && before.inFlight >= before.window)
    const outputs = say(
      swarm,
      'reader',
      { type: 'request', pieces: Array.from({ length: 16 }, (_, index) => 40 + index), urgent: true },
      2501
    )
    const urgent = outputs.filter(output => output.type === 'servePiece' && output.isUrgent)
    assert.ok(urgent.length >= 1 && urgent.length <= 8, `${urgent.length}`)
  })
})
