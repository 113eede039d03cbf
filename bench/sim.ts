/**
 * `npm run bench:sim`: the engine against the bound, in the simulator. Writes bench/SIMULATION.md and the
 * plots in docs/plots/.
 *
 * A row is the mean of five seeds with the worst in brackets (of one where it is huge). Each run has a
 * process of its own, so that wall time and memory are its own. `--quick` leaves out the rows of more than a
 * minute; `--huge` adds the one with 10,000 leechers, which takes about nine minutes and 3 GiB.
 * `--only=unequal` runs sim-unequal.ts alone.
 */

import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { plotSvg } from '../src/cli/simulate-plot.ts'
import type { SimulationOptions } from '../src/sim/options.ts'
import { type SimulationResult, simulate } from '../src/sim/run.ts'
import { unequalReport } from './sim-unequal.ts'

interface Row {
  readonly group: 'table' | 'scenarios' | 'strategies'
  readonly title: string
  readonly options: Partial<SimulationOptions>
  /** The most that the issue allows of the bound; undefined: no target. */
  readonly target?: number
  /** The row without the fault, which this one is compared with. */
  readonly without?: string
  readonly isLong?: boolean
  readonly isHuge?: boolean
  readonly plot?: string
}

interface Measured extends SimulationResult {
  readonly wallMs: number
  readonly rssBytes: number
}

const SEEDS = ['1', '2', '3', '4', '5']

const MIB = 1024 ** 2
const crowd = (nodes: number, pieces: number, more: Partial<SimulationOptions> = {}): Partial<SimulationOptions> => ({
  nodes,
  contentBytes: pieces * MIB,
  pieceLength: MIB,
  uplink: 12_500_000,
  latencyMs: 10,
  seed: '1',
  isChecked: false,
  ...more
})
const hundred = (
  scenario: SimulationOptions['scenario'],
  nodes = 100,
  engine: SimulationOptions['engine'] = {}
): Partial<SimulationOptions> => crowd(nodes, 512, { scenario, engine })
const pull = { offers: false, peerOrder: 'random' } as const

const ROWS: readonly Row[] = [
  { group: 'table', title: '32 x 128', options: crowd(32, 128), target: 1.08, plot: 'crowd-32' },
  { group: 'table', title: '100 x 1024', options: crowd(100, 1024), target: 1.04, plot: 'crowd-100' },
  { group: 'table', title: '1,000 x 1024', options: crowd(1000, 1024), target: 1.04, plot: 'crowd-1000', isLong: true },
  {
    group: 'table',
    // Each `have` goes to every neighbour, which is most of what this run does.
    title: '10,000 x 512, at most 22 neighbours',
    options: crowd(10_000, 512, { engine: { maxNeighbours: 22 } }),
    target: 1.06,
    plot: 'crowd-10000',
    isHuge: true
  },
  { group: 'scenarios', title: 'flash crowd', options: hundred('flash-crowd') },
  { group: 'scenarios', title: 'unequal uplinks', options: hundred('unequal-uplinks'), target: 1.1 },
  { group: 'scenarios', title: 'symmetric caps', options: hundred('symmetric-caps'), target: 1.1 },
  { group: 'scenarios', title: 'newcomer', options: hundred('newcomer'), target: 1.05 },
  { group: 'scenarios', title: 'seeder leaves', options: hundred('seeder-leaves') },
  { group: 'scenarios', title: 'corrupters', options: hundred('corrupters'), target: 1.15, without: 'flash crowd' },
  {
    group: 'scenarios',
    title: 'free riders (open swarm)',
    options: hundred('free-riders'),
    target: 1.15,
    without: 'flash crowd'
  },
  { group: 'scenarios', title: 'slow peers', options: hundred('slow-peers'), target: 1.15, without: 'flash crowd' },
  { group: 'scenarios', title: 'churn', options: hundred('churn'), target: 1.15, without: 'flash crowd' },
  { group: 'scenarios', title: 'silent peers', options: hundred('silent') },
  { group: 'scenarios', title: 'partition', options: hundred('partition') },
  { group: 'scenarios', title: 'two files', options: hundred('two-files') },
  { group: 'scenarios', title: 'staggered', options: hundred('staggered') },
  { group: 'scenarios', title: '10 racks of 20, links of 2 hosts between', options: hundred('racks', 200) },
  { group: 'scenarios', title: 'the same without slots for near peers', options: hundred('racks', 200, { farShare: 1 }) },
  { group: 'scenarios', title: 'playback at 0.8, 50 leechers', options: { ...hundred('playback', 50), contentBytes: 256 * MIB } },
  {
    group: 'scenarios',
    title: '1,000 cold on an origin of one uplink',
    options: { ...hundred('origin', 1000), contentBytes: 256 * MIB },
    isLong: true
  },
  {
    group: 'strategies',
    title: 'sequential (requests)',
    // All ask the seeder for the same next piece: 25 times the bound, beyond the usual deadline.
    options: crowd(100, 256, { engine: { ...pull, pieceOrder: 'sequential' }, deadlineMs: 3_600_000 })
  },
  { group: 'strategies', title: 'random (requests)', options: crowd(100, 256, { engine: { ...pull, pieceOrder: 'random' } }) },
  { group: 'strategies', title: 'rarest first (requests)', options: crowd(100, 256, { engine: { ...pull } }) },
  { group: 'strategies', title: 'offers, random piece', options: crowd(100, 256, { engine: { pieceOrder: 'random' } }) },
  {
    group: 'strategies',
    title: 'offers, rarest, tit-for-tat',
    options: crowd(100, 256, { engine: { peerOrder: 'tit-for-tat' } })
  },
  { group: 'strategies', title: 'offers, rarest, any peer', options: crowd(100, 256, { engine: { peerOrder: 'random' } }) },
  { group: 'strategies', title: 'offers, rarest, neediest (ours)', options: crowd(100, 256) }
]

/** What only some scenarios have to say. */
function alsoOf(runs: readonly Measured[]): string {
  const [{ crossRackCopies, originCopies, playback }] = runs as [Measured]
  if (crossRackCopies !== undefined) return `${mean(runs, run => run.crossRackCopies ?? 0).toFixed(3)} copies into each rack`
  if (originCopies !== undefined) return `${mean(runs, run => run.originCopies ?? 0).toFixed(3)} copies from the origin`
  if (playback === undefined) return ''
  const startMs = mean(runs, run => run.playback?.startMs ?? Number.POSITIVE_INFINITY)
  const stalledMs = mean(runs, run => run.playback?.stalledMs ?? Number.POSITIVE_INFINITY)
  const worstMs = worst(runs, run => run.playback?.stalledMs ?? Number.POSITIVE_INFINITY)
  return `plays after ${startMs.toFixed(0)} ms, stands still for ${stalledMs.toFixed(0)} ms (${worstMs.toFixed(0)})`
}

async function measure(index: number, seed: string): Promise<Measured> {
  // Events of thousands of hosts live for a while: with V8's usual 16 MiB they are copied over and over.
  const heap = ['--max-old-space-size=12000', ...(ROWS[index]?.isHuge === true ? ['--max-semi-space-size=128'] : [])]
  const args = [...heap, fileURLToPath(import.meta.url), '--row', String(index), seed]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 * MIB })
  return JSON.parse(stdout) as Measured
}

function runRow(index: number, seed: string): void {
  const startedMs = performance.now()
  const result = simulate({ ...(ROWS[index] as Row).options, seed })
  const measured: Measured = {
    ...result,
    wallMs: performance.now() - startedMs,
    rssBytes: process.resourceUsage().maxRSS * 1024
  }
  process.stdout.write(JSON.stringify(measured))
}

async function main(): Promise<void> {
  const isQuick = process.argv.includes('--quick')
  if (process.argv.includes('--only=unequal')) {
    process.stdout.write(`${unequalReport()}\n`)
    return
  }
  const only = process.argv.find(argument => argument.startsWith('--only='))?.slice('--only='.length)
  const results = new Map<string, readonly Measured[]>()
  const folder = fileURLToPath(new URL('../docs/plots/', import.meta.url))
  await mkdir(folder, { recursive: true })
  for (const [index, row] of ROWS.entries()) {
    if (row.isHuge === true && !process.argv.includes('--huge')) continue
    if ((isQuick && row.isLong === true) || (only !== undefined && row.group !== only)) continue
    process.stderr.write(`${row.title} … `)
    const runs: Measured[] = []
    for (const seed of row.isHuge === true ? SEEDS.slice(0, 1) : SEEDS) runs.push(await measure(index, seed))
    results.set(row.title, runs)
    const ratios = runs.map(({ ratio }) => ratio.toFixed(3)).join(', ')
    process.stderr.write(`${ratios} of the bound, ${(mean(runs, ({ wallMs }) => wallMs) / 1000).toFixed(1)} s\n`)
    if (row.plot !== undefined) await writeFile(`${folder}${row.plot}.svg`, plotSvg(runs[0] as Measured))
  }
  const report = format(results)
  process.stdout.write(report)
  if (!isQuick && only === undefined) await writeFile(new URL('SIMULATION.md', import.meta.url), report)
}

function mean(runs: readonly Measured[], of: (run: Measured) => number): number {
  return runs.reduce((sum, run) => sum + of(run), 0) / runs.length
}

function worst(runs: readonly Measured[], of: (run: Measured) => number): number {
  return Math.max(...runs.map(of))
}

function format(results: ReadonlyMap<string, readonly Measured[]>): string {
  const [cpu] = cpus()
  const lines = [
    '# The engine against the bound, simulated',
    '',
    `Written by \`npm run bench:sim\` on ${cpus().length} x ${cpu?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 1024 ** 3)} GiB, Node ${process.versions.node}. ` +
      'Uplinks 100 Mbit/s (unless a row says otherwise), 10 ms one-way latency with 20 % jitter, at most 30 neighbours, pieces of 1 MiB, partial knowledge, checkers off. Means of five seeds with the worst in brackets; 10,000 leechers with one.',
    'Time counts from the first join to the last piece of the last measured leecher, against the bound of each scenario (src/sim/bounds.ts).',
    ''
  ]
  const groups = {
    table: 'Flash crowd, leechers x pieces',
    scenarios: '100 leechers, 512 pieces (where the row says nothing else)',
    strategies: 'Ways of choosing, 100 leechers, 256 pieces'
  }
  for (const [group, title] of Object.entries(groups)) {
    const rows = ROWS.filter(row => row.group === group && results.has(row.title))
    if (rows.length === 0) continue
    lines.push(`## ${title}`, '')
    lines.push('| | of the bound, all | p99 | target | seeder, copies | wasted | small messages | also | wall | memory |')
    lines.push('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |')
    for (const row of rows) lines.push(formatRow(row, results.get(row.title) as readonly Measured[], results))
    lines.push('')
  }
  return lines.join('\n')
}

function formatRow(row: Row, runs: readonly Measured[], results: ReadonlyMap<string, readonly Measured[]>): string {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
  const meanAndWorst = (of: (run: Measured) => number): string =>
    runs.length === 1 ? mean(runs, of).toFixed(4) : `${mean(runs, of).toFixed(4)} (${worst(runs, of).toFixed(3)})`
  const base = row.without === undefined ? undefined : results.get(row.without)
  const p99 = meanAndWorst(run => run.p99Ratio)
  const p99Mean = mean(runs, run => run.p99Ratio)
  const without = base === undefined ? '' : `; ${(p99Mean / mean(base, run => run.p99Ratio)).toFixed(3)} of without`
  return `| ${[
    row.title,
    meanAndWorst(run => run.ratio),
    `${p99}${without}`,
    row.target?.toFixed(2) ?? '',
    mean(runs, run => run.seederCopies).toFixed(3),
    percent(mean(runs, run => run.wastedShare)),
    percent(mean(runs, run => run.controlShare)),
    alsoOf(runs),
    `${(mean(runs, run => run.wallMs) / 1000).toFixed(1)} s`,
    `${Math.round(worst(runs, run => run.rssBytes) / MIB)} MiB`
  ].join(' | ')} |`
}

const rowAt = process.argv.indexOf('--row')
if (rowAt > 0) runRow(Number(process.argv[rowAt + 1]), process.argv[rowAt + 2] ?? '1')
else await main()
