import { Bitfield } from '../../content/bitfield.ts'
import type { SimPeer } from '../peer.ts'
import type { World } from '../world.ts'
import type { Cast, Draft } from './cast.ts'

/**
 * Copies that the seeder sends at most. It rarely sends so many, as the leechers hold one between them
 * before.
 */
const MOST_COPIES = 1.2

export function seederLeaves(cast: Cast): Draft {
  return { peers: cast.crowd(), arrange: world => arrange(world, cast) }
}

function arrange(world: World, { options, pieces }: Cast): void {
  const source = world.peers[0] as SimPeer
  const before = world.onSent
  const isSomewhere = new Bitfield(pieces)
  let isGoing = false
  world.onSent = peer => {
    before(peer)
    if (peer !== source || isGoing || peer.bytesSent < options.contentBytes) return
    for (const { verified } of world.peers.slice(1)) for (const piece of verified.ones()) isSomewhere.set(piece)
    if (!isSomewhere.isFull && peer.bytesSent < MOST_COPIES * options.contentBytes) return
    isGoing = true
    // What has left its uplink arrives: a crash that swallows the only copy of a piece proves nothing.
    world.at(world.nowMs + 4 * options.latencyMs + 100, () => world.remove(peer, false))
  }
}
