/**
 * One engine on a simulated machine, and what the world knows about it (which may be more than the engine does).
 */

import type { Bitfield } from '../content/bitfield.ts'
import type { Swarm } from '../engine/swarm.ts'
import type { Machine, MachineSpec } from './machine.ts'
import type { PeerStream } from './peer-stream.ts'

/** How a peer treats others. `corrupter` sends wrong bytes; `free-rider` takes and never offers; `silent` offers, and never sends. */
export type Behaviour = 'honest' | 'corrupter' | 'free-rider' | 'silent'

export interface PeerSpec {
  readonly machine: MachineSpec
  readonly content: number
  readonly behaviour: Behaviour
  readonly isSeeder: boolean
  readonly joinMs: number
}

export class SimPeer {
  readonly key: string
  readonly index: number
  readonly machine: Machine
  /** Which content it shares: 0 for the first. */
  readonly content: number
  readonly behaviour: Behaviour
  readonly isSeeder: boolean
  readonly joinMs: number
  /** Ground truth: pieces verified here. */
  readonly verified: Bitfield
  swarm: Swarm
  readonly streams = new Map<string, PeerStream>()
  /** Peers whose connection ended without this one having noticed yet. */
  readonly unnoticed = new Set<string>()
  timerMs = Number.POSITIVE_INFINITY
  isUp = false
  completedMs: number | undefined
  leftMs: number | undefined
  bytesSent = 0
  bytesReceived = 0
  bytesWasted = 0
  announcedMs = Number.POSITIVE_INFINITY
  /** It hears what is gossiped. */
  isListening = false
  /** Pieces asked of the origin, and when their first byte comes. */
  readonly fromOrigin = new Map<number, number>()

  constructor(init: {
    index: number
    machine: Machine
    content: number
    behaviour: Behaviour
    isSeeder: boolean
    joinMs: number
    verified: Bitfield
    swarm: Swarm
  }) {
    this.key = init.machine.key
    this.index = init.index
    this.machine = init.machine
    this.content = init.content
    this.behaviour = init.behaviour
    this.isSeeder = init.isSeeder
    this.joinMs = init.joinMs
    this.verified = init.verified
    this.swarm = init.swarm
  }
}
