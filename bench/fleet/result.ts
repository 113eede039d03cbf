/**
 * What a run measured, made from the fleet's nodes when it has ended. Used by run.ts; printed by report.ts.
 */

import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { PAYLOAD_NAME } from './clients.ts'
import { boundSeconds, type Experiment, oneServerSeconds } from './experiment.ts'
import type { FleetNode } from './fleet-node.ts'
import { digestOf } from './payload.ts'

export type NodeRole = 'leecher' | 'late' | 'small-disk'

export interface NodeResult {
  readonly name: string
  readonly role: NodeRole
  /**
   * Seconds from the signal (late joiners: from their start) until the whole file was verified; undefined
   * when it never was.
   */
  readonly seconds: number | undefined
  /** Whether the bytes on disk are the seeder's bytes, checked by the rig. */
  readonly intact: boolean
  readonly restarts: number
  /** CPU time since the signal; loading is apart. */
  readonly cpuSeconds: number
  readonly loadCpuSeconds: number
  readonly peakRssBytes: number
  /** Payload by host name, where the client tells. */
  readonly bytesFrom: Readonly<Record<string, number>> | undefined
  readonly bytesWasted: number | undefined
  /** Last words of a node that failed. */
  readonly said: readonly string[]
}

export interface RunResult {
  readonly client: string
  readonly lab: string
  readonly boundSeconds: number
  readonly oneServerSeconds: number
  /** Whether every node that should be complete is, and intact. */
  readonly ok: boolean
  readonly failures: readonly string[]
  /** What the scenario did, and when. */
  readonly log: readonly string[]
  readonly nodes: readonly NodeResult[]
  /** Seconds from the signal until the last of the leechers present at the signal was complete. */
  readonly allCompleteSeconds: number | undefined
  /** Seconds from the first leecher's start until all were loaded and waited for the signal. */
  readonly loadSeconds: number | undefined
  readonly seeder: {
    /**
     * Files' worth of payload that the leechers say came from the seeder; undefined when the client does not
     * tell.
     */
    readonly copies: number | undefined
    /** The same on the wire, headers and all, until the last leecher was complete. */
    readonly wireCopies: number
    readonly cpuSeconds: number
    readonly peakRssBytes: number
  }
  /** Sent on all uplinks until all were complete, over what they could have sent: 1 is never idle. */
  readonly uplinkUse: number
  /**
   * Whole machine, from signal to end: 1 is every core busy. Near 1, the cores are the limit and not the
   * links.
   */
  readonly cpuUse: number
  /**
   * The nodes' part of that. Far below `cpuUse`: something else ran on the machine, and the figures are worth
   * less.
   */
  readonly fleetCpuUse: number
  /**
   * Since the signal: bytes done over all leechers, as far as known, and bytes sent on each uplink, seeder
   * first.
   */
  readonly progress: readonly { readonly seconds: number; readonly bytesDone: number; readonly sent: readonly number[] }[]
}

/** A run that has ended, as {@link resultOf} takes it. */
export interface EndedRun {
  readonly client: string
  readonly lab: string
  readonly experiment: Experiment
  readonly hub: FleetNode
  readonly seeder: FleetNode
  readonly leechers: readonly FleetNode[]
  readonly corrupters: readonly FleetNode[]
  /** When the signal was given, on the clock of `performance.now()`. */
  readonly beganMs: number
  /** Of the file that was made. */
  readonly digest: string
  readonly log: readonly string[]
  readonly progress: RunResult['progress']
  /** On the wire until all were complete. */
  readonly traffic: { readonly sent: number; readonly seederSent: number }
  readonly loadSeconds: number | undefined
  readonly cpuUse: number
  readonly wallSeconds: number
  readonly timedOut: boolean
}

/**
 * Checks every copy on disk, so it takes a while. Never rejects for what a node did: that is in the result.
 */
export async function resultOf(end: EndedRun): Promise<RunResult> {
  const { experiment, traffic } = end
  const { sizeBytes, leechers, uplinkBitsPerSecond } = experiment
  const everyone = [end.hub, end.seeder, ...end.leechers, ...end.corrupters]
  const nodes = await nodeResults(end, new Map(everyone.map(node => [node.host.address(), node.host.name])))
  const failures = failuresOf(end, nodes)
  const times = nodes.filter(node => node.role !== 'late').map(node => node.seconds)
  const allCompleteSeconds = times.every(time => time !== undefined) ? Math.max(...times) : undefined
  const told = nodes.filter(node => node.bytesFrom !== undefined)
  const wallS = allCompleteSeconds ?? (performance.now() - end.beganMs) / 1000
  return {
    client: end.client,
    lab: end.lab,
    boundSeconds: boundSeconds(experiment),
    oneServerSeconds: oneServerSeconds(experiment),
    ok: failures.length === 0,
    failures,
    log: end.log,
    nodes,
    allCompleteSeconds,
    loadSeconds: end.loadSeconds,
    seeder: {
      copies: told.length === 0 ? undefined : told.reduce((sum, node) => sum + (node.bytesFrom?.seeder ?? 0), 0) / sizeBytes,
      wireCopies: traffic.seederSent / sizeBytes,
      ...end.seeder.usage
    },
    uplinkUse: (traffic.sent * 8) / (uplinkBitsPerSecond * (leechers + 1) * wallS),
    cpuUse: end.cpuUse,
    fleetCpuUse:
      everyone.reduce((sum, node) => sum + node.usage.cpuSeconds - node.loadCpuSeconds, 0) /
      end.wallSeconds /
      availableParallelism(),
    progress: end.progress
  }
}

async function nodeResults(end: EndedRun, nameByAddress: ReadonlyMap<string, string>): Promise<NodeResult[]> {
  const nodes: NodeResult[] = []
  for (const node of end.leechers) {
    const { cpuSeconds, peakRssBytes } = node.usage
    const from = node.bytesFrom === undefined ? undefined : Object.entries(node.bytesFrom)
    nodes.push({
      name: node.host.name,
      role: node.role as NodeRole,
      seconds: node.completeMs === undefined ? undefined : (node.completeMs - node.beganMs) / 1000,
      intact: (await digestOf(join(node.host.folder, PAYLOAD_NAME))) === end.digest,
      restarts: node.restarts,
      cpuSeconds: cpuSeconds - node.loadCpuSeconds,
      loadCpuSeconds: node.loadCpuSeconds,
      peakRssBytes,
      bytesFrom: from && Object.fromEntries(from.map(([address, bytes]) => [nameByAddress.get(address) ?? address, bytes])),
      bytesWasted: node.bytesWasted,
      said: node.completeMs === undefined ? [...node.said] : []
    })
  }
  return nodes
}

function failuresOf(end: EndedRun, nodes: readonly NodeResult[]): string[] {
  const failures = nodes
    .filter(node => node.seconds === undefined || !node.intact)
    .map(node => `${node.name} is ${node.seconds === undefined ? 'incomplete' : 'damaged'}: ${node.said.join(' | ')}`)
  for (const node of [end.hub, end.seeder]) {
    if (node.spec !== undefined && node.exitCode !== undefined && !node.killed) {
      failures.unshift(`${node.host.name} ended by itself: ${node.said.join(' | ')}`)
    }
  }
  if (end.timedOut) failures.unshift('not all were complete when patience ended')
  return failures
}
