import type { Cast, Draft } from './cast.ts'

/** Times the newcomer's downlink that the others have. */
const OTHERS_DOWNLINKS = 4

export function newcomer(cast: Cast): Draft {
  const { nodes, contentBytes } = cast.options
  const joinMs = 1.6 * cast.crowdBoundMs + 5000
  const rate = Number.isFinite(cast.downlink) ? cast.downlink : cast.uplink
  return {
    peers: cast.crowd(index =>
      index === nodes - 1 ? { machine: { downlink: rate }, joinMs } : { machine: { downlink: rate * OTHERS_DOWNLINKS } }
    ),
    boundMs: contentBytes / rate,
    boundName: "F/d, the newcomer's own downlink",
    isMeasured: peer => peer.joinMs === joinMs
  }
}
