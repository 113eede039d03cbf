/**
 * `npm run bench:unequal`: how much longer honest leechers take beside neighbours that are slow or hostile, with the built command line on
 * loopback. Exit codes: 0 all within their targets, 1 not, 2 usage.
 */

import { parseArgs } from 'node:util'
import { findCli } from '../suite/contestants.ts'
import { ROWS, type Row } from './rows.ts'
import { type Outcome, runOnce, type Setting } from './swarm.ts'

const USAGE = `npm run bench:unequal -- [options]

  --only <names>        rows, separated by commas; a name's beginning and * will do:
${ROWS.map(({ name, title }) => `                          ${name.padEnd(16)} ${title}`).join('\n')}
  --runs <n>            of each, of which the median counts (3)
  --full                also with 200 MB
  --patience <seconds>  after which a leecher counts as hung (120)
  --json                print one JSON object per row instead of the table`

const FULL_FACTOR = 10
/** Of what is said beside a row of the table; `--json` has all of it. */
const MAX_FAULT_LENGTH = 120

interface Measured {
  readonly name: string
  readonly bytes: number
  readonly aloneSeconds: number
  /** Infinity when a leecher did not finish in time. */
  readonly besideSeconds: number
  readonly ratio: number
  readonly target: number
  readonly ok: boolean
  readonly faults: readonly string[]
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '*' },
      runs: { type: 'string', default: '3' },
      full: { type: 'boolean', default: false },
      patience: { type: 'string', default: '120' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  const [runs, patienceSeconds] = [Number(values.runs), Number(values.patience)]
  const rows = values.only.split(',').flatMap(choose)
  if (values.help || rows.length === 0 || !(runs >= 1) || !(patienceSeconds > 0)) {
    console.error(USAGE)
    return values.help ? 0 : 2
  }
  const bench = new Bench(await findCli(), runs, patienceSeconds)
  const show = values.json ? (measured: Measured) => console.log(JSON.stringify(measured)) : print
  if (!values.json)
    console.log('| beside | MB | alone s | beside s | ratio | target | |\n| --- | --- | --- | --- | --- | --- | --- |')
  let isGreen = true
  for (const factor of values.full ? [1, FULL_FACTOR] : [1]) {
    for (const row of rows) {
      const measured = await bench.measure(row, factor)
      show(measured)
      isGreen &&= measured.ok
    }
  }
  return isGreen ? 0 : 1
}

function choose(pattern: string): Row[] {
  const start = pattern.endsWith('*') ? pattern.slice(0, -1) : undefined
  return ROWS.filter(({ name }) => (start === undefined ? name === pattern : name.startsWith(start)))
}

function print({ name, bytes, aloneSeconds, besideSeconds, ratio, target, ok, faults }: Measured): void {
  const cells = [
    name,
    bytes / 1e6,
    aloneSeconds.toFixed(2),
    besideSeconds.toFixed(2),
    ratio.toFixed(2),
    target,
    ok ? 'ok' : 'RED'
  ]
  console.log(`| ${cells.join(' | ')} | ${(faults[0] ?? '').slice(0, MAX_FAULT_LENGTH)}`.trimEnd())
}

class Bench {
  readonly #cli: readonly string[]
  readonly #runs: number
  readonly #patienceSeconds: number
  /** Rows with the same setting share what it takes alone. */
  readonly #alone = new Map<string, number>()

  constructor(cli: readonly string[], runs: number, patienceSeconds: number) {
    this.#cli = cli
    this.#runs = runs
    this.#patienceSeconds = patienceSeconds
  }

  async measure(row: Row, factor: number): Promise<Measured> {
    const setting = { ...row.setting, bytes: row.setting.bytes * factor }
    const aloneSeconds = await this.#secondsAlone({ ...setting, neighbours: [] })
    const beside = await this.#times(setting)
    const besideSeconds = median(beside.map(slowest))
    const ratio = besideSeconds / aloneSeconds
    const faults = beside.flatMap(({ fault }) => fault ?? [])
    const { name, target } = row
    const ok = ratio <= target && faults.length === 0
    return { name, bytes: setting.bytes, aloneSeconds, besideSeconds, ratio, target, ok, faults }
  }

  async #secondsAlone(setting: Setting): Promise<number> {
    const key = JSON.stringify(setting)
    let seconds = this.#alone.get(key)
    if (seconds === undefined) {
      const outcomes = await this.#times(setting)
      const fault = outcomes.find(outcome => outcome.fault !== undefined)?.fault
      if (fault !== undefined) throw new Error(`alone: ${fault}`)
      seconds = median(outcomes.map(slowest))
      this.#alone.set(key, seconds)
    }
    return seconds
  }

  async #times(setting: Setting): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    for (let run = 0; run < this.#runs; run++) {
      const outcome = await runOnce(setting, this.#cli, this.#patienceSeconds)
      outcomes.push(outcome)
      // Once hung, always hung, as far as the median goes: two more waits tell nothing.
      if (outcome.seconds.includes(undefined)) break
    }
    return outcomes
  }
}

/** Of the honest leechers in one run; Infinity when one was not done. */
function slowest({ seconds }: Outcome): number {
  return Math.max(...seconds.map(value => value ?? Number.POSITIVE_INFINITY))
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.POSITIVE_INFINITY
}

process.exitCode = await main()
