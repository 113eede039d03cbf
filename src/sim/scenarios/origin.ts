import type { Cast, Draft } from './cast.ts'

export function origin(cast: Cast): Draft {
  return { peers: cast.leechers() }
}
