import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SimulationOptions } from '../../src/sim/options.ts'
import { simulate } from '../../src/sim/run.ts'
import { SCENARIO_NAMES } from '../../src/sim/scenario-names.ts'

const PIECE = 256 * 1024
const CROWD: Partial<SimulationOptions> = {
  nodes: 32,
  contentBytes: 128 * 8 * 1024 * 1024,
  pieceLength: 8 * 1024 * 1024,
  uplink: 12_500_000,
  latencyMs: 10,
  seed: '7'
}

describe('a simulated swarm', () => {
  it('ends a flash crowd of 32 within 1.08 of the bound, with 0.5 % waste and 1.10 copies from the seeder', () => {
    const { ratio, wastedShare, seederCopies } = simulate(CROWD)
    assert.ok(ratio <= 1.08, `${ratio} of the bound`)
    assert.ok(wastedShare <= 0.005, `${wastedShare} wasted`)
    assert.ok(seederCopies <= 1.1 * (33 / 32), `${seederCopies} copies`)
  })

  // Each of these rates and seeds once took 1.12 to 1.22: constants in seconds called slow links late, and an
  // estimate of the uplink stayed too high for good.
  for (const [mbit, seed] of [
    [0.25, '4'],
    [0.5, '2'],
    [2, '3']
  ] as const) {
    it(`takes as many times the bound on links of ${mbit} Mbit/s as on fast ones`, () => {
      const options = { ...CROWD, nodes: 30, contentBytes: 128 * PIECE, pieceLength: PIECE, uplink: mbit * 125_000, seed }
      const { ratio, wastedShare } = simulate({ ...options, isChecked: false })
      assert.ok(ratio <= 1.1, `${ratio} of the bound`)
      assert.ok(wastedShare <= 0.005, `${wastedShare} wasted`)
    })
  }

  it('gives the same result to the byte for the same seed and options', () => {
    const options: Partial<SimulationOptions> = {
      nodes: 20,
      contentBytes: 40 * PIECE,
      pieceLength: PIECE,
      scenario: 'churn',
      seed: 'x'
    }
    assert.equal(JSON.stringify(simulate(options)), JSON.stringify(simulate(options)))
    assert.notEqual(JSON.stringify(simulate({ ...options, seed: 'y' })), JSON.stringify(simulate(options)))
  })

  it('carries little more than one copy into each rack', () => {
    const racks = { ...CROWD, nodes: 80, contentBytes: 96 * 1024 ** 2, pieceLength: 1024 ** 2, scenario: 'racks' } as const
    const { crossRackCopies = Number.NaN } = simulate(racks)
    assert.ok(crossRackCopies <= 1.2, `${crossRackCopies} copies`)
    const { crossRackCopies: without = Number.NaN } = simulate({ ...racks, engine: { farShare: 1 } })
    assert.ok(
      without > crossRackCopies + 0.1,
      `slots for near peers make no difference: ${without} copies without, ${crossRackCopies} with`
    )
  })

  it('lets a reader play at 0.8 of its downlink while others download', () => {
    const { playback } = simulate({
      ...CROWD,
      nodes: 50,
      contentBytes: 256 * 1024 ** 2,
      pieceLength: 1024 ** 2,
      scenario: 'playback'
    })
    assert.ok(playback !== undefined && playback.startMs < 1000, `began after ${playback?.startMs} ms`)
    assert.ok(playback.stalledMs < 1000, `stood still for ${playback.stalledMs} of 26,844 ms`)
  })

  it('is hardly slowed by corrupters, also where they are neighbours of the seeder, who alone never receives from them', () => {
    const crowd = { ...CROWD, nodes: 60, contentBytes: 384 * 1024 ** 2, pieceLength: 1024 ** 2, scenario: 'corrupters' } as const
    const ratios = ['1', '2', '3', '4', '5'].map(seed => simulate({ ...crowd, seed }).p99Ratio)
    const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length
    assert.ok(mean <= 1.12 && Math.max(...ratios) <= 1.2, `${ratios.join(', ')} of the bound`)
  })

  for (const scenario of SCENARIO_NAMES) {
    it(`completes in scenario ${scenario} under all checkers`, () => {
      const result = simulate({ nodes: 24, contentBytes: 32 * PIECE, pieceLength: PIECE, uplink: 2_500_000, scenario, seed: '3' })
      assert.equal(result.completed, result.measured)
      assert.ok(result.measured > 0)
    })
  }
})
