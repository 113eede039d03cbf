/**
 * How peers learn of each other, when their engines ask for it: a hint in the manifest, a DHT that takes its
 * time and finds only peers that announced, and gossip that reaches some of those who listen. (What
 * neighbours tell of each other is up to the engine.)
 */

import type { Random } from '../util/random.ts'
import type { Connections } from './connections.ts'
import type { Crowd } from './crowd.ts'
import type { Engines } from './engines.ts'
import type { Latency } from './latency.ts'
import type { SimPeer } from './peer.ts'
import type { Schedule } from './schedule.ts'

/**
 * A DHT lookup takes from LOW to HIGH ms (several hops), an announcement as long until others find it; a
 * lookup finds at most so many.
 */
const LOOKUP_LOW_MS = 150
const LOOKUP_HIGH_MS = 600
const LOOKUP_PEERS = 20
/** Peers that a gossiped bitfield reaches in the model (a real topic reaches more). */
const GOSSIP_PEERS = 6
/** Delays that a gossiped message takes, over some members of the topic. */
const GOSSIP_HOPS = 3
/** Delays until a node of the DHT that we were given has answered a dial. */
const BOOTSTRAP_DELAYS = 6

interface Parts {
  readonly schedule: Schedule
  readonly engines: Engines
  readonly crowd: Crowd
  readonly connections: Connections
  readonly latency: Latency
  readonly random: Random
}

export class Discovery {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The peer learns of the seeder that the manifest names, and reaches the DHT soon after. */
  handleJoined(peer: SimPeer): void {
    const { schedule, engines, crowd, latency } = this.#parts
    crowd.recordJoined(peer)
    const answeredMs = schedule.nowMs + BOOTSTRAP_DELAYS * latency.draw()
    schedule.on(peer.machine, answeredMs, () => engines.hand(peer, { type: 'bootstrapAnswered' }))
    const hint = crowd.firstSeederOf(peer.content)
    if (hint === undefined || hint === peer) return
    engines.hand(peer, { type: 'peerDiscovered', peer: hint.key, source: 'hint', seeder: true })
  }

  announce(peer: SimPeer): void {
    const { schedule, engines, random } = this.#parts
    const announcedMs = schedule.nowMs + random.nextBetween(LOOKUP_LOW_MS, LOOKUP_HIGH_MS)
    peer.announcedMs = announcedMs
    schedule.on(peer.machine, announcedMs, () => engines.hand(peer, { type: 'announced' }))
  }

  find(peer: SimPeer): void {
    const { schedule, random } = this.#parts
    const foundMs = schedule.nowMs + random.nextBetween(LOOKUP_LOW_MS, LOOKUP_HIGH_MS)
    schedule.on(peer.machine, foundMs, () => this.#handleFound(peer))
  }

  #handleFound(peer: SimPeer): void {
    if (!peer.isUp) return
    const { schedule, engines, crowd, connections, random } = this.#parts
    const present = crowd.presentOf(peer.content)
    for (let i = 0; i < LOOKUP_PEERS; i++) {
      const found = random.pick(present)
      if (found === peer || found.announcedMs > schedule.nowMs || !connections.isReachable(peer, found)) continue
      engines.hand(peer, { type: 'peerDiscovered', peer: found.key, source: 'dht' })
    }
    engines.hand(peer, { type: 'searchEnded', couldAsk: true, mayTurnUp: false })
  }

  /** Tells some of those who listen what the peer has. */
  gossip(peer: SimPeer): void {
    const { schedule, engines, crowd, connections, latency, random } = this.#parts
    const present = crowd.presentOf(peer.content)
    const have = peer.verified.clone()
    for (let i = 0; i < GOSSIP_PEERS; i++) {
      const to = random.pick(present)
      if (to === peer || !to.isListening || !connections.isReachable(peer, to)) continue
      schedule.on(to.machine, schedule.nowMs + GOSSIP_HOPS * latency.draw(), () =>
        engines.hand(to, { type: 'availabilityGossiped', peer: peer.key, have })
      )
    }
  }
}
