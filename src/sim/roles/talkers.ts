/**
 * Roles that have nothing and say nothing true: silence, work that they never do, keepers that do not exist.
 */

import type { PeerKey } from '../../engine/contract.ts'
import type { Role } from './role.ts'
import { Stranger } from './stranger.ts'

/** How often a claim is repeated. */
const REPEAT_MS = 2000
const INVENTED_KEEPERS = 8

class Mute extends Stranger {}

/** Says that it is taking everything from the origin. */
class TakesAll extends Stranger {
  #saidMs = 0

  protected override greet(peer: PeerKey): void {
    this.sendPieces(peer, this.allPieces, pieces => ({ type: 'taking', pieces }))
  }

  protected override actAgain(nowMs: number): void {
    if (nowMs - this.#saidMs < REPEAT_MS) return
    this.#saidMs = nowMs
    for (const peer of this.neighbours.keys()) this.greet(peer)
  }
}

class KeeperInventor extends Stranger {
  #beat = 1
  #saidMs = 0

  protected override greet(peer: PeerKey): void {
    const keepers = Array.from({ length: INVENTED_KEEPERS }, (_, index) => ({
      peer: `nobody${index}-${this.context.self}`,
      addresses: [],
      beat: this.#beat
    }))
    this.send(peer, { type: 'keepers', keepers })
  }

  protected override actAgain(nowMs: number): void {
    if (nowMs - this.#saidMs < REPEAT_MS) return
    this.#saidMs = nowMs
    this.#beat++
    for (const peer of this.neighbours.keys()) this.greet(peer)
  }
}

export const mute: Role = { isHostile: true, act: context => new Mute(context) }
export const takesAll: Role = { isHostile: true, act: context => new TakesAll(context) }
export const keeperInventor: Role = { isHostile: true, act: context => new KeeperInventor(context) }
