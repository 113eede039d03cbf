/** Nothing is asked of an honest peer that lacks it. */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimPeer } from '../peer.ts'
import type { World } from '../world.ts'
import { type Checker, fail } from './checker.ts'

export class AsksHolders implements Checker {
  readonly name = 'asks-holders'
  #world: World | undefined

  begin(world: World): void {
    this.#world = world
  }

  handled(peer: SimPeer, _input: Input, outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.type !== 'send' || output.message.type !== 'request') continue
      const holder = this.#world?.peerOf(peer.content, output.peer)
      if (holder?.role !== undefined) continue // it may have claimed what it has not
      for (const piece of output.message.pieces) {
        if (holder?.verified.get(piece) !== true) fail(this, `${peer.key} asks ${output.peer} for piece ${piece}, which it lacks`)
      }
    }
  }
}
