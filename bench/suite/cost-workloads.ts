/**
 * A row for each fixed cost of a node, in CPU milliseconds, so that a reader sees where a second goes.
 * costs.ts does what is measured; the start of a process is measured here, by the command line that users
 * run.
 */

import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Cost } from './costs.ts'
import type { Sample } from './results.ts'
import type { SampleContext, Workload } from './workloads.ts'

const exec = promisify(execFile)
const COSTS = fileURLToPath(new URL('costs.ts', import.meta.url))
const PIECE = 256 * 1024

const TITLES: Readonly<Record<string, string>> = {
  connection: 'a connection from dial to a usable link, identify included, both ends',
  pieceConnection: 'one more connection for the pieces of a link, both ends',
  lookup: 'a lookup in a DHT of 16 nodes, all of them',
  announcement: 'an announcement in a DHT of 16 nodes, all of them',
  gossip: 'a signed gossip message, for each of 8 that hear it, the sender included',
  have: 'a `have` alone in its round of the event loop, both ends',
  'have-gathered': 'a `have` of 16 in one round, both ends',
  'piece-link': 'a piece of 256 KiB over a link, from memory to memory, both ends',
  'piece-in': 'hashing a piece of 256 KiB and writing it to its place',
  'piece-out': 'reading a piece of 256 KiB'
}

function cost(name: string) {
  return async (): Promise<Sample> => {
    const startedMs = performance.now()
    const { stdout } = await exec(process.execPath, [COSTS, name], { timeout: 120_000 })
    const measured = JSON.parse(stdout) as Cost
    return { seconds: (performance.now() - startedMs) / 1000, ...measured }
  }
}

/**
 * From the start of `swarm seed` to its word that it serves: in a user's first run, without V8's kept code,
 * and in a later one.
 */
async function start({ scope, payload, cli }: SampleContext): Promise<Sample> {
  const startedMs = performance.now()
  const env = { XDG_CACHE_HOME: join(scope.folder, 'cache') }
  await mkdir(env.XDG_CACHE_HOME)
  const serve = async (name: string): Promise<number> => {
    const own = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--state-dir', join(scope.folder, 'state')]
    const argv = [...cli, 'seed', payload.path, '--json', '--output', join(scope.folder, name), ...own]
    const node = await scope.start({ argv, env }, line => (line.includes('"seeding"') ? 'serving' : undefined))
    const { cpuSeconds } = await node.usage()
    await node.stop()
    return cpuSeconds * 1000
  }
  const firstCpuMs = await serve('first.swarm')
  return { seconds: (performance.now() - startedMs) / 1000, firstCpuMs, cpuMs: await serve('later.swarm') }
}

const row = (name: string, title: string, sample: Workload['sample']): Workload => ({
  name: `cost-${name}`,
  title,
  payload: { bytes: PIECE, pieceBytes: PIECE },
  rivals: [],
  runs: 3,
  isDefault: true,
  sample
})

export const COST_WORKLOADS: readonly Workload[] = [
  row('start', 'the start of a node, from `swarm seed` to its word that it serves', start),
  ...Object.entries(TITLES).map(([name, title]) => row(name, title, cost(name)))
]
