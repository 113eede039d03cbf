/**
 * The workloads: what is measured, and how one sample of it is taken.
 */

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Contestant, ContestantName } from './contestants.ts'
import { gateway, throughDaemon } from './daemon-workloads.ts'
import type { Finished, Scope } from './measure.ts'
import { type Payload, verify } from './payload.ts'
import type { Sample } from './results.ts'
import { SlowLink, type SlowLinkOptions } from './slow-link.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const exec = promisify(execFile)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

export interface Workload {
  readonly name: string
  readonly title: string
  readonly payload: { bytes: number; count?: number; pieceBytes: number }
  /** Who may take part beside ours. The first that did is who ours is compared with. */
  readonly rivals: readonly string[]
  readonly runs: number
  /** Part of a run of the whole suite; others only by name. */
  readonly isDefault: boolean
  sample(context: SampleContext): Promise<Sample>
}

export interface SampleContext {
  readonly scope: Scope
  readonly payload: Payload
  /** The contestant, or for workloads that are not about transfer the name of a command. */
  readonly who: string
  readonly contestant: (name: ContestantName) => Contestant
  readonly cli: readonly string[]
}

/** One seeder, `leechers` receivers that start at the same moment. */
function transfer(leechers: number, until: 'complete' | 'first' = 'complete') {
  return async ({ scope, payload, who, contestant }: SampleContext): Promise<Sample> => {
    const client = contestant(who as ContestantName)
    const seeder = await client.seed(scope, payload)
    const getters = await Promise.all(
      Array.from({ length: leechers }, (_, index) => seeder.getter(index, { watchPieces: until === 'first' }))
    )
    const before = await seeder.process.usage()
    const timeoutSeconds = 120 + (payload.bytes * leechers) / (5 * MIB)
    const told = client.readLine('complete') !== undefined || who === 'swarm'
    const finished = await Promise.all(
      getters.map(getter =>
        scope.run(getter, {
          readLine: line => client.readLine(line),
          timeoutSeconds,
          ...(told ? { until } : {})
        })
      )
    )
    const after = await seeder.process.usage()
    for (const { output } of getters) await verify(payload, output)
    const seconds = Math.max(...finished.map(({ marks, wallSeconds }) => marks[until] ?? wallSeconds))
    if (until === 'first') return { seconds }
    const bytes = payload.bytes * leechers
    const cpuSeconds = after.cpuSeconds - before.cpuSeconds + finished.reduce((sum, one) => sum + one.cpuSeconds, 0)
    return {
      seconds,
      bytesPerSecond: bytes / seconds,
      cpuSecondsPerGib: cpuSeconds / (bytes / GIB),
      seederPeakBytes: after.peakRssBytes,
      getterPeakBytes: Math.max(...finished.map(({ peakRssBytes }) => peakRssBytes))
    }
  }
}

/** Over a link with a rate and a round trip: what share of the rate is used, start and all. */
function overSlowLink(link: SlowLinkOptions) {
  return async ({ scope, payload, contestant }: SampleContext): Promise<Sample> => {
    const client = contestant('swarm')
    const seeder = await client.seed(scope, payload)
    const getter = await seeder.getter(0, { watchPieces: false })
    const port = Number(getter.argv.map(arg => /\/tcp\/(\d+)\/p2p/.exec(arg)?.[1]).find(found => found !== undefined))
    using slow = await SlowLink.open(port, link)
    const detour = (text: string): string => text.replaceAll(`/tcp/${port}/`, `/tcp/${slow.port}/`)
    // The manifest names the seeder too.
    const manifest = join(scope.folder, 'payload.swarm')
    await writeFile(manifest, detour(await readFile(manifest, 'utf8')))
    const { marks, wallSeconds } = await scope.run(
      { ...getter, argv: getter.argv.map(detour) },
      { readLine: line => client.readLine(line), timeoutSeconds: 120, until: 'complete' }
    )
    await verify(payload, getter.output)
    const seconds = marks.complete ?? wallSeconds
    return { seconds, bytesPerSecond: payload.bytes / seconds }
  }
}

/** Hashing a file that is in the page cache, by the command that a user would run. */
async function hashing({ scope, payload, who, cli }: SampleContext): Promise<Sample> {
  const argv =
    who === 'swarm'
      ? [
          ...cli,
          'create',
          payload.path,
          '--json',
          '--output',
          join(scope.folder, 'x.swarm'),
          '--state-dir',
          join(scope.folder, 'state')
        ]
      : ['mktorrent', '-t', '2', '-l', '18', '-o', join(scope.folder, 'x.torrent'), payload.path]
  const done = await scope.run({ argv }, { timeoutSeconds: 300 })
  return { ...rateOf(payload, done), getterPeakBytes: done.peakRssBytes }
}

function rateOf(payload: Payload, { wallSeconds, cpuSeconds }: Finished): Sample {
  return {
    seconds: wallSeconds,
    bytesPerSecond: payload.bytes / wallSeconds,
    cpuSecondsPerGib: cpuSeconds / (payload.bytes / GIB)
  }
}

/** A command that does nearly nothing: what it costs to start. */
function start(args: readonly string[]) {
  return async ({ scope, payload, cli }: SampleContext): Promise<Sample> => {
    const manifest = join(scope.folder, 'x.swarm')
    const argv = args.map(arg => (arg === 'MANIFEST' ? manifest : arg))
    if (args.includes('MANIFEST')) {
      const create = [...cli, 'create', payload.path, '--output', manifest, '--state-dir', join(scope.folder, 'state')]
      await scope.run({ argv: create }, { timeoutSeconds: 60 })
    }
    const { wallSeconds, peakRssBytes } = await scope.run({ argv: [...cli, ...argv] }, { timeoutSeconds: 60 })
    return { seconds: wallSeconds, getterPeakBytes: peakRssBytes }
  }
}

/** Neighbours that hold everything, all in one other process; the seeder under test has nothing to do. */
function idle(options: { settleSeconds: number; watchSeconds: number; speed: number }) {
  return async ({ scope, payload, contestant, cli }: SampleContext): Promise<Sample> => {
    const ours = contestant('swarm')
    const fast = { NODE_OPTIONS: `--import ${here('accelerate.mjs')}`, BENCH_SPEED: String(options.speed) }
    const env = options.speed === 1 ? {} : fast
    const manifest = join(scope.folder, 'payload.swarm')
    let address = ''
    const own = [
      '--json',
      '--no-mdns',
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '--max-neighbours',
      '60',
      '--state-dir',
      join(scope.folder, 'state')
    ]
    const node = await scope.start({ argv: [...cli, 'seed', payload.path, '--output', manifest, ...own], env }, line => {
      const said = line.startsWith('{') ? (JSON.parse(line) as { event: string; addresses?: string[] }) : undefined
      if (said?.event !== 'seeding') return undefined
      address = said.addresses?.[0] ?? ''
      return 'serving'
    })
    const crowd = [process.execPath, here('crowd.ts'), manifest, payload.path, address, '50', scope.folder]
    const neighbours = await scope.start(
      { argv: crowd, env },
      line => ours.readLine(line) ?? (line === 'joined' ? line : undefined)
    )
    if (options.speed !== 1) for (const { pid } of [node, neighbours]) process.kill(pid, 'SIGUSR2')
    await sleep(options.settleSeconds)
    const before = await node.usage()
    const rssBefore = await node.rssBytes()
    await sleep(options.watchSeconds)
    const after = await node.usage()
    const share = (after.cpuSeconds - before.cpuSeconds) / options.watchSeconds
    return {
      seconds: options.watchSeconds * options.speed,
      coreShare: share / options.speed,
      growthBytes: (await node.rssBytes()) - rssBefore,
      seederPeakBytes: after.peakRssBytes
    }
  }
}

const sleep = (seconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, seconds * 1000))

const PIECE = 256 * 1024
const PEERS = ['libtorrent', 'aria2', 'webtorrent']
/** 400 Mbit/s. */
const LINK_BYTES_PER_SECOND = 50_000_000

export const WORKLOADS: readonly Workload[] = [
  {
    name: '1to1-1GiB',
    title: 'one seeder, one receiver, 1 GiB',
    payload: { bytes: 1024 * MIB, pieceBytes: PIECE },
    rivals: ['libtorrent'],
    runs: 3,
    isDefault: true,
    sample: transfer(1)
  },
  {
    name: '1to1-512MiB',
    title: 'one seeder, one receiver, 512 MiB',
    payload: { bytes: 512 * MIB, pieceBytes: PIECE },
    rivals: [...PEERS, 'curl', 'tls-copy'],
    runs: 3,
    isDefault: true,
    sample: transfer(1)
  },
  {
    name: '1to1-2GiB',
    title: 'one seeder, one receiver, 2 GiB',
    payload: { bytes: 2 * GIB, pieceBytes: PIECE },
    rivals: ['libtorrent'],
    runs: 3,
    isDefault: true,
    sample: transfer(1)
  },
  {
    name: '1to1-8GiB',
    title: 'one seeder, one receiver, 8 GiB',
    payload: { bytes: 8 * GIB, pieceBytes: 1 * MIB },
    rivals: ['libtorrent'],
    runs: 1,
    isDefault: true,
    sample: transfer(1)
  },
  {
    name: '1to8-256MiB',
    title: 'one seeder, eight receivers on this machine, 256 MiB each',
    payload: { bytes: 256 * MIB, pieceBytes: PIECE },
    rivals: ['libtorrent', 'aria2'],
    runs: 3,
    isDefault: true,
    sample: transfer(8)
  },
  {
    name: 'files-10000x4KiB',
    title: '10,000 files of 4 KiB',
    payload: { bytes: 4096, count: 10_000, pieceBytes: PIECE },
    rivals: PEERS,
    runs: 3,
    isDefault: true,
    sample: transfer(1)
  },
  {
    name: 'cold-1MiB',
    title: '1 MiB, from the start of the process to verified and in place',
    payload: { bytes: 1 * MIB, pieceBytes: PIECE },
    rivals: [...PEERS, 'curl', 'tls-copy'],
    runs: 5,
    isDefault: true,
    sample: transfer(1)
  },
  ...(['api', 'command'] as const).map(
    (way): Workload => ({
      name: `daemon-1MiB-${way}`,
      title: `1 MiB through a daemon that has downloaded before, from the ${way === 'api' ? 'request to its API' : 'start of `swarm get`'} to verified and in place`,
      payload: { bytes: 1 * MIB, pieceBytes: PIECE },
      rivals: [],
      runs: 5,
      isDefault: true,
      sample: throughDaemon(way)
    })
  ),
  {
    name: 'gateway-512MiB',
    title: 'curl reads a complete file of 512 MiB from the gateway (rival: nginx)',
    payload: { bytes: 512 * MIB, pieceBytes: PIECE },
    rivals: ['curl'],
    runs: 5,
    isDefault: true,
    sample: gateway
  },
  {
    name: 'join',
    title: 'joining: from the start of the process to the first verified piece (of 512 MiB)',
    payload: { bytes: 512 * MIB, pieceBytes: PIECE },
    rivals: ['libtorrent', 'webtorrent'],
    runs: 3,
    isDefault: true,
    sample: transfer(1, 'first')
  },
  ...[1, 200].map(
    (roundTripMs): Workload => ({
      name: `link-${roundTripMs}ms`,
      title: `256 MiB over a link of 50 MB/s with a round trip of ${roundTripMs} ms, from the start of the process`,
      payload: { bytes: 256 * MIB, pieceBytes: PIECE },
      rivals: [],
      runs: 3,
      isDefault: true,
      sample: overSlowLink({ roundTripMs, bytesPerSecond: LINK_BYTES_PER_SECOND })
    })
  ),
  {
    name: 'hash-2GiB',
    title: 'hashing 2 GiB in the page cache (rival: mktorrent, SHA-1, two threads)',
    payload: { bytes: 2 * GIB, pieceBytes: PIECE },
    rivals: ['mktorrent'],
    runs: 3,
    isDefault: true,
    sample: hashing
  },
  {
    name: 'start-help',
    title: '`swarm --help`',
    payload: { bytes: 1 * MIB, pieceBytes: PIECE },
    rivals: [],
    runs: 5,
    isDefault: true,
    sample: start(['--help'])
  },
  {
    name: 'start-info',
    title: '`swarm info <manifest>`',
    payload: { bytes: 1 * MIB, pieceBytes: PIECE },
    rivals: [],
    runs: 5,
    isDefault: true,
    sample: start(['info', 'MANIFEST'])
  },
  {
    name: 'idle-50',
    title: 'idle with 50 neighbours',
    payload: { bytes: 1 * MIB, pieceBytes: PIECE },
    rivals: [],
    runs: 1,
    isDefault: true,
    sample: idle({ settleSeconds: 20, watchSeconds: 30, speed: 1 })
  },
  {
    name: 'idle-50-hour',
    title: 'idle with 50 neighbours for an hour, timers twelve times as fast',
    payload: { bytes: 1 * MIB, pieceBytes: PIECE },
    rivals: [],
    runs: 1,
    // Takes six minutes.
    isDefault: false,
    sample: idle({ settleSeconds: 20, watchSeconds: 300, speed: 12 })
  },
  // The short version: a rival that is there on every machine, small sizes, ratios only.
  {
    name: 'quick-1to1',
    title: 'one seeder, one receiver, 128 MiB',
    payload: { bytes: 128 * MIB, pieceBytes: PIECE },
    rivals: ['tls-copy'],
    runs: 3,
    isDefault: false,
    sample: transfer(1)
  },
  {
    name: 'quick-cold',
    title: '1 MiB from a cold start',
    payload: { bytes: 1 * MIB, pieceBytes: PIECE },
    rivals: ['tls-copy'],
    runs: 3,
    isDefault: false,
    sample: transfer(1)
  }
]

export async function mktorrentVersion(): Promise<string> {
  // It has no option that ends well: its usage names the version.
  const said = await exec('mktorrent', ['-h']).then(
    ({ stdout, stderr }) => stdout + stderr,
    err => {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') throw new Error('apt-get install mktorrent')
      return `${err.stdout}${err.stderr}`
    }
  )
  return /mktorrent ([\d.]+)/i.exec(said)?.[1] ?? 'unknown version'
}

/** Fails with what to install when the suite cannot measure here. */
export async function checkTools(): Promise<void> {
  await readFile('/proc/self/stat').catch(() => {
    throw new Error('the suite reads /proc and so runs on Linux alone')
  })
  await exec('/usr/bin/time', ['--version']).catch(() => {
    throw new Error('apt-get install time: GNU time measures what a process cost')
  })
}
