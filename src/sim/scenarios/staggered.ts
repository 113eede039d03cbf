import type { Cast, Draft } from './cast.ts'

export function staggered(cast: Cast): Draft {
  const spanMs = 2 * cast.crowdBoundMs
  return { peers: cast.crowd(() => ({ joinMs: cast.random.nextBetween(0, spanMs) })) }
}
