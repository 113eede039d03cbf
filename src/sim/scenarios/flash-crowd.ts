import type { Cast, Draft } from './cast.ts'

export function flashCrowd(cast: Cast): Draft {
  return { peers: cast.crowd() }
}
