/**
 * Draws worlds from a seed: scenario, size, links and limits, and those who misbehave. The same seed draws
 * the same world for ever as long as nothing is added before the draws here; failed seeds are kept in
 * test/simulation/regressions.json.
 */

import { MIN_PIECE_LENGTH } from '../content/geometry.ts'
import { Random } from '../util/random.ts'
import type { Misbehaving } from './misbehaving.ts'
import type { SimulationOptions } from './options.ts'
import { ROLE_NAMES } from './roles/role-names.ts'
import { SCENARIO_NAMES, type ScenarioName } from './scenario-names.ts'

/** Mixed worlds are drawn for themselves, below. */
const SCENARIOS = SCENARIO_NAMES.filter(name => name !== 'mixed')

export function drawWorld(seed: string): Partial<SimulationOptions> {
  const random = new Random(`world ${seed}`)
  const scenario: ScenarioName = random.pick(SCENARIOS)
  const nodes = 2 + random.nextInt(22)
  const pieces = 1 + random.nextInt(48)
  const pieceLength = MIN_PIECE_LENGTH * 2 ** random.nextInt(5)
  // The last piece is often short.
  const contentBytes = pieces * pieceLength - random.nextInt(pieceLength)
  return {
    scenario,
    nodes,
    contentBytes,
    pieceLength,
    uplink: random.nextBetween(100_000, 20_000_000),
    downlink: random.chance(0.3) ? random.nextBetween(100_000, 20_000_000) : 0,
    latencyMs: random.pick([0.1, 1, 10, 50, 150]),
    jitter: random.pick([0, 0.2, 0.9]),
    seed,
    engine: {
      maxNeighbours: random.pick([4, 8, 16, 30]),
      maxPendingPieces: random.pick([2, 8, 1024]),
      maxQueuedPerPeer: random.pick([1, 4, 1024]),
      maxUploadSlots: random.pick([0, 0, 1, 4]),
      maxCandidates: random.pick([8, 512]),
      haveBatchMs: random.pick([0, 4, 100]),
      banMs: random.pick([3000, 3_600_000])
    }
  }
}

/** Most of the peers that misbehave, as a share of all; and kinds of them at once. */
const MOST_MISBEHAVING = 0.3
const MOST_ROLES = 3

/** A mixed world, mostly small, of which 1 to 30 % misbehave in one to three ways. */
export function drawMixedWorld(seed: string): Partial<SimulationOptions> {
  const random = new Random(`mixed ${seed}`)
  const size = random.nextFloat()
  const nodes = size < 0.9 ? 2 + random.nextInt(9) : size < 0.995 ? 10 + random.nextInt(20) : 30 + random.nextInt(170)
  const pieces = nodes < 10 ? 8 + random.nextInt(56) : 8 + random.nextInt(16)
  const pieceLength = MIN_PIECE_LENGTH * 2 ** random.nextInt(5)
  const contentBytes = pieces * pieceLength - random.nextInt(pieceLength)
  const misbehaving = drawMisbehaving(random, nodes)
  return {
    scenario: 'mixed',
    nodes,
    contentBytes,
    pieceLength,
    // On the fastest links the content takes 2 to 30 seconds: searches and dials weigh little.
    uplink: Math.ceil(contentBytes / random.nextBetween(2, 30)),
    originRate: misbehaving.some(({ role }) => role === 'keeper-inventor') || random.chance(0.1) ? contentBytes / 5 : 0,
    latencyMs: random.pick([0.5, 1, 10, 50]),
    jitter: random.pick([0, 0.2]),
    misbehaving,
    seed
  }
}

function drawMisbehaving(random: Random, nodes: number): Misbehaving[] {
  const most = Math.max(1, Math.floor((nodes * MOST_MISBEHAVING) / (1 - MOST_MISBEHAVING)))
  const misbehaving: Misbehaving[] = []
  let left = 1 + random.nextInt(most)
  for (let kind = 0; kind < MOST_ROLES && left > 0; kind++) {
    const count = kind === MOST_ROLES - 1 ? left : 1 + random.nextInt(left)
    misbehaving.push({ role: random.pick(ROLE_NAMES), count })
    left -= count
  }
  return misbehaving
}
