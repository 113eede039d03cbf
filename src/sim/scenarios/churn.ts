import type { Random } from '../../util/random.ts'
import type { World } from '../world.ts'
import type { Cast, Draft } from './cast.ts'

/** Of the leechers, replaced each minute. */
const SHARE_EACH_MINUTE = 0.1

export function churn(cast: Cast): Draft {
  return { peers: cast.crowd(), arrange: world => arrange(world, cast, cast.random.fork('churn')) }
}

/**
 * Every minute a tenth of the leechers crash and as many new ones join, until the time of one and a half
 * bounds.
 */
function arrange(world: World, cast: Cast, random: Random): void {
  const everyMs = 60_000 / Math.max(1, cast.options.nodes * SHARE_EACH_MINUTE)
  let next = cast.options.nodes
  const step = (): void => {
    if (world.nowMs > 1.5 * cast.crowdBoundMs) return
    const present = world.peers.filter(peer => peer.isUp && !peer.isSeeder)
    if (present.length > 0) world.remove(random.pick(present), random.chance(0.5))
    world.add(cast.leecher(next++, { joinMs: world.nowMs }))
    world.at(world.nowMs + everyMs * random.nextBetween(0.5, 1.5), step)
  }
  world.at(everyMs, step)
}
