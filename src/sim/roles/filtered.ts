/** Roles that are a real engine of which some outputs are not performed. */

import type { Input, Output } from '../../engine/contract.ts'
import type { Swarm } from '../../engine/swarm.ts'
import type { Actor } from '../actor.ts'
import type { Role } from './role.ts'

class Filtered implements Actor {
  readonly #swarm: Swarm
  readonly #isPerformed: (output: Output) => boolean

  constructor(swarm: Swarm, isPerformed: (output: Output) => boolean) {
    this.#swarm = swarm
    this.#isPerformed = isPerformed
  }

  handle(input: Input, nowMs: number): readonly Output[] {
    return this.#swarm.handle(input, nowMs).filter(this.#isPerformed)
  }

  deadlineMs(): number | undefined {
    return this.#swarm.deadlineMs()
  }

  accepts(peer: string, nowMs: number): boolean {
    return this.#swarm.accepts(peer, nowMs)
  }
}

export const silent: Role = {
  isHostile: true,
  act: ({ makeSwarm }) => new Filtered(makeSwarm(), ({ type }) => type !== 'servePiece')
}

export const freeRider: Role = {
  isHostile: true,
  act: ({ makeSwarm }) =>
    new Filtered(
      makeSwarm(),
      output => output.type !== 'servePiece' && !(output.type === 'send' && output.message.type === 'offer')
    )
}
