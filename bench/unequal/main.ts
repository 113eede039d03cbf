/**
 * `npm run bench:unequal`: how much longer honest leechers take beside neighbours that are slow or hostile,
 * with the built command line. Exit codes: 0 all within their targets, 1 not, 2 usage, 77 this machine gives
 * no rights for `--capped`.
 */

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isInside, runInside, sandboxFault } from '../fleet/sandbox.ts'
import { findCli } from '../suite/contestants.ts'
import { type Compared, Comparison } from './compare.ts'
import { type OpenGround, openLoopback, openNamespaces } from './grounds.ts'
import { MIXED_SIZES, type MixedResult, measureMixed } from './mixed.ts'
import { CAPPED_ROWS, ROWS, type Row } from './rows.ts'

const list = (rows: readonly Row[]): string =>
  rows.map(({ name, title }) => `                          ${name.padEnd(16)} ${title}`).join('\n')

const USAGE = `npm run bench:unequal -- [options]

  --only <names>        rows, separated by commas; a name's beginning and * will do:
${list(ROWS)}
  --capped              on links of their own instead, in network namespaces:
${list(CAPPED_ROWS)}
  --mixed               leechers with limits drawn by --seed instead, each beside what its limit allows
  --seed <n>            for --mixed (1)
  --nodes <list>        for --mixed, of ${MIXED_SIZES.join(', ')} (all)
  --runs <n>            of each row, of which the median counts (3)
  --full                also with ten times the size
  --patience <seconds>  after which a leecher counts as hung (120)
  --json                print one JSON object per row instead of the table`

const FULL_FACTOR = 10
/** Of what is said beside a row of the table; `--json` has all of it. */
const MAX_FAULT_LENGTH = 120
const CANNOT_RUN = 77

function parse() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '*' },
      capped: { type: 'boolean', default: false },
      mixed: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      nodes: { type: 'string', default: MIXED_SIZES.join(',') },
      runs: { type: 'string', default: '3' },
      full: { type: 'boolean', default: false },
      patience: { type: 'string', default: '120' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  const rows = values.only.split(',').flatMap(pattern => choose(pattern, values.capped ? CAPPED_ROWS : ROWS))
  const sizes = MIXED_SIZES.filter(size => values.nodes.split(',').includes(`${size}`))
  if (rows.length === 0) throw new RangeError(`--only: no row ${values.only}`)
  if (sizes.length === 0) throw new RangeError(`--nodes: ${MIXED_SIZES.join(', ')}, not ${values.nodes}`)
  const number = (name: 'seed' | 'runs' | 'patience'): number => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} must be a whole number from 1 on`)
    return value
  }
  return { ...values, rows, sizes, seed: number('seed'), runs: number('runs'), patience: number('patience') }
}

function choose(pattern: string, rows: readonly Row[]): Row[] {
  const start = pattern.endsWith('*') ? pattern.slice(0, -1) : undefined
  return rows.filter(({ name }) => (start === undefined ? name === pattern : name.startsWith(start)))
}

async function main(): Promise<number> {
  let flags: ReturnType<typeof parse>
  try {
    flags = parse()
  } catch (err) {
    console.error(`${(err as Error).message}\n\n${USAGE}`)
    return 2
  }
  if (flags.help) {
    console.log(USAGE)
    return 0
  }
  if (flags.mixed) return await mixed(flags)
  if (!flags.capped) return await compare(flags, openLoopback)
  if (isInside()) return await compare(flags, openNamespaces)
  const fault = await sandboxFault()
  if (fault === undefined) return await runInside(fileURLToPath(import.meta.url), process.argv.slice(2))
  console.error(`bench:unequal --capped skipped: ${fault}`)
  return CANNOT_RUN
}

type Flags = ReturnType<typeof parse>

async function compare({ rows, runs, patience, full, json }: Flags, openGround: OpenGround): Promise<number> {
  const comparison = new Comparison(runs, { openGround, cli: await findCli(), patienceSeconds: patience })
  if (!json) console.log('| beside | MB | alone s | beside s | ratio | target | |\n| --- | --- | --- | --- | --- | --- | --- |')
  let isGreen = true
  for (const factor of full ? [1, FULL_FACTOR] : [1]) {
    for (const row of rows) {
      const compared = await comparison.measure(row, factor)
      console.log(json ? JSON.stringify(compared) : tableRow(compared))
      isGreen &&= compared.ok
    }
  }
  return isGreen ? 0 : 1
}

function tableRow({ name, bytes, aloneSeconds, besideSeconds, ratio, target, ok, faults }: Compared): string {
  const cells = [
    name,
    bytes / 1e6,
    aloneSeconds.toFixed(2),
    besideSeconds.toFixed(2),
    ratio.toFixed(2),
    target,
    ok ? 'ok' : 'RED'
  ]
  return `| ${cells.join(' | ')} | ${(faults[0] ?? '').slice(0, MAX_FAULT_LENGTH)}`.trimEnd()
}

async function mixed({ sizes, seed, patience, json }: Flags): Promise<number> {
  const options = { openGround: openLoopback, cli: await findCli(), patienceSeconds: patience }
  let isGreen = true
  for (const size of sizes) {
    for (const isTogether of [true, false]) {
      const result = await measureMixed({ seed, leechers: size, isTogether }, options)
      console.log(json ? JSON.stringify(result) : mixedText(result))
      isGreen &&= result.ok
    }
  }
  return isGreen ? 0 : 1
}

function mixedText({ world, seederBytesPerSecond, members, ratio, target, ok, faults }: MixedResult): string {
  const { leechers, isTogether, seed } = world
  const rate = (bytesPerSecond: number): string =>
    Number.isFinite(bytesPerSecond) ? `${Math.round(bytesPerSecond / 1e3)} KB/s` : 'none'
  const head = `${leechers} ${isTogether ? 'together' : 'apart'}, seed ${seed}, seeder ${rate(seederBytesPerSecond)}`
  const lines = members.map(({ bytesPerSecond, joinsAfterSeconds, isStopped, seconds, allowedSeconds }) => {
    const measured = `${seconds?.toFixed(2) ?? 'never'} s, allowed ${allowedSeconds.toFixed(2)} s`
    return `  ${rate(bytesPerSecond)}, joins at ${joinsAfterSeconds.toFixed(1)} s${isStopped ? ', stopped' : ''}: ${measured}`
  })
  const verdict = `${head}: ${ratio.toFixed(2)} (${target}) ${ok ? 'ok' : 'RED'} ${faults[0] ?? ''}`.trimEnd()
  return [verdict, ...lines].join('\n')
}

process.exitCode = await main()
