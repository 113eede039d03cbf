/**
 * Draws a small world from a seed: scenario, size, links and limits. The same seed draws the same world for ever as long as nothing is
 * added before the draws here; failed seeds are kept in test/simulation/regressions.json.
 */

import { MIN_PIECE_LENGTH } from '../content/geometry.ts'
import { Random } from '../util/random.ts'
import type { SimulationOptions } from './options.ts'
import { SCENARIO_NAMES, type ScenarioName } from './scenario-names.ts'

export function drawWorld(seed: string): Partial<SimulationOptions> {
  const random = new Random(`world ${seed}`)
  const scenario: ScenarioName = random.pick(SCENARIO_NAMES)
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
