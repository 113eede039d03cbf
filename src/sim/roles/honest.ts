/**
 * Roles of honest peers that are slow or modest: a real engine on a machine, or with options, that most
 * others do not have.
 */

import { Bitfield } from '../../content/bitfield.ts'
import type { Input, Output } from '../../engine/contract.ts'
import type { Swarm } from '../../engine/swarm.ts'
import type { Actor } from '../actor.ts'
import type { PeerSpec } from '../peer.ts'
import type { Role } from './role.ts'

const STOPPED_FROM_MS = 500
const STOPPED_FOR_MS = 20_000

/**
 * Bytes per ms at which an honest machine takes pieces; where its downlink has no limit, as fast as it sends.
 */
function downloadRate({ machine }: PeerSpec): number {
  return Number.isFinite(machine.downlink) ? machine.downlink : machine.uplink
}

/** An engine that is told first what it wants. */
class Only implements Actor {
  readonly #swarm: Swarm
  #wanted: Bitfield | undefined

  constructor(swarm: Swarm, wanted: Bitfield) {
    this.#swarm = swarm
    this.#wanted = wanted
  }

  handle(input: Input, nowMs: number): readonly Output[] {
    const wanted = this.#wanted
    this.#wanted = undefined
    const first = wanted === undefined ? [] : this.#swarm.handle({ type: 'wantedChanged', wanted }, nowMs)
    return [...first, ...this.#swarm.handle(input, nowMs)]
  }

  deadlineMs(): number | undefined {
    return this.#swarm.deadlineMs()
  }

  accepts(peer: string, nowMs: number): boolean {
    return this.#swarm.accepts(peer, nowMs)
  }
}

export const slow: Role = {
  isHostile: false,
  prepare: (spec, slowness) => {
    const { machine } = spec
    return {
      ...spec,
      machine: { ...machine, uplink: machine.uplink / slowness, downlink: downloadRate(spec) / slowness }
    }
  }
}

export const limited: Role = {
  isHostile: false,
  prepare: (spec, slowness) => ({
    ...spec,
    engine: { ...spec.engine, downloadBytesPerSecond: Math.ceil((1000 * downloadRate(spec)) / slowness) }
  })
}

export const slowDisk: Role = {
  isHostile: false,
  prepare: (spec, slowness) => ({ ...spec, machine: { ...spec.machine, diskRate: downloadRate(spec) / slowness } })
}

export const only: Role = {
  isHostile: false,
  act: ({ geometry, makeSwarm }) => {
    const wanted = new Bitfield(geometry.pieceCount)
    wanted.set(geometry.pieceCount - 1)
    return new Only(makeSwarm(), wanted)
  }
}

export const stopped: Role = {
  isHostile: false,
  prepare: spec => {
    const fromMs = spec.joinMs + STOPPED_FROM_MS
    return { ...spec, machine: { ...spec.machine, stopped: { fromMs, untilMs: fromMs + STOPPED_FOR_MS } } }
  }
}
