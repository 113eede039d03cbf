/**
 * What a run has shown, for people (a table, a Markdown report with two plots) and programs (JSON).
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatBinaryBytes, formatBytes } from '../../src/util/sizes.ts'
import type { Experiment } from './experiment.ts'
import { completionPlot, sourcesPlot } from './plots.ts'
import type { RunResult } from './result.ts'

/** What the machine and the links were, as far as it bears on the figures. */
export interface Facts {
  readonly cores: number
  readonly kernel: string
  readonly node: string
  readonly congestionControl: string
  readonly queue: string
}

export interface Report {
  readonly experiment: Experiment
  readonly facts: Facts
  readonly runs: readonly RunResult[]
  /**
   * Seconds until all are complete in the simulator, for the same description; undefined where the scenario
   * has no simulation.
   */
  readonly simulatedSeconds: number | undefined
}

/**
 * The value below which this share of the sorted values lies (nearest rank); undefined when there is none.
 */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
}

export interface Summary {
  readonly client: string
  readonly ok: boolean
  readonly complete: string
  readonly minSeconds: number | undefined
  readonly p50Seconds: number | undefined
  readonly p99Seconds: number | undefined
  readonly maxSeconds: number | undefined
  /** Time until all present at the signal were complete, over T* and over one server. */
  readonly toBound: number | undefined
  readonly toOneServer: number | undefined
  readonly seederCopies: number | undefined
  readonly seederWireCopies: number
  /** Thrown away over payload needed. */
  readonly wasted: number | undefined
  readonly uplinkUse: number
  readonly cpuUse: number
  readonly fleetCpuUse: number
  readonly cpuSecondsPerNode: number
  readonly loadCpuSecondsPerNode: number
  readonly peakRssBytes: number
}

export function summarize(run: RunResult, experiment: Experiment): Summary {
  const times = run.nodes.map(node => node.seconds).filter(seconds => seconds !== undefined)
  const done = run.nodes.filter(node => node.seconds !== undefined && node.intact).length
  const tellWaste = run.nodes.some(node => node.bytesWasted !== undefined)
  const wasted = run.nodes.reduce((sum, node) => sum + (node.bytesWasted ?? 0), 0)
  return {
    client: run.client,
    ok: run.ok,
    complete: `${done}/${run.nodes.length}`,
    minSeconds: percentile(times, 0),
    p50Seconds: percentile(times, 0.5),
    p99Seconds: percentile(times, 0.99),
    maxSeconds: percentile(times, 1),
    toBound: run.allCompleteSeconds === undefined ? undefined : run.allCompleteSeconds / run.boundSeconds,
    toOneServer: run.allCompleteSeconds === undefined ? undefined : run.allCompleteSeconds / run.oneServerSeconds,
    seederCopies: run.seeder.copies,
    seederWireCopies: run.seeder.wireCopies,
    wasted: tellWaste ? wasted / (experiment.sizeBytes * run.nodes.length) : undefined,
    uplinkUse: run.uplinkUse,
    cpuUse: run.cpuUse,
    fleetCpuUse: run.fleetCpuUse,
    cpuSecondsPerNode: run.nodes.reduce((sum, node) => sum + node.cpuSeconds, 0) / run.nodes.length,
    loadCpuSecondsPerNode: run.nodes.reduce((sum, node) => sum + node.loadCpuSeconds, 0) / run.nodes.length,
    peakRssBytes: Math.max(...run.nodes.map(node => node.peakRssBytes), run.seeder.peakRssBytes)
  }
}

const COLUMNS: readonly (readonly [title: string, cell: (summary: Summary) => string])[] = [
  ['client', s => s.client],
  ['complete', s => s.complete],
  ['min s', s => fixed(s.minSeconds, 1)],
  ['p50 s', s => fixed(s.p50Seconds, 1)],
  ['p99 s', s => fixed(s.p99Seconds, 1)],
  ['max s', s => fixed(s.maxSeconds, 1)],
  ['x T*', s => fixed(s.toBound, 3)],
  ['x one server', s => fixed(s.toOneServer, 3)],
  ['seeder copies', s => fixed(s.seederCopies, 2)],
  ['on the wire', s => fixed(s.seederWireCopies, 2)],
  ['wasted', s => percent(s.wasted)],
  ['uplinks used', s => percent(s.uplinkUse)],
  ['cores busy', s => percent(s.cpuUse)],
  ['by the fleet', s => percent(s.fleetCpuUse)],
  ['CPU s/node', s => fixed(s.cpuSecondsPerNode, 1)],
  ['to load', s => fixed(s.loadCpuSecondsPerNode, 1)],
  ['peak RSS', s => formatBytes(s.peakRssBytes)]
]

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? '-' : value.toFixed(digits)
}

function percent(value: number | undefined): string {
  return value === undefined ? '-' : `${(value * 100).toFixed(1)} %`
}

/** The table as Markdown, one row per client. */
export function summaryTable(report: Report): string {
  const rows = report.runs.map(run => summarize(run, report.experiment))
  const lines = [
    COLUMNS.map(([title]) => title),
    COLUMNS.map(() => '---'),
    ...rows.map(row => COLUMNS.map(([, cell]) => cell(row)))
  ]
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0)))
  return lines.map(line => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`).join('\n')
}

/** One line on what was run. */
export function describe({ experiment, runs, facts }: Report): string {
  const size = formatBinaryBytes(experiment.sizeBytes)
  const piece = formatBinaryBytes(experiment.pieceBytes)
  const rate = `${experiment.uplinkBitsPerSecond / 1e6} Mbit/s uplinks${experiment.symmetric ? ' and downlinks' : ''}`
  const bound =
    runs[0] === undefined
      ? ''
      : `; T* = ${runs[0].boundSeconds.toFixed(1)} s, one server ${runs[0].oneServerSeconds.toFixed(1)} s`
  return (
    `${experiment.scenario.name}: ${experiment.leechers} leechers, ${size} in pieces of ${piece}, ${rate}${bound}\n` +
    `${facts.cores} cores, Linux ${facts.kernel}, Node ${facts.node}, TCP ${facts.congestionControl}, ${facts.queue}`
  )
}

/** What the model says beside what was measured; undefined when one of them is missing. */
export function modelLine(report: Report): string | undefined {
  const measured = report.runs.find(run => run.client === 'swarm')
  if (report.simulatedSeconds === undefined || measured?.allCompleteSeconds === undefined) return undefined
  const simulated = report.simulatedSeconds / measured.boundSeconds
  const real = measured.allCompleteSeconds / measured.boundSeconds
  const difference = Math.abs(real - simulated) / simulated
  return `simulated ${simulated.toFixed(3)} T*, measured ${real.toFixed(3)} T*: ${percent(difference)} apart`
}

/** What a scenario did, and how it ended, in sentences. */
export function storyLines(report: Report): string[] {
  const lines: string[] = []
  for (const run of report.runs) {
    for (const line of run.log) lines.push(`${run.client}: ${line}`)
    if (run.loadSeconds !== undefined)
      lines.push(`${run.client}: all were loaded ${run.loadSeconds.toFixed(1)} s after the first was started`)
    const verdict = run.ok ? `every surviving node is complete and verified (${run.nodes.length})` : run.failures.join('; ')
    lines.push(`${run.client}: ${verdict}`)
  }
  return lines
}

/**
 * Writes report.json, report.md, completion.svg and, where bytes by source are known, sources.svg into
 * `folder`.
 */
export async function writeReport(report: Report, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'completion.svg'), completionPlot(report))
  const sources = report.runs.find(run => run.nodes.some(node => node.bytesFrom !== undefined))
  if (sources !== undefined) await writeFile(join(folder, 'sources.svg'), sourcesPlot(sources))
  const summaries = report.runs.map(run => summarize(run, report.experiment))
  await writeFile(join(folder, 'report.json'), `${JSON.stringify({ ...report, summaries }, null, 2)}\n`)
  const model = modelLine(report)
  const text = [
    `# ${report.experiment.scenario.name}, ${report.experiment.leechers} leechers`,
    describe(report),
    summaryTable(report),
    ...(model === undefined ? [] : [model]),
    storyLines(report)
      .map(line => `- ${line}`)
      .join('\n'),
    '![how many nodes are complete over time](completion.svg)',
    ...(sources === undefined ? [] : ['![who gave each node its bytes](sources.svg)']),
    nodeTable(report)
  ]
  await writeFile(join(folder, 'report.md'), `${text.join('\n\n')}\n`)
}

function nodeTable(report: Report): string {
  const rows = report.runs.flatMap(run =>
    run.nodes.map(
      node =>
        `| ${run.client} | ${node.name} | ${fixed(node.seconds, 2)} | ${node.intact ? 'yes' : 'no'} | ${node.cpuSeconds.toFixed(1)} | ${formatBytes(node.peakRssBytes)} |`
    )
  )
  return [
    '| client | node | complete after s | verified | CPU s | peak RSS |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows
  ].join('\n')
}
