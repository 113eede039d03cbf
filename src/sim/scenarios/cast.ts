/** What every scenario is made from: the seeder, the leechers, and how their machines differ. */

import type { EngineOptions } from '../../engine/options.ts'
import type { Random } from '../../util/random.ts'
import { equalUplinkBoundMs } from '../bounds.ts'
import type { MachineSpec } from '../machine.ts'
import type { SimulationOptions } from '../options.ts'
import type { PeerSpec, SimPeer } from '../peer.ts'
import type { RoleName } from '../roles/role-names.ts'
import type { World } from '../world.ts'

/** A scenario as its own file says it; what it leaves out is filled in by plan.ts. */
export interface Draft {
  readonly peers: readonly PeerSpec[]
  readonly boundMs?: number
  readonly boundName?: string
  /** Engine options that the scenario sets beside the user's. */
  readonly engine?: Partial<EngineOptions>
  /** Arranges what happens during the run. */
  readonly arrange?: (world: World) => void
  /** Whose completion counts in the table. */
  readonly isMeasured?: (peer: SimPeer) => boolean
  /** When the last fault is over, ms: completion deadlines count from here. */
  readonly faultsEndMs?: number
}

interface LeecherChange {
  readonly machine?: Partial<MachineSpec>
  readonly role?: RoleName
  /** Drawn within {@link CROWD_SPREAD_MS} of the start where it is left out. */
  readonly joinMs?: number
}

/** Everybody knows of the swarm within this time of the start, ms. */
export const CROWD_SPREAD_MS = 50

export class Cast {
  readonly options: SimulationOptions
  readonly random: Random
  readonly pieces: number
  /** Bytes per ms. */
  readonly uplink: number
  readonly downlink: number
  /** What a flash crowd of this size takes at best. */
  readonly crowdBoundMs: number

  constructor(options: SimulationOptions, random: Random) {
    this.options = options
    this.random = random
    this.pieces = Math.ceil(options.contentBytes / options.pieceLength)
    this.uplink = options.uplink / 1000
    this.downlink = options.downlink === 0 ? Number.POSITIVE_INFINITY : options.downlink / 1000
    this.crowdBoundMs = this.boundOf(options.nodes)
  }

  /** The bound of a flash crowd of so many leechers. */
  boundOf(leechers: number): number {
    return equalUplinkBoundMs(this.options.contentBytes, this.uplink, Math.max(1, leechers), this.pieces)
  }

  leecher(index: number, { machine = {}, role, joinMs }: LeecherChange = {}): PeerSpec {
    return {
      machine: this.#machine(`n${index}`, machine),
      content: 0,
      ...(role === undefined ? {} : { role }),
      isSeeder: false,
      joinMs: joinMs ?? this.random.nextBetween(0, CROWD_SPREAD_MS)
    }
  }

  /** A leecher on top of the crowd. */
  stranger(index: number, change: LeecherChange): PeerSpec {
    const leecher = this.leecher(index, change)
    return { ...leecher, machine: { ...leecher.machine, key: `x${index}` } }
  }

  leechers(change: (index: number) => LeecherChange = () => ({})): PeerSpec[] {
    return Array.from({ length: this.options.nodes }, (_, index) => this.leecher(index, change(index)))
  }

  seeder(change: Partial<MachineSpec> = {}): PeerSpec {
    const { seederUplink } = this.options
    const own = seederUplink === 0 ? {} : { uplink: seederUplink / 1000 }
    return { machine: this.#machine('seeder', { ...own, ...change }), content: 0, isSeeder: true, joinMs: 0 }
  }

  /** A seeder and all leechers. */
  crowd(change?: (index: number) => LeecherChange): PeerSpec[] {
    return [this.seeder(), ...this.leechers(change)]
  }

  /** Whether the leecher is of the first `share` by number: the numbers mean nothing else. */
  isAmong(index: number, share: number): boolean {
    return index < Math.round(this.options.nodes * share)
  }

  #machine(key: string, change: Partial<MachineSpec>): MachineSpec {
    return { key, uplink: this.uplink, downlink: this.downlink, labels: {}, side: 0, ...change }
  }
}
