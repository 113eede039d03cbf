/**
 * What a checker of the simulator sees: every input with its outputs, at every step. It throws {@link
 * CheckFailure} on a violation.
 */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimPeer } from '../peer.ts'
import type { World } from '../world.ts'

export interface Checker {
  readonly name: string
  /** Before anything happens. */
  begin?(world: World): void
  /** The peer's engine took `input` and answered `outputs`, which are not performed yet. */
  handled?(peer: SimPeer, input: Input, outputs: readonly Output[]): void
  /** A connection is about to be told to both ends. */
  connected?(a: SimPeer, b: SimPeer): void
  left?(peer: SimPeer): void
  /** The run is over. */
  ended?(): void
}

/** A rule was broken. */
export class CheckFailure extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CheckFailure'
  }
}

export function fail(checker: Checker, message: string): never {
  throw new CheckFailure(`${checker.name}: ${message}`)
}
