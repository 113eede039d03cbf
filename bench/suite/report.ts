/** The results as a person reads them: the table of RESULTS.md, the comparison with an older run. */

import { type Machine, medianOf, merit, type Results, type Row, type Sample, spreadOf } from './results.ts'
import type { Workload } from './workloads.ts'

const MB = 1e6

/** Fills in each of our rows' ratio to the first rival of the workload that took part. */
export function fillRatios(rows: readonly Row[], workloads: readonly Workload[]): void {
  for (const row of rows) {
    if (row.contestant !== 'swarm') continue
    const rival = rivalOf(row, rows, workloads)
    const [ours, theirs] = [merit(row.samples), rival === undefined ? undefined : merit(rival.samples)]
    if (ours !== undefined && theirs !== undefined) row.ratio = ours / theirs
  }
}

function rivalOf(row: Row, rows: readonly Row[], workloads: readonly Workload[]): Row | undefined {
  const names = workloads.find(({ name }) => name === row.workload)?.rivals ?? []
  const others = rows.filter(other => other.workload === row.workload)
  return names.map(name => others.find(({ contestant }) => contestant === name)).find(other => other !== undefined)
}

export function markdown(results: Results, workloads: readonly Workload[]): string {
  const lines = [
    '# Results',
    '',
    `Written by \`npm run bench\` on ${results.date.slice(0, 10)}; what each row means and what limits it: docs/PERFORMANCE.md.`,
    '',
    `Machine: ${describe(results.machine)}. Versions: ${Object.entries(results.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join('; ')}.`,
    '',
    'Whole processes, with default settings. Both ends run on this machine and share its cores. *Time* runs from the start of the receiving process to the file being',
    'verified and in place, the median over the runs; *spread* is the range over the runs relative to it. *CPU* is user and system time of all receivers',
    'and, while they run, the seeder, per GiB received; *CPU-ms* that for one time of what the title names, *first* in a process that has just begun. *RSS* is the peak of the seeder and of the largest receiver. *Ratio* is ours over the first rival below, in this run.',
    'tls-copy is the yardstick: the least that Node can do (one TLS connection, BLAKE3, written in place; bench/suite/rivals/tls-copy.ts).'
  ]
  for (const workload of workloads) {
    const rows = results.rows.filter(row => row.workload === workload.name)
    if (rows.length === 0) continue
    lines.push('', `## ${workload.title}`, '', ...table(rows))
  }
  if (results.skipped.length > 0) lines.push('', '## Left out', '', ...results.skipped.map(line => `- ${line}`))
  return `${lines.join('\n')}\n`
}

export function describe(machine: Machine): string {
  const { cpu, cores, memoryBytes, kernel, disk, loadBefore } = machine
  return `${cores} cores of ${cpu}, ${Math.round(memoryBytes / 2 ** 30)} GiB, Linux ${kernel}, ${disk}, load ${loadBefore.toFixed(2)} before the run`
}

interface Column {
  readonly title: string
  readonly of: (samples: readonly Sample[], row: Row) => string | undefined
}

const fixed = (value: number | undefined, digits: number): string | undefined => value?.toFixed(digits)
const megabytes = (bytes: number | undefined): string | undefined => (bytes === undefined ? undefined : (bytes / MB).toFixed(0))

const COLUMNS: readonly Column[] = [
  { title: '', of: (_, row) => row.contestant },
  { title: 'MB/s', of: samples => megabytes(medianOf(samples, 'bytesPerSecond')) },
  // Where CPU is measured, the time is the measurement's own.
  { title: 'time s', of: samples => (isCost(samples) ? undefined : fixed(medianOf(samples, 'seconds'), 2)) },
  { title: 'first CPU-ms', of: samples => figureOf(medianOf(samples, 'firstCpuMs')) },
  { title: 'CPU-ms', of: samples => figureOf(medianOf(samples, 'cpuMs')) },
  { title: 'spread', of: samples => percent(spreadOf(samples, isCost(samples) ? 'cpuMs' : 'seconds')) },
  { title: 'x T*', of: samples => fixed(medianOf(samples, 'toBound'), 2) },
  { title: 'CPU-s/node', of: samples => fixed(medianOf(samples, 'cpuSecondsPerNode'), 2) },
  { title: 'CPU-s/GiB', of: samples => fixed(medianOf(samples, 'cpuSecondsPerGib'), 1) },
  { title: 'core', of: samples => percent(medianOf(samples, 'coreShare'), 2) },
  { title: 'growth MB', of: samples => megabytes(medianOf(samples, 'growthBytes')) },
  { title: 'RSS seeder MB', of: samples => megabytes(medianOf(samples, 'seederPeakBytes')) },
  { title: 'RSS receiver MB', of: samples => megabytes(medianOf(samples, 'getterPeakBytes')) },
  { title: 'runs', of: samples => String(samples.length) },
  { title: 'ratio', of: (_, row) => (row.ratio === undefined ? undefined : `**${row.ratio.toFixed(2)}**`) }
]

function isCost(samples: readonly Sample[]): boolean {
  return samples[0]?.cpuMs !== undefined
}

/** Costs differ by four powers of ten. */
function figureOf(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : milliseconds.toPrecision(milliseconds < 100 ? 2 : 3)
}

function percent(share: number | undefined, digits = 0): string | undefined {
  return share === undefined ? undefined : `${(share * 100).toFixed(digits)} %`
}

export function table(rows: readonly Row[]): string[] {
  const cells = rows.map(row => COLUMNS.map(column => column.of(row.samples, row)))
  const shown = COLUMNS.map((_, index) => cells.some(row => row[index] !== undefined))
  const line = (texts: readonly (string | undefined)[]): string =>
    `| ${texts
      .filter((_, index) => shown[index])
      .map(text => text ?? '')
      .join(' | ')} |`
  return [
    line(COLUMNS.map(({ title }) => title)),
    line(COLUMNS.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...cells.map(line)
  ]
}

/** Old beside new, row by row; machines differ, so the ratios to the rivals count more than the figures. */
export function comparison(old: Results, now: Results): string[] {
  const lines = [`old: ${old.date}, ${describe(old.machine)}`, `new: ${now.date}, ${describe(now.machine)}`, '']
  lines.push('| workload | | old MB/s or s | new | change | ratio old | ratio new | CPU-s/GiB old | new | RSS MB old | new |')
  lines.push('| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
  for (const row of now.rows) {
    const before = old.rows.find(other => other.workload === row.workload && other.contestant === row.contestant)
    if (before === undefined) continue
    const [was, is] = [merit(before.samples), merit(row.samples)]
    const change = was === undefined || is === undefined ? '' : `${is >= was ? '+' : ''}${((is / was - 1) * 100).toFixed(0)} %`
    const cells = [
      row.workload,
      row.contestant,
      figure(before),
      figure(row),
      change,
      before.ratio?.toFixed(2),
      row.ratio?.toFixed(2)
    ]
    for (const { samples } of [before, row]) cells.push(medianOf(samples, 'cpuSecondsPerGib')?.toFixed(1))
    for (const { samples } of [before, row]) cells.push(megabytes(medianOf(samples, 'getterPeakBytes')))
    lines.push(`| ${cells.map(cell => cell ?? '').join(' | ')} |`)
  }
  return lines
}

function figure({ samples }: Row): string {
  const rate = medianOf(samples, 'bytesPerSecond')
  return rate === undefined ? `${fixed(medianOf(samples, 'seconds'), 2)} s` : `${megabytes(rate)} MB/s`
}
