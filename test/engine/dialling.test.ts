import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Swarm } from '../../src/engine/swarm.ts'
import type { Input } from '../../src/engine/types.ts'
import { swarmOf, tickUntil } from './world.ts'

const HANDSHAKE_MS = 2000
const ENOUGH = 3

interface Dial {
  readonly peer: string
  readonly ms: number
}

/** Ticks a swarm that hears of 40 peers at once; those in `isAlive` answer after {@link HANDSHAKE_MS}, the others never. */
function dialsOf(swarm: Swarm, untilMs: number, isAlive: (peer: string) => boolean = () => true): Dial[] {
  const dials: Dial[] = []
  const hand = (input: Input, ms: number): void => {
    for (const output of swarm.handle(input, ms)) if (output.type === 'dial') dials.push({ peer: output.peer, ms })
  }
  for (let i = 0; i < 40; i++) hand({ type: 'peerDiscovered', peer: `n${i}`, source: 'dht' }, 0)
  let answered = 0
  for (let nowMs = 200; nowMs < untilMs; nowMs += 200) {
    hand({ type: 'tick' }, nowMs)
    for (const { peer, ms } of dials.slice(answered)) {
      if (nowMs - ms < HANDSHAKE_MS) break
      answered++
      if (isAlive(peer)) hand({ type: 'peerJoined', peer, initiator: true, labels: {} }, nowMs)
    }
  }
  return dials
}

describe('dialling', () => {
  it('begins with three at once; the others follow one by one and the slower the longer a handshake takes', () => {
    const times = dialsOf(swarmOf(16, []), 60_000).map(({ ms }) => ms)
    assert.ok((times[ENOUGH - 1] as number) < HANDSHAKE_MS, 'enough to begin with, before the first answers')
    assert.ok(times.length > ENOUGH + 3, `${times.length} were dialled`)
    for (let i = ENOUGH; i < times.length; i++) {
      const waitedMs = (times[i] as number) - (times[i - 1] as number)
      assert.ok(waitedMs > 2 * HANDSHAKE_MS, 'the next one waits for the one before, and as long again')
    }
  })

  it('does not wait for those that never answer', () => {
    const inTenSeconds = dialsOf(swarmOf(16, []), 10_000, () => false).length
    assert.ok(inTenSeconds > ENOUGH, `only ${inTenSeconds} were dialled`)
    assert.ok(inTenSeconds <= 8, `${inTenSeconds} at once`)
  })

  it('looks for peers as long as there are fewer than it would dial', () => {
    const searches = (neighbours: number): number => {
      const swarm = swarmOf(128, [])
      for (let i = 0; i < neighbours; i++) swarm.handle({ type: 'peerJoined', peer: `n${i}`, initiator: false, labels: {} }, 0)
      return tickUntil(swarm, 0, 60_000).filter(({ type }) => type === 'findPeers').length
    }
    assert.ok(searches(15) > 2)
    assert.equal(searches(16), 0)
  })

  it('stops where more neighbours would bring hardly any piece each', () => {
    const dialled = (pieces: number): number => dialsOf(swarmOf(pieces, []), 300_000).length
    assert.equal(dialled(16), 12)
    assert.equal(dialled(128), 16)
    assert.equal(dialled(2048), 21)
  })
})
