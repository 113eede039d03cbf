import type { SimPeer } from '../peer.ts'
import type { Cast, Draft } from './cast.ts'

/** Of its downlink, what a reader plays. */
const PLAYBACK_SHARE = 0.8
/** It has found its neighbours when it begins to play. */
const READER_SETTLES_MS = 5000

export function playback(cast: Cast): Draft {
  // The last one: its downlink is what the others can send, so that playing is what limits it.
  const reader = cast.options.nodes - 1
  const rate = Number.isFinite(cast.downlink) ? cast.downlink : cast.uplink
  const readerJoinMs = 1.2 * cast.crowdBoundMs
  return {
    peers: cast.crowd(index => ({
      machine: { downlink: rate },
      joinMs: index === reader ? readerJoinMs : cast.random.nextBetween(0, 2 * cast.crowdBoundMs)
    })),
    boundMs: cast.options.contentBytes / (PLAYBACK_SHARE * rate),
    boundName: 'the playing time',
    isMeasured: peer => peer.joinMs === readerJoinMs,
    arrange: world => {
      const peer = world.peers[reader + 1] as SimPeer
      world.at(readerJoinMs + READER_SETTLES_MS, () => world.play(peer, PLAYBACK_SHARE * rate))
    }
  }
}
