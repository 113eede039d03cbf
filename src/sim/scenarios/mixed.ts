import type { PeerSpec } from '../peer.ts'
import type { Cast, Draft } from './cast.ts'

/** Times slower than the fastest that a machine's links are. */
const SLOWNESSES = [1, 1, 2, 3, 5, 10]
const MOST_CONTENTS = 8
/** In larger worlds all share one content: what a step costs is paid for each. */
const MOST_NODES_OF_MANY = 20

/** Machines of any rates, joining together or apart, that share one to eight contents of one seeder. */
export function mixed(cast: Cast): Draft {
  const { random, uplink, options } = cast
  const isOne = random.chance(0.5) || options.nodes > MOST_NODES_OF_MANY
  const contents = isOne ? 1 : 2 + random.nextInt(MOST_CONTENTS - 1)
  const spanMs = random.chance(0.5) ? 0 : random.nextBetween(0, cast.crowdBoundMs)
  const seeder = cast.seeder({ uplink: uplink * random.pick([1, 1, 4, 20]) })
  const peers: PeerSpec[] = Array.from({ length: contents }, (_, content) => ({ ...seeder, content }))
  for (let index = 0; index < options.nodes; index++) {
    const rate = uplink / random.pick(SLOWNESSES)
    const isNarrow = random.chance(0.5)
    const times = random.pick([1, 2, 5])
    // Several contents ask for more than a narrow downlink takes, and these links have no end to their
    // queues.
    const downlink = isNarrow && contents === 1 ? rate * times : cast.downlink
    const leecher = cast.leecher(index, { machine: { uplink: rate, downlink }, joinMs: random.nextBetween(0, 50 + spanMs) })
    const first = random.nextInt(contents)
    for (let content = 0; content < contents; content++) {
      if (content === first || random.chance(0.3)) peers.push({ ...leecher, content })
    }
  }
  return { peers, boundMs: contents * cast.crowdBoundMs, boundName: 'T* of equals, for each content' }
}
