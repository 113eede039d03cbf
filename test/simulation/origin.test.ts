/** What the swarm takes from an origin, in the simulator. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Simulation } from '../../src/sim/run.ts'

const MIB = 1024 * 1024

test('a cold crowd takes one copy from an origin, whatever the seed', () => {
  for (const seed of ['1', '2', '3']) {
    const run = new Simulation({
      nodes: 40,
      contentBytes: 32 * MIB,
      pieceLength: 256 * 1024,
      scenario: 'origin',
      seed,
      isChecked: false
    })
    const result = run.run()
    assert.equal(result.completed, 40)
    assert.ok((result.originCopies as number) <= 1.05, `seed ${seed}: ${result.originCopies} copies`)
    const fetchers = run.world.peers.filter(peer => (peer.swarm?.snapshot().bytesFromOrigin ?? 0) > 0)
    assert.ok(fetchers.length > 1, 'several share the work')
  }
})

test('one node alone fetches everything, once', () => {
  const result = new Simulation({ nodes: 1, contentBytes: 16 * MIB, pieceLength: 256 * 1024, scenario: 'origin' }).run()
  assert.equal(result.originCopies, 1)
})

test('when keepers die, others take over and everybody completes', () => {
  const run = new Simulation({ nodes: 20, contentBytes: 32 * MIB, pieceLength: 256 * 1024, scenario: 'origin', isChecked: false })
  const { world } = run
  world.at(2500, () => {
    const keepers = world.peers.filter(peer => peer.isUp && peer.swarm?.snapshot().isKeeper)
    assert.ok(keepers.length > 0)
    for (const peer of keepers.slice(0, 2)) world.remove(peer, false)
  })
  const result = run.run()
  assert.equal(result.completed, 18)
  assert.ok((result.originCopies as number) <= 1.3, `${result.originCopies} copies`)
})
