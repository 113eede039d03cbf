import { EQUAL_UPLINKS } from '../bounds.ts'
import type { Cast, Draft } from './cast.ts'

export function symmetricCaps(cast: Cast): Draft {
  const machine = { downlink: cast.uplink }
  return {
    peers: [cast.seeder(machine), ...cast.leechers(() => ({ machine }))],
    boundMs: cast.crowdBoundMs,
    boundName: EQUAL_UPLINKS
  }
}
