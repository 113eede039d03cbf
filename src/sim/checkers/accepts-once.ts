/** No piece is accepted twice: not while it is being verified, nor once it is. */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimPeer } from '../peer.ts'
import { type Checker, fail } from './checker.ts'

export class AcceptsOnce implements Checker {
  readonly name = 'accepts-once'
  readonly #verifying = new Map<SimPeer, Set<number>>()

  handled(peer: SimPeer, input: Input, outputs: readonly Output[]): void {
    let verifying = this.#verifying.get(peer)
    if (input.type === 'pieceVerified' || input.type === 'pieceCorrupt') verifying?.delete(input.piece)
    for (const output of outputs) {
      if (output.type !== 'acceptPiece') continue
      if (peer.verified.get(output.piece)) fail(this, `${peer.key} accepts piece ${output.piece}, which it has`)
      if (verifying === undefined) {
        verifying = new Set()
        this.#verifying.set(peer, verifying)
      }
      if (verifying.has(output.piece)) fail(this, `${peer.key} accepts piece ${output.piece}, which is being verified`)
      verifying.add(output.piece)
    }
  }
}
