/**
 * Crowds on capped links: a seeder and its leechers, each in a network namespace with an uplink of 20 Mbit/s,
 * all leechers started cold at the same moment. Here processors of a server are short, not its links: what
 * counts is CPU. bench/fleet does it, one client for each sample.
 */

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Sample } from './results.ts'
import type { SampleContext, Workload } from './workloads.ts'

const exec = promisify(execFile)
const FLEET = fileURLToPath(new URL('../fleet/main.ts', import.meta.url))
const MIB = 2 ** 20
const MAX_REPORT_BYTES = 64 * MIB
/** The fleet says by this code that namespaces cannot be had. */
const CANNOT_RUN = 77

/** What is read of the fleet's report. */
interface RigReport {
  readonly runs: readonly {
    readonly ok: boolean
    readonly nodes: readonly { readonly seconds?: number; readonly cpuSeconds: number; readonly peakRssBytes: number }[]
  }[]
  readonly summaries: readonly { readonly toBound?: number }[]
}

function crowd(leechers: number) {
  return async ({ scope, payload, who }: SampleContext): Promise<Sample> => {
    const size = ['--nodes', String(leechers), '--size', String(payload.bytes), '--piece', String(payload.pieceBytes)]
    const argv = [FLEET, 'netns', ...size, '--cold', '--json', '--clients', who, '--out', join(scope.folder, 'rig')]
    const { stdout } = await exec(process.execPath, argv, { maxBuffer: MAX_REPORT_BYTES }).catch(err => {
      throw new Error(err.code === CANNOT_RUN ? `no namespaces here: ${err.stderr}` : err.message)
    })
    const { runs, summaries } = JSON.parse(stdout) as RigReport
    const nodes = runs[0]?.nodes ?? []
    const toBound = summaries[0]?.toBound
    if (runs[0]?.ok !== true || toBound === undefined) throw new Error(`${who}: not all leechers were complete and verified`)
    const cpuSeconds = nodes.reduce((sum, node) => sum + node.cpuSeconds, 0)
    return {
      seconds: Math.max(...nodes.map(({ seconds }) => seconds ?? Number.POSITIVE_INFINITY)),
      toBound,
      cpuSecondsPerNode: cpuSeconds / nodes.length,
      cpuSecondsPerGib: cpuSeconds / ((payload.bytes * leechers) / 2 ** 30),
      getterPeakBytes: Math.max(...nodes.map(({ peakRssBytes }) => peakRssBytes))
    }
  }
}

export const CROWD_WORKLOADS: readonly Workload[] = [8, 32].map(leechers => ({
  name: `crowd-${leechers}`,
  title: `one seeder, ${leechers} leechers that start cold at once, 32 MiB, uplinks of 20 Mbit/s: until all are complete, CPU of the leechers`,
  payload: { bytes: 32 * MIB, pieceBytes: 256 * 1024 },
  rivals: ['aria2', 'libtorrent'],
  runs: 3,
  isDefault: true,
  sample: crowd(leechers)
}))
