/**
 * One engine on a simulated machine, and what the world knows about it (which may be more than the engine
 * does).
 */

import type { Bitfield } from '../content/bitfield.ts'
import type { EngineOptions } from '../engine/options.ts'
import type { Swarm } from '../engine/swarm.ts'
import type { Actor } from './actor.ts'
import type { Machine, MachineSpec } from './machine.ts'
import type { PeerStream } from './peer-stream.ts'
import type { RoleName } from './roles/role-names.ts'

export interface PeerSpec {
  readonly machine: MachineSpec
  readonly content: number
  /** Absent: an honest peer like any other. */
  readonly role?: RoleName
  /** Options of its engine, where they are not those of all. */
  readonly engine?: Partial<EngineOptions>
  readonly isSeeder: boolean
  readonly joinMs: number
}

export class SimPeer {
  readonly key: string
  readonly index: number
  readonly machine: Machine
  /** Which content it shares: 0 for the first. */
  readonly content: number
  /** Undefined: honest. */
  readonly role: RoleName | undefined
  readonly isSeeder: boolean
  readonly joinMs: number
  /** Ground truth: pieces verified here. */
  readonly verified: Bitfield
  readonly actor: Actor
  /** Its engine; undefined where the actor is none. */
  readonly swarm: Swarm | undefined
  /** What the world made it from. */
  readonly spec: PeerSpec
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
    spec: PeerSpec
    verified: Bitfield
    actor: Actor
    swarm: Swarm | undefined
  }) {
    this.key = init.machine.key
    this.index = init.index
    this.machine = init.machine
    this.spec = init.spec
    this.content = init.spec.content
    this.role = init.spec.role
    this.isSeeder = init.spec.isSeeder
    this.joinMs = init.spec.joinMs
    this.verified = init.verified
    this.actor = init.actor
    this.swarm = init.swarm
  }
}
