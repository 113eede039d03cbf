import type { Cast, Draft } from './cast.ts'

export function partition(cast: Cast): Draft {
  const fromMs = 0.25 * cast.crowdBoundMs
  const untilMs = 0.6 * cast.crowdBoundMs
  return {
    peers: cast.crowd(index => ({ machine: { side: index % 2 } })),
    arrange: world => {
      world.at(fromMs, () => world.setPartition(true))
      world.at(untilMs, () => world.setPartition(false))
    },
    faultsEndMs: untilMs
  }
}
