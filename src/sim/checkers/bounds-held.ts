/**
 * The engine's own invariants hold and its bounds are kept. The full check of one engine is slow: one step in
 * {@link EVERY} of each peer.
 */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimulationOptions } from '../options.ts'
import type { SimPeer } from '../peer.ts'
import { type Checker, fail } from './checker.ts'

const EVERY = 257
/** Connections being made or ended at a moment, beside those that count. */
const SPARE_LINKS = 16
const MAX_OUTPUTS = 5000

export class BoundsHeld implements Checker {
  readonly name = 'bounds-held'
  readonly #maxNeighbours: number
  #steps = 0

  constructor(options: SimulationOptions) {
    this.#maxNeighbours = options.engine.maxNeighbours ?? 30
  }

  handled(peer: SimPeer, _input: Input, outputs: readonly Output[]): void {
    if (outputs.length > MAX_OUTPUTS) fail(this, `${outputs.length} outputs of ${peer.key} in one step`)
    if (peer.streams.size > this.#maxNeighbours + SPARE_LINKS) fail(this, `${peer.key} has ${peer.streams.size} connections`)
    if (this.#steps++ % EVERY !== 0) return
    try {
      peer.swarm?.assertInvariants()
    } catch (err) {
      fail(this, `${peer.key}: ${(err as Error).message}`)
    }
  }
}
