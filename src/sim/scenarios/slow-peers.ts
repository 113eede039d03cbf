import type { Cast, Draft } from './cast.ts'

const SLOWNESS = 100
const SHARE = 0.01

export function slowPeers(cast: Cast): Draft {
  const { uplink } = cast
  const machine = { uplink: uplink / SLOWNESS, downlink: uplink / SLOWNESS }
  const count = Math.max(1, Math.round(cast.options.nodes * SHARE))
  return {
    peers: cast.crowd(index => (index < count ? { machine } : {})),
    boundMs: cast.boundOf(cast.options.nodes - count),
    boundName: 'T* without the slow ones',
    isMeasured: peer => peer.machine.uplink === uplink
  }
}
