import type { Cast, Draft } from './cast.ts'

export function twoFiles(cast: Cast): Draft {
  return {
    peers: [0, 1].flatMap(content => cast.crowd().map(peer => ({ ...peer, content }))),
    boundMs: 2 * cast.crowdBoundMs,
    boundName: '2 T*'
  }
}
