import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Input, Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import { say, swarmOf, tickUntil } from './world.ts'

const HANDSHAKE_MS = 2000
const FEW = 3
const ENOUGH = 8

/** The peer says that it has the first piece, and nothing else. */
function hasFirst(peer: string, swarm: Swarm): Input {
  const bits = new Uint8Array(Math.ceil(swarm.snapshot().pieceCount / 8))
  bits[0] = 0x80
  return { type: 'messageReceived', peer, message: { type: 'bitfield', bits } }
}

/** Hands the input in; requests that follow are refused, as by peers that are busy. */
function handBusy(swarm: Swarm, input: Input, nowMs: number): readonly Output[] {
  return swarm.handle(input, nowMs).flatMap(output => {
    if (output.type !== 'send' || output.message.type !== 'request') return output
    const message = { type: 'reject', pieces: output.message.pieces, reason: 'full' } as const
    return handBusy(swarm, { type: 'messageReceived', peer: output.peer, message }, nowMs)
  })
}

interface Dial {
  readonly peer: string
  readonly ms: number
}

/**
 * Ticks a swarm that hears of 40 peers at once; those in `isAlive` answer after `handshakeMs`, the others
 * never.
 */
function dialsOf(
  swarm: Swarm,
  untilMs: number,
  isAlive: (peer: string) => boolean = () => true,
  handshakeMs = HANDSHAKE_MS
): Dial[] {
  const dials: Dial[] = []
  const hand = (input: Input, ms: number): void => {
    for (const output of handBusy(swarm, input, ms)) if (output.type === 'dial') dials.push({ peer: output.peer, ms })
  }
  for (let i = 0; i < 40; i++) hand({ type: 'peerDiscovered', peer: `n${i}`, source: 'dht' }, 0)
  let answered = 0
  for (let nowMs = 200; nowMs < untilMs; nowMs += 200) {
    hand({ type: 'tick' }, nowMs)
    for (const { peer, ms } of dials.slice(answered)) {
      if (nowMs - ms < handshakeMs) break
      answered++
      if (!isAlive(peer)) continue
      hand({ type: 'peerJoined', peer, initiator: true, labels: {} }, nowMs)
      hand(hasFirst(peer, swarm), nowMs)
    }
  }
  return dials
}

describe('dialling', () => {
  it('begins with three at once; where these are slow the others follow one by one and the slower the longer a handshake takes', () => {
    const times = dialsOf(swarmOf(16, []), 60_000).map(({ ms }) => ms)
    assert.ok((times[FEW - 1] as number) < HANDSHAKE_MS, 'some to begin with, before the first answers')
    assert.ok(times.length > FEW + 3, `${times.length} were dialled`)
    for (let i = FEW; i < times.length; i++) {
      const waitedMs = (times[i] as number) - (times[i - 1] as number)
      assert.ok(waitedMs > 2 * HANDSHAKE_MS, 'the next one waits for the one before, and as long again')
    }
  })

  it('goes on to eight at once where handshakes are quick', () => {
    const inOneSecond = dialsOf(swarmOf(16, []), 1000, () => true, 100).length
    assert.ok(inOneSecond >= ENOUGH, `${inOneSecond} were dialled`)
  })

  it('does not wait for those that never answer', () => {
    const inTenSeconds = dialsOf(swarmOf(16, []), 10_000, () => false).length
    assert.ok(inTenSeconds > FEW, `only ${inTenSeconds} were dialled`)
    assert.ok(inTenSeconds <= ENOUGH, `${inTenSeconds} at once`)
  })

  it('looks for peers while it knows too few to replace those that it may lose', () => {
    const searches = (spare: number): number => {
      const swarm = swarmOf(128, [])
      const outputs: Output[] = []
      for (let i = 0; i < 16; i++)
        outputs.push(
          ...swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: false, labels: {} }, 0),
          ...swarm.handle(hasFirst(`n${i}`, swarm), 0)
        )
      for (let i = 0; i < spare; i++) outputs.push(...swarm.handle({ type: 'peerDiscovered', peer: `s${i}`, source: 'dht' }, 1))
      swarm.handle({ type: 'searchEnded', couldAsk: true, mayTurnUp: false }, 2)
      for (let nowMs = 200; nowMs < 60_000; nowMs += 200) outputs.push(...handBusy(swarm, { type: 'tick' }, nowMs))
      return outputs.filter(({ type }) => type === 'findPeers').length
    }
    assert.equal(searches(0), 2)
    assert.equal(searches(4), 1)
  })

  it('waits longer and longer before it dials a peer again that left before it sent its bitfield, however slow the refusal', () => {
    const swarm = swarmOf(16, [])
    const dials: number[] = []
    const hand = (input: Input, nowMs: number): void => {
      for (const output of swarm.handle(input, nowMs)) if (output.type === 'dial') dials.push(nowMs)
    }
    hand({ type: 'peerDiscovered', peer: 'full', source: 'hint' }, 0)
    for (let nowMs = 200; nowMs < 60_000; nowMs += 200) {
      hand({ type: 'tick' }, nowMs)
      const dialledMs = dials.at(-1)
      if (dialledMs === nowMs) hand({ type: 'peerJoined', peer: 'full', initiator: true, labels: {} }, nowMs)
      if (dialledMs === nowMs - 3000) hand({ type: 'peerLeft', peer: 'full', reason: 'no room' }, nowMs)
    }
    assert.ok(dials.length >= 3 && dials.length <= 5, `${dials.length} dials`)
  })

  it('looks for others, and lets a useless neighbour go for them, when no neighbour has had anything for it for long', () => {
    const swarm = swarmOf(16, [], { maxNeighbours: 4 })
    for (let i = 0; i < 4; i++) {
      swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: true, labels: {} }, 0)
      say(swarm, `n${i}`, { type: 'bitfield', bits: new Uint8Array(2) })
    }
    swarm.handle({ type: 'peerDiscovered', peer: 'other', source: 'dht' }, 1)
    const asked = (untilMs: number, fromMs: number): string[] =>
      tickUntil(swarm, fromMs, untilMs).flatMap(({ type }) => (type === 'dial' || type === 'findPeers' ? [type] : []))
    assert.deepEqual(
      asked(9000, 0).filter(type => type === 'dial'),
      []
    )
    swarm.handle({ type: 'searchEnded', couldAsk: true, mayTurnUp: false }, 9000)
    const later = asked(40_000, 9000)
    assert.ok(later.includes('dial') && later.includes('findPeers'), later.join())
    const outputs = swarm.handle({ type: 'peerJoined', peer: 'other', initiator: true, labels: {} }, 40_000)
    assert.deepEqual(
      outputs.flatMap(output => (output.type === 'disconnect' ? [output.peer] : [])),
      ['n0']
    )
  })

  it('keeps to its neighbours while one of them has something for it', () => {
    const swarm = swarmOf(16, [], { maxNeighbours: 4 })
    for (let i = 0; i < 4; i++) {
      swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: true, labels: {} }, 0)
      say(swarm, `n${i}`, { type: 'bitfield', bits: new Uint8Array([i === 0 ? 0x80 : 0, 0]) })
    }
    swarm.handle({ type: 'peerDiscovered', peer: 'other', source: 'dht' }, 1)
    assert.deepEqual(
      tickUntil(swarm, 0, 40_000).filter(({ type }) => type === 'dial'),
      []
    )
  })

  it('stops where more neighbours would bring hardly any piece each', () => {
    const dialled = (pieces: number): number => dialsOf(swarmOf(pieces, []), 300_000).length
    assert.equal(dialled(16), 12)
    assert.equal(dialled(128), 16)
    assert.equal(dialled(2048), 21)
  })
})
