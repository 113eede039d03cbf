/** A banned peer is refused until its ban is over, and not after. */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimPeer } from '../peer.ts'
import type { World } from '../world.ts'
import { type Checker, fail } from './checker.ts'

export class BansEnd implements Checker {
  readonly name = 'bans-end'
  /** Per peer: whom it banned and until when, ms. */
  readonly #bans = new Map<SimPeer, Map<string, number>>()
  #world: World | undefined

  begin(world: World): void {
    this.#world = world
  }

  connected(a: SimPeer, b: SimPeer): void {
    this.#refuse(a, b)
    this.#refuse(b, a)
  }

  handled(peer: SimPeer, input: Input, outputs: readonly Output[]): void {
    const nowMs = this.#world?.nowMs ?? 0
    let bans = this.#bans.get(peer)
    for (const output of outputs) {
      if (output.type !== 'disconnect' || output.banMs === 0) continue
      if (bans === undefined) {
        bans = new Map()
        this.#bans.set(peer, bans)
      }
      bans.set(output.peer, Math.max(bans.get(output.peer) ?? 0, nowMs + output.banMs))
    }
    if (bans === undefined || input.type !== 'tick') return
    for (const [other, untilMs] of bans) {
      if (nowMs <= untilMs) continue
      bans.delete(other)
      if (peer.swarm === undefined) continue
      const { neighbours, isLeaving } = peer.swarm.snapshot()
      const hasRoom = neighbours < (this.#world?.options.engine.maxNeighbours ?? 30)
      if (hasRoom && !isLeaving && !peer.swarm.accepts(other, nowMs)) fail(this, `${peer.key} still bans ${other}`)
    }
  }

  #refuse(peer: SimPeer, other: SimPeer): void {
    const untilMs = this.#bans.get(peer)?.get(other.key)
    if (untilMs !== undefined && untilMs > (this.#world?.nowMs ?? 0))
      fail(this, `${peer.key} connects to ${other.key}, which it banned`)
  }
}
