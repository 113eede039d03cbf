/** Nobody says that it has a piece, offers it or sends it before it verified it. */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimPeer } from '../peer.ts'
import { type Checker, fail } from './checker.ts'

export class VerifiedFirst implements Checker {
  readonly name = 'verified-first'

  handled(peer: SimPeer, _input: Input, outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.type === 'servePiece') this.#check(peer, output.piece, 'sends')
      if (output.type !== 'send' && output.type !== 'broadcast') continue
      const { message } = output
      if (message.type === 'have') for (const piece of message.pieces) this.#check(peer, piece, 'says that it has')
      else if (message.type === 'offer') for (const piece of message.pieces) this.#check(peer, piece, 'offers')
    }
  }

  #check(peer: SimPeer, piece: number, does: string): void {
    if (!peer.verified.get(piece)) fail(this, `${peer.key} ${does} piece ${piece}, which it did not verify`)
  }
}
