/**
 * What newcomers hear of others: where peers are, whether there is room for them here or not. Peers that were
 * turned away are remembered and told to the next ones, since they look for neighbours, too. Used by
 * swarm.ts.
 *
 * Bound: {@link ENGINE.MAX_TURNED_AWAY} are remembered, the oldest are forgotten first.
 */

import type { Random } from '../../util/random.ts'
import type { ToldPeer } from '../../wire/messages.ts'
import type { Input, PeerKey } from '../contract.ts'
import type { SwarmState } from '../state.ts'
import { ENGINE } from '../tunables.ts'
import { distanceOf, FARTHEST } from './locality.ts'

type Newcomer = Pick<Extract<Input, { type: 'peerJoined' }>, 'peer' | 'labels'>

export class Welcome {
  readonly #state: SwarmState
  readonly #random: Random
  /** Peers that found no room here and since when, the newest last. */
  readonly #turnedAway = new Map<PeerKey, number>()

  constructor(state: SwarmState, random: Random) {
    this.#state = state
    this.#random = random
  }

  /** Whether a peer that dials us is heard: not at once after it was turned away. */
  hears(peer: PeerKey, nowMs: number): boolean {
    return nowMs >= (this.#turnedAway.get(peer) ?? Number.NEGATIVE_INFINITY) + ENGINE.TURNED_AWAY_MS
  }

  /**
   * Sends a peer away for which there is no room; it hears where others are, unless it is banned or we leave.
   */
  turnAway(newcomer: Newcomer, isBanned: boolean, nowMs: number): void {
    const { peer } = newcomer
    const { isLeaving } = this.#state
    if (!isBanned && !isLeaving) {
      const others = [...this.#turnedAway.keys()].filter(other => other !== peer)
      this.tellPeers(newcomer, this.#random.shuffle(others).slice(0, ENGINE.MAX_TURNED_AWAY_TOLD))
      this.recordTurnedAway(peer, nowMs)
    }
    const reason = isBanned ? 'banned' : isLeaving ? 'leaving' : 'no room'
    this.#state.emit({ type: 'disconnect', peer, reason, banMs: 0 })
  }

  /** Others may dial it. */
  recordTurnedAway(peer: PeerKey, nowMs: number): void {
    this.#turnedAway.delete(peer)
    this.#turnedAway.set(peer, nowMs)
    if (this.#turnedAway.size > ENGINE.MAX_TURNED_AWAY) this.#turnedAway.delete(this.#turnedAway.keys().next().value as PeerKey)
  }

  /** Tells a newcomer of `first`, then of neighbours: near ones, then others at random. */
  tellPeers({ peer, labels }: Newcomer, first: readonly PeerKey[]): void {
    const near: ToldPeer[] = []
    const far: ToldPeer[] = []
    for (const other of this.#state.neighbours) {
      if (other === undefined || other.key === peer) continue
      if (distanceOf(other.labels, labels) < FARTHEST) near.push({ peer: other.key, addresses: [], isNear: true })
      else far.push({ peer: other.key, addresses: [] })
    }
    const peers = this.#random.shuffle(near).slice(0, ENGINE.MAX_NEAR_TOLD)
    for (const other of first)
      if (other !== peer && peers.length < ENGINE.MAX_PEERS_TOLD) peers.push({ peer: other, addresses: [] })
    peers.push(...this.#random.shuffle(far).slice(0, Math.max(0, ENGINE.MAX_PEERS_TOLD - peers.length)))
    if (peers.length > 0) this.#state.emit({ type: 'send', peer, message: { type: 'peers', peers } })
  }
}
