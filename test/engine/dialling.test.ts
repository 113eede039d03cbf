import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Input, Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import { swarmOf, tickUntil } from './world.ts'

const HANDSHAKE_MS = 2000
const FEW = 3
const ENOUGH = 8

interface Dial {
  readonly peer: string
  readonly ms: number
}

/** Ticks a swarm that hears of 40 peers at once; those in `isAlive` answer after `handshakeMs`, the others never. */
function dialsOf(
  swarm: Swarm,
  untilMs: number,
  isAlive: (peer: string) => boolean = () => true,
  handshakeMs = HANDSHAKE_MS
): Dial[] {
  const dials: Dial[] = []
  const hand = (input: Input, ms: number): void => {
    for (const output of swarm.handle(input, ms)) if (output.type === 'dial') dials.push({ peer: output.peer, ms })
  }
  for (let i = 0; i < 40; i++) hand({ type: 'peerDiscovered', peer: `n${i}`, source: 'dht' }, 0)
  let answered = 0
  for (let nowMs = 200; nowMs < untilMs; nowMs += 200) {
    hand({ type: 'tick' }, nowMs)
    for (const { peer, ms } of dials.slice(answered)) {
      if (nowMs - ms < handshakeMs) break
      answered++
      if (isAlive(peer)) hand({ type: 'peerJoined', peer, initiator: true, labels: {} }, nowMs)
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
        outputs.push(...swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: false, labels: {} }, 0))
      for (let i = 0; i < spare; i++) outputs.push(...swarm.handle({ type: 'peerDiscovered', peer: `s${i}`, source: 'dht' }, 1))
      swarm.handle({ type: 'searchEnded', couldAsk: true, mayTurnUp: false }, 2)
      outputs.push(...tickUntil(swarm, 2, 60_000))
      return outputs.filter(({ type }) => type === 'findPeers').length
    }
    assert.equal(searches(0), 2)
    assert.equal(searches(4), 1)
  })

  it('stops where more neighbours would bring hardly any piece each', () => {
    const dialled = (pieces: number): number => dialsOf(swarmOf(pieces, []), 300_000).length
    assert.equal(dialled(16), 12)
    assert.equal(dialled(128), 16)
    assert.equal(dialled(2048), 21)
  })
})
