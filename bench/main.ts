/**
 * `npm run bench`: measures ours and, in the same run, its rivals, and writes bench/RESULTS.md with
 * RESULTS.json beside it.
 *
 * Contestants take turns within a workload, so that a change of the machine's mood hits all of them. Exit
 * codes: 0; 1 when a measurement failed or, with `--quick`, when a ratio fell by more than a third, twice; 2
 * usage; 77 when this machine cannot measure.
 */

import { mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import {
  aria2,
  type Contestant,
  type ContestantName,
  curl,
  findCli,
  libtorrent,
  swarm,
  tlsCopy,
  webtorrent
} from './suite/contestants.ts'
import { COST_WORKLOADS } from './suite/cost-workloads.ts'
import { CROWD_WORKLOADS } from './suite/crowd-workloads.ts'
import { Scope } from './suite/measure.ts'
import { makeFile, makeFolder, type Payload } from './suite/payload.ts'
import { comparison, describe, fillRatios, markdown, table } from './suite/report.ts'
import { describeMachine, mergeResults, type Results, type Row, readResults, type Sample } from './suite/results.ts'
import { checkTools, mktorrentVersion, WORKLOADS as TRANSFERS, type Workload } from './suite/workloads.ts'

const WORKLOADS: readonly Workload[] = [...TRANSFERS, ...CROWD_WORKLOADS, ...COST_WORKLOADS]

const OPTIONS = {
  only: { type: 'string' },
  clients: { type: 'string' },
  runs: { type: 'string' },
  compare: { type: 'string' },
  with: { type: 'string' },
  quick: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  dir: { type: 'string' },
  out: { type: 'string' },
  cli: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false }
} satisfies ParseArgsOptionsConfig

const USAGE = `npm run bench -- [options]

  --only <names>       workloads, separated by commas; a name's beginning will do:
${WORKLOADS.map(({ name, title }) => `                         ${name.padEnd(18)} ${title}`).join('\n')}
  --clients <names>    of swarm, libtorrent, aria2, webtorrent, curl, tls-copy, mktorrent (all that are installed)
  --runs <n>           runs of each (by workload)
  --compare <json>     show what changed against an older run
  --with <json>        compare with this newer run instead of measuring
  --quick              the short version: small sizes, ratios only; fails when one fell by more than a third
  --save               with --quick: keep the ratios to compare with
  --dir <folder>       for files (a temporary folder); room is checked before anything starts
  --out <file>         JSON of the results, the table goes beside it; rows of workloads that did not run are kept
                       (bench/RESULTS.json when all workloads ran, else none)
  --cli <command>      how to run swarm (dist/cli/main.js when built, else src/cli/main.ts)`

const RESULTS = fileURLToPath(new URL('RESULTS.json', import.meta.url))
const QUICK = fileURLToPath(new URL('quick.json', import.meta.url))
/** Below this share of the committed ratio, `--quick` fails. */
const WORST_FALL = 2 / 3

async function main(): Promise<number> {
  let flags: ReturnType<typeof parse>
  let chosen: readonly Workload[]
  try {
    flags = parse()
    if (flags.help) {
      console.log(USAGE)
      return 0
    }
    chosen = choose(flags.quick ? 'quick' : flags.only)
  } catch (err) {
    console.error(`${(err as Error).message}\n\n${USAGE}`)
    return 2
  }
  const old = flags.compare === undefined ? undefined : await readResults(flags.compare)
  if (old !== undefined && flags.with !== undefined) {
    console.log(comparison(old, await readResults(flags.with)).join('\n'))
    return 0
  }
  try {
    await checkTools()
  } catch (err) {
    console.error(`cannot measure here: ${(err as Error).message}`)
    return 77
  }
  const { results, failures } = await measure(chosen, flags)
  if (old !== undefined) console.log(`\n${comparison(old, results).join('\n')}`)
  const out = flags.out ?? (chosen.length >= WORKLOADS.filter(({ isDefault }) => isDefault).length ? RESULTS : undefined)
  if (out !== undefined && results.rows.length > 0) {
    const before = await readResults(out).catch(() => undefined)
    const all = before === undefined ? results : mergeResults(before, results)
    await writeFile(out, `${JSON.stringify(all, undefined, 1)}\n`)
    await writeFile(out.replace(/\.json$/, '.md'), markdown(all, WORKLOADS))
    console.log(`\nwritten: ${out} and the table beside it`)
  }
  for (const failure of failures) console.error(`FAILED ${failure}`)
  if (failures.length > 0) return 1
  if (!flags.quick || !(await checkRatios(results, flags.save))) return 0
  // A neighbour on the machine may have hit ours more than the yardstick: a real fall is there the second
  // time, too.
  console.log('once more, to be sure')
  const again = await measure(chosen, flags)
  return again.failures.length > 0 || (await checkRatios(again.results, false)) ? 1 : 0
}

function parse() {
  return parseArgs({ options: OPTIONS }).values
}

function choose(names: string | undefined): readonly Workload[] {
  if (names === undefined) return WORKLOADS.filter(({ isDefault }) => isDefault)
  return names.split(',').flatMap(wanted => {
    const found = WORKLOADS.filter(
      ({ name, isDefault }) => name === wanted || (name.startsWith(wanted) && (isDefault || wanted === 'quick'))
    )
    if (found.length === 0) throw new RangeError(`--only: no workload ${wanted}`)
    return found
  })
}

/** Versions of those that can run here; the others and why not. */
async function findContestants(all: readonly { name: string; version(): Promise<string> }[]) {
  const versions: Record<string, string> = {}
  const missing: string[] = []
  for (const { name, version } of all) {
    try {
      versions[name] = await version()
    } catch (err) {
      missing.push(`${name}: not installed: ${(err as Error).message}`)
    }
  }
  return { versions, missing }
}

async function measure(
  chosen: readonly Workload[],
  flags: ReturnType<typeof parse>
): Promise<{ results: Results; failures: string[] }> {
  const cli = flags.cli?.split(' ') ?? (await findCli())
  const contestants: Contestant[] = [swarm(cli), libtorrent, aria2, webtorrent, curl, tlsCopy]
  const wanted = flags.clients?.split(',')
  const named = [...new Set(['swarm', ...chosen.flatMap(({ rivals }) => rivals)])].filter(name => wanted?.includes(name) ?? true)
  const known = [...contestants, { name: 'mktorrent', version: mktorrentVersion }]
  const { versions, missing } = await findContestants(known.filter(({ name }) => named.includes(name)))
  for (const line of missing) console.log(`skipped ${line}`)
  const base = flags.dir ?? (await mkdtemp(join(tmpdir(), 'swarm-bench-')))
  const machine = await describeMachine(base)
  console.log(describe(machine))
  console.log(`swarm: ${cli.join(' ')}`)
  const rows: Row[] = []
  const failures: string[] = []
  try {
    for (const workload of chosen) {
      const fault = await roomFault(base, workload)
      if (fault !== undefined) {
        missing.push(`${workload.name}: ${fault}`)
        continue
      }
      const who = ['swarm', ...workload.rivals].filter(name => versions[name] !== undefined)
      const runs = flags.runs === undefined ? workload.runs : Number(flags.runs)
      rows.push(
        ...(await measureWorkload(workload, who, runs, base, failures, {
          cli,
          contestant: (name: ContestantName) => contestants.find(one => one.name === name) as Contestant
        }))
      )
      fillRatios(rows, chosen)
      console.log(`\n${workload.title}\n${table(rows.filter(row => row.workload === workload.name)).join('\n')}`)
    }
  } finally {
    if (flags.dir === undefined) await rm(base, { recursive: true, force: true })
  }
  return {
    results: {
      date: new Date().toISOString(),
      machine,
      versions: { node: process.versions.node, ...versions },
      skipped: missing,
      rows
    },
    failures
  }
}

async function measureWorkload(
  workload: Workload,
  who: readonly string[],
  runs: number,
  base: string,
  failures: string[],
  context: { cli: readonly string[]; contestant: (name: ContestantName) => Contestant }
): Promise<Row[]> {
  const folder = await mkdtemp(join(base, `${workload.name}-`))
  const samples = new Map<string, Sample[]>(who.map(name => [name, []]))
  try {
    const payload = await makePayload(join(folder, 'content'), workload)
    for (let run = 0; run < runs; run++) {
      for (const name of who) {
        const scope = await Scope.begin(join(folder, `${name}-${run}`))
        try {
          const sample = await workload.sample({ ...context, scope, payload, who: name })
          samples.get(name)?.push(sample)
          console.log(
            `${workload.name} ${name} ${run + 1}/${runs}: ${sample.seconds.toFixed(2)} s, load ${loadavg()[0]?.toFixed(1)}`
          )
        } catch (err) {
          failures.push(`${workload.name} ${name}: ${(err as Error).message}`)
          console.log(`${workload.name} ${name} ${run + 1}/${runs}: failed`)
        } finally {
          await scope.end()
        }
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return [...samples]
    .filter(([, taken]) => taken.length > 0)
    .map(([contestant, taken]) => ({ workload: workload.name, contestant, samples: taken, date: new Date().toISOString() }))
}

async function makePayload(path: string, { payload }: Workload): Promise<Payload> {
  const { bytes, count, pieceBytes } = payload
  return count === undefined ? makeFile(path, bytes, pieceBytes) : makeFolder(path, count, bytes, pieceBytes)
}

/** The payload and what eight or one receivers make of it must fit, with room to spare. */
async function roomFault(base: string, { payload, name }: Workload): Promise<string | undefined> {
  const { bavail, bsize } = await statfs(base)
  const needed = payload.bytes * (payload.count ?? 1) * (name.startsWith('1to8') ? 9 : 2) + 2 ** 30
  return bavail * bsize > needed ? undefined : `needs ${Math.ceil(needed / 2 ** 30)} GiB of disk`
}

/** Whether a ratio to the yardstick fell by more than a third against the one kept. */
async function checkRatios(results: Results, save: boolean): Promise<boolean> {
  const ratios = Object.fromEntries(
    results.rows.flatMap(({ workload, ratio }) => (ratio === undefined ? [] : [[workload, ratio]]))
  )
  if (save) {
    await writeFile(QUICK, `${JSON.stringify(ratios, undefined, 2)}\n`)
    return false
  }
  const kept = JSON.parse(await readFile(QUICK, 'utf8')) as Record<string, number>
  let isWorse = false
  for (const [workload, before] of Object.entries(kept)) {
    const now = ratios[workload]
    const fell = now === undefined || now < before * WORST_FALL
    isWorse ||= fell
    console.log(`${fell ? 'FELL' : 'ok  '} ${workload}: ratio ${now?.toFixed(2) ?? 'none'}, kept ${before.toFixed(2)}`)
  }
  return isWorse
}

process.exitCode = await main()
