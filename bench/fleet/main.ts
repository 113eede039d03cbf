/**
 * `npm run fleet:netns -- …` and `npm run fleet:docker -- …`: a whole fleet on this machine, on capped links,
 * and a report on how a file spread. Exit codes: 0 all complete and verified (and within `--max-ratio`), 1
 * not, 2 usage, 130 stopped; 77 when this machine cannot run it (no rights), so that a script can tell
 * "skipped" from "failed".
 */

import { readFile } from 'node:fs/promises'
import { availableParallelism, release } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { findCli } from '../suite/contestants.ts'
import { withArpRoom } from './arp-room.ts'
import { CLIENTS, type ClientName } from './clients.ts'
import { type DockerEngine, engineFault, startEngine } from './docker-engine.ts'
import { buildImage } from './docker-image.ts'
import { DockerLab } from './docker-lab.ts'
import { type Experiment, resolveExperiment, SCENARIOS } from './experiment.ts'
import type { Lab } from './lab.ts'
import { Live } from './live.ts'
import { simulateSeconds } from './model.ts'
import { NetnsLab } from './netns-lab.ts'
import { describe, type Facts, modelLine, type Report, storyLines, summarize, summaryTable, writeReport } from './report.ts'
import type { RunResult } from './result.ts'
import { runExperiment } from './run.ts'
import { isInside, onOuterGone, runInside, sandboxFault } from './sandbox.ts'

const OPTIONS = {
  nodes: { type: 'string', default: '8' },
  rate: { type: 'string', default: '20mbit' },
  size: { type: 'string', default: '32MiB' },
  piece: { type: 'string', default: '256KiB' },
  scenario: { type: 'string', default: 'flash-crowd' },
  symmetric: { type: 'boolean', default: false },
  cold: { type: 'boolean', default: false },
  congestion: { type: 'string', default: 'cubic' },
  seed: { type: 'string', default: '1' },
  clients: { type: 'string', default: 'swarm' },
  'max-ratio': { type: 'string' },
  out: { type: 'string' },
  json: { type: 'boolean', default: false },
  'base-image': { type: 'string' },
  image: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false }
} satisfies ParseArgsOptionsConfig

const USAGE = `npm run fleet:netns -- [options]     in network namespaces (Linux, root or user namespaces)
npm run fleet:docker -- [options]    in containers (Linux, root, a docker engine on this machine)

  --nodes <n>          leechers (8)
  --rate <rate>        cap of every node's uplink (20mbit)
  --symmetric          the same cap on every downlink
  --size <size>        of the file (32MiB)
  --piece <size>       of a piece (256KiB)
  --scenario <name>    what happens to them (flash-crowd):
${SCENARIOS.map(({ name, summary }) => `                         ${name.padEnd(14)} ${summary}`).join('\n')}
  --cold               start the leechers at the signal instead of before it
  --congestion <name>  control of TCP between the nodes, as Linux names it; machine: this machine's default (cubic)
  --clients <list>     of swarm, http, aria2, libtorrent; one run each on the same links (swarm; others with fleet:netns only)
  --seed <n>           for the file's bytes and for whom the scenario picks (1)
  --max-ratio <x>      fail when our fleet takes longer than x T*
  --out <folder>       of the report (bench/out/fleet)
  --base-image <name>  to build the image on (fleet:docker; a stand-in is made where nothing can be pulled)
  --image <name>       run this image instead of building one (fleet:docker)
  --json               print the report as JSON and nothing else on stdout`

async function main(): Promise<number> {
  const [kind, ...args] = process.argv.slice(2)
  let values: ReturnType<typeof parse>
  let experiment: Experiment
  let clients: ClientName[]
  try {
    values = parse(args)
    if (kind !== 'netns' && kind !== 'docker') throw new RangeError(`first argument: netns or docker, not ${kind}`)
    if (values.help) {
      console.log(USAGE)
      return 0
    }
    experiment = resolveExperiment(values)
    const controls = (await readControl('available_congestion_control')).split(' ')
    // Where the list is unknown the rig cannot run at all, and says so below.
    const isKnown = controls[0] !== 'unknown'
    if (isKnown && experiment.congestionControl !== undefined && !controls.includes(experiment.congestionControl)) {
      throw new RangeError(`--congestion: this kernel has ${controls.join(', ')}, not ${experiment.congestionControl}`)
    }
    clients = values.clients.split(',').map(name => {
      if (!Object.hasOwn(CLIENTS, name)) throw new RangeError(`--clients: no client ${name}`)
      return name as ClientName
    })
    if (kind === 'docker' && clients.some(name => name !== 'swarm'))
      throw new RangeError('the image holds only swarm: baselines run with fleet:netns')
  } catch (err) {
    console.error(`${(err as Error).message}\n\n${USAGE}`)
    return 2
  }
  const stop = new AbortController()
  const options: RunAllOptions = {
    experiment,
    clients,
    signal: stop.signal,
    out: values.out,
    json: values.json,
    maxRatio: values['max-ratio']
  }
  // With the seeder, the bootstrap peer and the bridge.
  const hosts = experiment.leechers + 3
  if (kind === 'netns') {
    if (!isInside()) {
      const fault = await sandboxFault()
      const inside = (): Promise<number> => runInside(fileURLToPath(import.meta.url), process.argv.slice(2))
      if (fault === undefined) return await withArpRoom(hosts, note => console.error(note), inside)
      console.error(`fleet:netns skipped: ${fault}`)
      return CANNOT_RUN
    }
    onOuterGone(() => stop.abort(new Error('stopped')))
    stopOnSignals(stop)
    const program = await findCli()
    return await runAll(options, () => NetnsLab.open(program))
  }
  const fault = await engineFault()
  if (fault !== undefined) {
    console.error(`fleet:docker skipped: ${fault}`)
    return CANNOT_RUN
  }
  stopOnSignals(stop)
  let engine: DockerEngine | undefined
  try {
    engine = await startEngine(stop.signal)
    const image =
      values.image ??
      (await buildImage({ baseImage: values['base-image'], say: note => console.error(note), signal: stop.signal }))
    return await withArpRoom(
      hosts,
      note => console.error(note),
      () => runAll(options, () => DockerLab.open(image))
    )
  } finally {
    await engine?.stop()
  }
}

const CANNOT_RUN = 77

function parse(args: string[]) {
  return parseArgs({ args, options: OPTIONS }).values
}

/**
 * The first Ctrl-C stops in order; a second one is left to the kernel's default, after which sandbox or
 * watchdog clean up.
 */
function stopOnSignals(stop: AbortController): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort(new Error('stopped')))
}

interface RunAllOptions {
  experiment: Experiment
  clients: readonly ClientName[]
  signal: AbortSignal
  out: string | undefined
  json: boolean
  maxRatio: string | undefined
}

async function runAll(options: RunAllOptions, openLab: () => Promise<Lab>): Promise<number> {
  const { experiment, signal } = options
  const runs: RunResult[] = []
  for (const name of options.clients) {
    const lab = await openLab()
    const live = new Live(name, process.stderr)
    try {
      runs.push(
        await runExperiment(lab, CLIENTS[name], experiment, {
          signal,
          onTick: view => live.show(view),
          onNote: note => live.note(note)
        })
      )
    } finally {
      live.end()
      await lab.close()
    }
  }
  const report: Report = { experiment, facts: await gatherFacts(experiment), runs, simulatedSeconds: simulateSeconds(experiment) }
  const out = resolve(options.out ?? 'bench/out/fleet')
  await writeReport(report, out)
  if (options.json) console.log(JSON.stringify({ ...report, summaries: runs.map(run => summarize(run, experiment)) }))
  else {
    console.log(`${describe(report)}\n\n${summaryTable(report)}\n`)
    const model = modelLine(report)
    if (model !== undefined) console.log(model)
    for (const line of storyLines(report)) console.log(line)
    console.log(`report: ${out}/report.md`)
  }
  return verdict(report, options.maxRatio)
}

function verdict(report: Report, maxRatio: string | undefined): number {
  if (report.runs.some(run => !run.ok)) return 1
  const ours = report.runs.find(run => run.client === 'swarm')
  if (maxRatio === undefined || ours === undefined) return 0
  const { toBound } = summarize(ours, report.experiment)
  if (toBound !== undefined && toBound <= Number(maxRatio)) return 0
  console.error(`the fleet took ${toBound?.toFixed(2)} T*, more than ${maxRatio}`)
  return 1
}

async function readControl(name: string): Promise<string> {
  return (await readFile(`/proc/sys/net/ipv4/tcp_${name}`, 'utf8').catch(() => 'unknown')).trim()
}

async function gatherFacts({ congestionControl }: Experiment): Promise<Facts> {
  return {
    cores: availableParallelism(),
    kernel: release(),
    node: process.versions.node,
    congestionControl: congestionControl ?? (await readControl('congestion_control')),
    queue: 'HTB with pfifo_fast behind it on every uplink'
  }
}

try {
  process.exitCode = await main()
} catch (err) {
  const stopped = err instanceof Error && (err.name === 'AbortError' || err.message === 'stopped')
  console.error(stopped ? 'stopped' : err)
  process.exitCode = stopped ? 130 : 70
}
// Followed logs and lifelines may still be open; everything that matters has been awaited.
process.exit()
