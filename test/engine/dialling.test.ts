import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Swarm } from '../../src/engine/swarm.ts'
import type { Input } from '../../src/engine/types.ts'
import { swarmOf } from './world.ts'

const HANDSHAKE_MS = 3000
const ENOUGH = 8

/** The peers that the engine dials on an input. */
const dialled = (swarm: Swarm, input: Input, nowMs: number): string[] =>
  swarm.handle(input, nowMs).flatMap(output => (output.type === 'dial' ? [output.peer] : []))

test('eight neighbours are dialled at once, the others one by one and the slower the longer a handshake takes', () => {
  const swarm = swarmOf(16, [])
  const dials: { peer: string; ms: number }[] = []
  const hand = (input: Input, ms: number): void => {
    for (const peer of dialled(swarm, input, ms)) dials.push({ peer, ms })
  }
  for (let i = 0; i < 40; i++) hand({ type: 'peerDiscovered', peer: `n${i}`, source: 'dht' }, 0)
  let answered = 0
  for (let nowMs = 200; nowMs < 60_000; nowMs += 200) {
    hand({ type: 'tick' }, nowMs)
    for (const { peer, ms } of dials.slice(answered)) {
      if (nowMs - ms < HANDSHAKE_MS) break
      answered++
      hand({ type: 'peerJoined', peer, initiator: true, labels: {} }, nowMs)
    }
  }
  const times = dials.map(({ ms }) => ms)
  assert.ok((times[ENOUGH - 1] as number) < HANDSHAKE_MS, 'enough to begin with, before the first answers')
  assert.ok(times.length > ENOUGH + 3, `${times.length} were dialled`)
  for (let i = ENOUGH; i < times.length; i++) {
    const waitedMs = (times[i] as number) - (times[i - 1] as number)
    assert.ok(waitedMs > 2 * HANDSHAKE_MS, 'the next one waits for the one before, and as long again')
  }
})
