import type { Cast, Draft } from './cast.ts'

export function unequalUplinks(cast: Cast): Draft {
  const slow = { machine: { uplink: cast.uplink / 10 } }
  return { peers: cast.crowd(index => (cast.isAmong(index, 0.5) ? slow : {})) }
}
