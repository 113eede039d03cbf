/**
 * A simulated computer: one uplink that sends one piece after another, one downlink, and the peers (one per
 * content) that share them.
 */

import type { SimPeer } from './peer.ts'

/** A piece on, or waiting for, an uplink. */
export interface Transfer {
  readonly from: SimPeer
  readonly to: SimPeer
  readonly piece: number
  readonly bytes: number
  readonly isUrgent: boolean
  startMs: number
}

export interface MachineSpec {
  readonly key: string
  /** Bytes per ms; Infinity: no limit. */
  readonly uplink: number
  readonly downlink: number
  readonly labels: Readonly<Record<string, string>>
  /** Which part of a partitioned network it is in. */
  readonly side: number
  /** Bytes per ms that its disk takes, one piece after another. Absent: a fast one. */
  readonly diskRate?: number
  /**
   * It stands still meanwhile, as a stopped process or a sleeping computer: all that would happen on it
   * happens at the end.
   */
  readonly stopped?: { readonly fromMs: number; readonly untilMs: number }
}

export class Machine {
  readonly key: string
  /** Its place in the order of machines, from 0. */
  readonly index: number
  readonly uplink: number
  readonly downlink: number
  readonly labels: Readonly<Record<string, string>>
  readonly side: number
  readonly diskRate: number | undefined
  readonly stopped: MachineSpec['stopped']
  readonly peers: SimPeer[] = []
  readonly queue: Transfer[] = []
  sending: Transfer | undefined
  /** When the downlink has taken everything under way. */
  downFreeMs = 0
  /** When a slow disk has written everything that it was given. */
  diskFreeMs = 0
  busyMs = 0
  /** Control bytes that the next piece must wait for. */
  owedBytes = 0
  isUp = true

  constructor(spec: MachineSpec, index: number) {
    this.key = spec.key
    this.index = index
    this.uplink = spec.uplink
    this.downlink = spec.downlink
    this.labels = spec.labels
    this.side = spec.side
    this.diskRate = spec.diskRate
    this.stopped = spec.stopped
  }
}
