/**
 * `npm run demo [file]`: one seeder and five leechers, each a `swarm` process of its own on this machine,
 * share a file of at least 200 MB. Shows progress, checks every copy with SHA-256 (which swarm itself does
 * not use), tells who gave how much to whom, and leaves nothing behind.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { glob, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { bar, Ui } from '../src/cli/ui.ts'
import { formatBytes, formatDuration, formatRate } from '../src/util/sizes.ts'

const LEECHERS = 5
const CONTENT_BYTES = 200e6
const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const NODE_MODULES = fileURLToPath(new URL('../node_modules', import.meta.url))
/** Nobody waits for a demo that hangs. */
const STALL_MS = 60_000

interface Row {
  peer: string
  bytesUploaded: number
}

/** What one process said last, taken from its `--json` lines. */
interface Member {
  name: string
  child: ChildProcess
  peer: string
  bytesDone: number
  rate: number
  upRate: number
  neighbours: number
  doneMs: number | undefined
  served: Row[]
  events: Promise<void>
  error: string | undefined
}

const ui = new Ui({
  json: false,
  quiet: false,
  verbose: false,
  stdout: process.stdout,
  stderr: process.stdout,
  nowMs: () => performance.now()
})
const folder = await mkdtemp(join(tmpdir(), 'swarm-demo-'))
const members: Member[] = []
let failure: unknown
const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))
process.once('SIGTERM', () => interrupted.abort(new Error('terminated')))
try {
  await demo()
} catch (err) {
  failure = err
} finally {
  ui.clear()
  for (const { child } of members) child.kill('SIGKILL')
  await Promise.all(members.map(({ events }) => events))
  await rm(folder, { recursive: true, force: true })
}
if (failure !== undefined) {
  ui.warning(`the demo failed: ${failure instanceof Error ? failure.message : String(failure)}`)
  for (const { name, error } of members) if (error !== undefined) ui.warning(`${name}: ${error}`)
  process.exitCode = 1
}

async function demo(): Promise<void> {
  const { path, says } = await content(process.argv[2])
  const { size } = await stat(path)
  ui.result(`content    ${basename(path)}, ${formatBytes(size)}: ${says}`)
  const wanted = sha256(path)

  const seeder = start('seeder', ['seed', path, '--output', join(folder, 'content.swarm')])
  const { link } = await seeder.event('seeding')
  ui.result(`seeder     ${seeder.member.peer}`)
  ui.result(`leechers   ${LEECHERS} processes, each started with nothing but the link`)
  const expected = await wanted

  const startedMs = performance.now()
  const leechers = Array.from({ length: LEECHERS }, (_, i) =>
    start(`leecher ${i + 1}`, ['get', link as string, '--output', join(folder, `copy-${i + 1}`)])
  )
  const ticker = setInterval(() => showProgress(size), 200)
  try {
    await untilDone(
      leechers.map(({ member, event }) => event('complete').then(() => (member.doneMs = performance.now() - startedMs)))
    )
  } finally {
    clearInterval(ticker)
    ui.clear()
  }
  const elapsedMs = Math.max(...leechers.map(({ member }) => member.doneMs ?? 0))
  // Each leecher stays while others still need it, then leaves by itself; the seeder is told to stop.
  await untilDone(leechers.map(({ member }) => member.events))
  seeder.member.child.kill('SIGINT')
  await untilDone([seeder.member.events])

  for (const [i, { member }] of leechers.entries()) {
    const digest = await sha256(join(folder, `copy-${i + 1}`))
    if (digest !== expected) throw new Error(`the copy of ${member.name} differs: SHA-256 ${digest}, expected ${expected}`)
    ui.result(`${member.name}  complete after ${formatDuration(member.doneMs ?? 0)}, SHA-256 of its copy is right`)
  }
  report(size, elapsedMs)
}

/** Waits for all, unless the demo is interrupted or nothing moves for a minute. */
async function untilDone(waits: Promise<unknown>[]): Promise<void> {
  const failed = Promise.withResolvers<never>()
  const onAbort = (): void => failed.reject(interrupted.signal.reason)
  interrupted.signal.addEventListener('abort', onAbort)
  let last = ''
  let lastMs = performance.now()
  const watch = setInterval(() => {
    const now = members.map(({ bytesDone, served }) => `${bytesDone} ${served.length}`).join()
    if (now !== last) [last, lastMs] = [now, performance.now()]
    else if (performance.now() - lastMs > STALL_MS) failed.reject(new Error(`nothing moved for ${formatDuration(STALL_MS)}`))
  }, 500)
  try {
    interrupted.signal.throwIfAborted()
    await Promise.race([Promise.all(waits), failed.promise])
  } finally {
    clearInterval(watch)
    interrupted.signal.removeEventListener('abort', onAbort)
  }
}

function showProgress(size: number): void {
  const leechers = members.slice(1)
  const seeder = members[0] as Member
  const percent = (done: number): string => `${Math.floor((done / size) * 100)} %`
  const seederSays = `seeder     up ${formatRate(seeder.upRate)} to ${seeder.neighbours} peers`
  const perLeecher = (): string[] =>
    leechers.map(({ name, bytesDone, rate, upRate, doneMs }) => {
      const down = doneMs === undefined ? `down ${formatRate(rate)}` : `done in ${formatDuration(doneMs)}`
      return `${name}  ${bar(bytesDone / size)} ${percent(bytesDone).padStart(5)}  ${down}  up ${formatRate(upRate)}`
    })
  const inOneLine = (): string => `leechers   ${leechers.map(({ bytesDone }) => percent(bytesDone)).join('  ')}`
  ui.progress(
    () => (process.stdout.isTTY ? [...perLeecher(), seederSays] : [inOneLine(), seederSays]),
    () => ({})
  )
}

/** Starts one `swarm` process with a state folder of its own. */
function start(name: string, args: string[]): { member: Member; event(name: string): Promise<Record<string, unknown>> } {
  const common = ['--json', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--state-dir', join(folder, `state of ${name}`)]
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('SWARM_')))
  const child = spawn(process.execPath, [MAIN, ...args, ...common], { stdio: ['ignore', 'pipe', 'inherit'], env })
  const seen = new Map<string, PromiseWithResolvers<Record<string, unknown>>>()
  const slot = (event: string): PromiseWithResolvers<Record<string, unknown>> => {
    const made = seen.get(event) ?? Promise.withResolvers<Record<string, unknown>>()
    made.promise.catch(() => {})
    seen.set(event, made)
    return made
  }
  const lines = createInterface({ input: child.stdout })
  const ended = Promise.all([once(child, 'close'), once(lines, 'close')]).then(([[code]]) => {
    for (const { reject } of seen.values()) reject(new Error(`${name} ended with ${code}`))
  })
  const member: Member = {
    name,
    child,
    peer: '',
    bytesDone: 0,
    rate: 0,
    upRate: 0,
    neighbours: 0,
    doneMs: undefined,
    served: [],
    events: ended,
    error: undefined
  }
  lines.on('line', line => {
    // biome-ignore lint/suspicious/noExplicitAny: events of several shapes, documented in docs/CLI.md
    const said: any = JSON.parse(line)
    if (typeof said.peer === 'string' && (said.event === 'seeding' || said.event === 'joined')) member.peer = said.peer
    if (said.event === 'progress' && said.phase !== 'hashing') {
      member.bytesDone = said.bytesDone ?? 0
      member.rate = said.downloadBytesPerSecond ?? 0
      member.upRate = said.uploadBytesPerSecond ?? 0
      member.neighbours = said.neighbours ?? 0
    }
    if (said.event === 'complete') member.bytesDone = said.bytesWanted
    if (said.event === 'served') member.served = said.peers
    if (said.event === 'error') member.error = said.message
    slot(said.event).resolve(said)
  })
  members.push(member)
  return { member, event: event => slot(event).promise }
}

/** Who gave how much to whom, as each giver counted it. */
function report(size: number, elapsedMs: number): void {
  const width = 11
  const cell = (text: string): string => text.padStart(width)
  ui.result('')
  ui.result(
    `${'gave, to:'.padEnd(width)}${members
      .slice(1)
      .map(({ name }) => cell(name))
      .join('')}${cell('in all')}`
  )
  for (const giver of members) {
    const given = members.slice(1).map(taker => giver.served.find(({ peer }) => peer === taker.peer)?.bytesUploaded ?? 0)
    const total = given.reduce((sum, bytes) => sum + bytes, 0)
    ui.result(
      `${giver.name.padEnd(width)}${given.map(bytes => cell(bytes === 0 ? '-' : formatBytes(bytes))).join('')}${cell(formatBytes(total))}`
    )
  }
  const bySeeder = (members[0] as Member).served.reduce((sum, { bytesUploaded }) => sum + bytesUploaded, 0)
  ui.result('')
  ui.result(
    `${LEECHERS} verified copies in ${formatDuration(elapsedMs)}, ${formatRate((LEECHERS * size * 1000) / elapsedMs)} in all; the seeder sent ${(bySeeder / size).toFixed(2)} copies, the leechers gave each other the rest`
  )
}

/**
 * The file named on the command line, or the largest files of this checkout's tools, one behind the other.
 */
async function content(given: string | undefined): Promise<{ path: string; says: string }> {
  if (given !== undefined) return { path: given, says: 'the file that you named' }
  const found: { path: string; size: number }[] = []
  for await (const path of glob(
    '{node/node_modules/*/bin/node,node/bin/node,@biomejs/*/biome,@typescript/*/lib/tsc,@esbuild/*/bin/esbuild}',
    { cwd: NODE_MODULES }
  )) {
    found.push({ path: join(NODE_MODULES, path), size: (await stat(join(NODE_MODULES, path))).size })
  }
  found.push({ path: process.execPath, size: (await stat(process.execPath)).size })
  found.sort((a, b) => b.size - a.size)
  const distinct = found.filter(({ path }, i) => found.findIndex(other => basename(other.path) === basename(path)) === i)
  const path = join(folder, 'tools.bin')
  const parts: string[] = []
  for (let size = 0, i = 0; size < CONTENT_BYTES; i++) {
    const part = distinct[i % distinct.length] as { path: string; size: number }
    await pipeline(createReadStream(part.path), createWriteStream(path, { flags: 'a' }))
    parts.push(basename(part.path))
    size += part.size
  }
  return { path, says: `the binaries ${parts.join(', ')} of this checkout, one behind the other` }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
