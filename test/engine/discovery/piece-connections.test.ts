import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Input } from '../../../src/engine/contract.ts'
import { PieceConnections } from '../../../src/engine/discovery/piece-connections.ts'
import { join, PIECE_BYTES, say, swarmOf } from '../world.ts'

describe('connections for pieces', () => {
  it('are asked for once for each neighbour, in the order in which they came', () => {
    const connections = new PieceConnections()
    for (const peer of ['a', 'b', 'c']) connections.handleJoined(peer)
    connections.handleLeft('b')
    assert.deepEqual([connections.next(0), connections.next(0), connections.next(0)], ['a', 'c', undefined])
  })

  it('are asked for again a minute after a failure, and not of those who left', () => {
    const connections = new PieceConnections()
    for (const peer of ['a', 'b']) connections.handleJoined(peer)
    connections.next(0)
    connections.handleFailed('a', 10)
    assert.equal(connections.next(20), 'b')
    assert.equal(connections.next(60_009), undefined)
    assert.equal(connections.next(60_010), 'a')
    connections.handleFailed('a', 70_000)
    connections.handleLeft('a')
    assert.equal(connections.next(1_000_000), undefined)
  })

  it('are not asked for while housekeeping comes late, however late a single round was', () => {
    const connections = new PieceConnections()
    for (const peer of ['a', 'b']) connections.handleJoined(peer)
    connections.handleHousekeeping(3_600_000)
    assert.equal(connections.next(0), 'a')
    for (let round = 0; round < 16; round++) connections.handleHousekeeping(40)
    assert.equal(connections.next(0), undefined)
    for (let round = 0; round < 16; round++) connections.handleHousekeeping(2)
    assert.equal(connections.next(0), 'b')
  })

  it('are asked for by a peer whose uplink takes long for a piece, and by no other', () => {
    const asksFor = (pieceMs: number): string[] => {
      const swarm = swarmOf(16, 'all')
      for (const peer of ['a', 'b']) join(swarm, peer, 16, [])
      const asked: string[] = []
      const hand = (input: Input, nowMs: number): void => {
        // The timer of an idle machine.
        for (let dueMs = swarm.deadlineMs(); dueMs !== undefined && dueMs < nowMs; dueMs = swarm.deadlineMs())
          swarm.handle({ type: 'tick' }, dueMs)
        for (const output of swarm.handle(input, nowMs)) if (output.type === 'openPieceConnection') asked.push(output.peer)
      }
      for (let piece = 0; piece < 6; piece++) {
        say(swarm, 'a', { type: 'request', pieces: [piece], urgent: true }, piece * pieceMs)
        hand({ type: 'pieceServed', peer: 'a', piece, bytes: PIECE_BYTES }, (piece + 1) * pieceMs - 1)
        say(swarm, 'a', { type: 'have', pieces: [piece] }, (piece + 1) * pieceMs)
      }
      return asked
    }
    assert.deepEqual(asksFor(2000), ['a', 'b'])
    assert.deepEqual(asksFor(5), [])
  })
})
