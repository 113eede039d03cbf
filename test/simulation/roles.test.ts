/**
 * The misbehaving peers of the simulator do what their names say, and what they cost is measured against the
 * world without them.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidOptionsError } from '../../src/errors.ts'
import { compareBeside } from '../../src/sim/beside.ts'
import { formatMisbehaving, parseMisbehaving } from '../../src/sim/misbehaving.ts'
import type { SimPeer } from '../../src/sim/peer.ts'
import { ROLE_NAMES, type RoleName } from '../../src/sim/roles/role-names.ts'
import { commandOf, Simulation, SimulationFailure } from '../../src/sim/run.ts'

const PIECE = 65_536
const WORLD = { nodes: 3, contentBytes: 40 * PIECE, pieceLength: PIECE, uplink: 1_000_000, latencyMs: 5, seed: '4' }

/** A world with one peer of the role, as far as it comes in a minute. */
function runWith(role: RoleName, options = {}): { simulation: Simulation; stranger: SimPeer } {
  const misbehaving = [{ role, count: 1, slowness: 20 }]
  const simulation = new Simulation({ ...WORLD, misbehaving, deadlineMs: 60_000, ...options })
  try {
    simulation.run()
  } catch (err) {
    if (!(err instanceof SimulationFailure && err.isStuck)) throw err
  }
  return { simulation, stranger: simulation.world.peerOf(0, 'x0') as SimPeer }
}

describe('the roles of the simulator', () => {
  for (const role of ROLE_NAMES) {
    it(`break no rule of an honest peer's engine: ${role}`, () => {
      const { simulation, stranger } = runWith(role)
      assert.equal(stranger.role, role)
      assert.ok(simulation.world.nowMs > 0)
    })
  }

  it('hold their links, limits and disks to the slowness that was asked for', () => {
    for (const role of ['slow', 'limited', 'slow-disk'] as const) {
      const { simulation, stranger } = runWith(role)
      const fair = (simulation.world.nowMs * WORLD.uplink) / 1000 / 20 / PIECE
      // A limit may run ahead by a quarter second and a piece.
      assert.ok(stranger.verified.count <= fair + 2, `${role}: ${stranger.verified.count} pieces, ${fair} would be its share`)
    }
  })

  it('send nothing where they never send, and take nothing where they are mute', () => {
    for (const role of ['silent', 'free-rider', 'mute', 'claimer', 'says-full', 'never-says-have', 'greedy'] as const) {
      assert.equal(runWith(role).stranger.bytesSent, 0, role)
    }
    assert.equal(runWith('mute').stranger.bytesReceived, 0)
  })

  it('take three pieces of each neighbour, or all that they are offered, without a word', () => {
    const three = runWith('takes-three').stranger
    assert.ok(three.bytesReceived > 0 && three.bytesReceived <= 3 * (WORLD.nodes + 1) * PIECE, `${three.bytesReceived}`)
    assert.ok(runWith('never-says-have').stranger.bytesReceived > 0)
  })

  it('want one piece only, and send it on', () => {
    assert.equal(runWith('only').stranger.verified.count, 1)
  })

  it('stand still for twenty seconds', () => {
    const { simulation, stranger } = runWith('stopped')
    const { fromMs = 0, untilMs = 0 } = stranger.machine.stopped ?? {}
    assert.equal(untilMs - fromMs, 20_000)
    const before = new Simulation({ ...simulation.options, deadlineMs: fromMs })
    assert.throws(() => before.run(), SimulationFailure)
    const during = new Simulation({ ...simulation.options, deadlineMs: untilMs - 1 })
    try {
      during.run()
    } catch {
      // Stuck, if the others wait for it.
    }
    const countOf = ({ world }: Simulation): number | undefined => world.peerOf(0, 'x0')?.verified.count
    assert.equal(countOf(during), countOf(before))
  })

  it('come back under another name on another machine', () => {
    const { simulation } = runWith('sybil')
    const names = simulation.world.peers.filter(({ role }) => role === 'sybil').map(({ key }) => key)
    assert.ok(names.length > 1, names.join(' '))
    assert.equal(names[1], 'x0~1')
    assert.equal(simulation.world.peers.filter(({ role, isUp }) => role === 'sybil' && isUp).length <= 1, true)
  })

  it('get one piece in ten seconds out of a dribbler', () => {
    const { simulation, stranger } = runWith('dribbler')
    assert.ok(stranger.bytesSent <= (Math.ceil(simulation.world.nowMs / 10_000) * (WORLD.nodes + 1) + 1) * PIECE)
  })
})

describe('a comparison with the world without misbehaving peers', () => {
  it('draws the same honest peers in both worlds', () => {
    const { costs, allowedRatio } = compareBeside({ ...WORLD, misbehaving: [] })
    assert.equal(costs.length, WORLD.nodes)
    for (const { ratio } of costs) assert.ok(ratio <= 1 && ratio > 0.8, `${ratio}`)
    assert.equal(allowedRatio, 1.25)
  })

  it('allows more beside hostile peers, and counts a peer that never completes as infinitely late', () => {
    const { worst, allowedRatio } = compareBeside({ ...WORLD, misbehaving: [{ role: 'mute', count: 1 }] }, 0)
    assert.equal(allowedRatio, 2)
    assert.equal(worst.ratio > 0, true)
    // A hundred megabytes take longer than the ten seconds that are left at least.
    const late = compareBeside({ ...WORLD, contentBytes: 1600 * PIECE, misbehaving: [{ role: 'greedy', count: 1 }] }, 0)
    assert.equal(late.worst.besideMs, Number.POSITIVE_INFINITY)
  })
})

describe('misbehaving peers as text', () => {
  it('are read as role, count and slowness, and written back the same', () => {
    const text = 'mute:2,slow:1:50'
    assert.deepEqual(parseMisbehaving(text), [
      { role: 'mute', count: 2 },
      { role: 'slow', count: 1, slowness: 50 }
    ])
    assert.equal(formatMisbehaving(parseMisbehaving(text)), text)
    assert.deepEqual(parseMisbehaving('mute'), [{ role: 'mute', count: 1 }])
    const { options } = new Simulation({ ...WORLD, misbehaving: parseMisbehaving(text) })
    assert.match(commandOf(options), /--misbehaving mute:2,slow:1:50/)
  })

  it('are refused where there is no such role, count or slowness', () => {
    for (const text of ['', 'nice:1', 'mute:0', 'mute:x', 'mute:', 'slow:1:0.5', 'slow:1:', 'slow:1:2:3', 'mute:1,']) {
      assert.throws(() => parseMisbehaving(text), InvalidOptionsError, text)
    }
  })
})
