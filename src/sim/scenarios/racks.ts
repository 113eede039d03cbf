import type { Cast, Draft } from './cast.ts'

const RACK_SIZE = 20
/** A rack's link carries as much as so many of its machines. */
const RACK_UPLINKS = 2

export function racks(cast: Cast): Draft {
  return {
    peers: cast.crowd(index => ({ machine: { labels: { rack: `rack${Math.floor(index / RACK_SIZE)}` } } })),
    arrange: world => {
      world.links.racks.rate = RACK_UPLINKS * cast.uplink
    }
  }
}
