/**
 * `node bench/origin.ts`: what an origin pays, and how long it takes, when nodes start cold at once on it,
 * beside as many curls.
 *
 *   node bench/origin.ts                      20 daemons that get the task at once, then 20 curls, one origin
 *   of 32 Mbit/s
 *   node bench/origin.ts --only get,curl      20 `swarm get` that start at once (on few cores their start
 *   takes the time)
 *   node bench/origin.ts --nodes 1 --rate 0   one node beside one curl, as fast as the origin can
 *
 * All on loopback; the origin is a process of its own that paces what it sends in all and counts it. One node
 * knows nobody, the others know its address, which may not be listened at yet. Contents are compared with the
 * original at the end. Exit code 1 when a figure breaks its bound (1.1 copies).
 */

import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { loadIdentity } from '../src/network/identity.ts'

const MIB = 1024 * 1024
const MAX_COPIES = 1.1
const PATIENCE_MS = 10 * 60_000
const SELF = fileURLToPath(import.meta.url)

if (process.send !== undefined) await serve(process.argv[2] as string, Number(process.argv[3]))
else await main()

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '20' },
      mib: { type: 'string', default: '64' },
      rate: { type: 'string', default: '4000000' },
      only: { type: 'string', default: 'daemon,curl' },
      cli: { type: 'string', default: fileURLToPath(new URL('../src/cli/main.ts', import.meta.url)) },
      dir: { type: 'string', default: tmpdir() }
    }
  })
  const [nodes, bytes, rate] = [Number(values.nodes), Number(values.mib) * MIB, Number(values.rate)]
  const dir = await mkdtemp(join(values.dir, 'swarm-bench-origin-'))
  const children = new Set<ChildProcess>()
  try {
    const file = join(dir, 'file.bin')
    await writeRandom(file, bytes)
    const origin = fork(SELF, [file, String(rate)])
    children.add(origin)
    const [{ url }] = (await once(origin, 'message')) as [{ url: string }]
    const manifest = join(dir, 'file.swarm')
    execFileSync(process.execPath, [values.cli, 'create', file, '-o', manifest, '--state-dir', join(dir, 'create')], {
      stdio: 'ignore'
    })
    console.log(
      `${nodes} × ${bytes / MIB} MiB, origin of ${rate === 0 ? 'any rate' : `${rate / 1e6} MB/s`}: one copy takes ${rate === 0 ? 'no time' : `${(bytes / rate).toFixed(1)} s`}`
    )
    for (const way of values.only.split(',')) {
      const outputs = Array.from({ length: nodes }, (_, index) => join(dir, `${way}-${index}`, 'file.bin'))
      for (const output of outputs) await mkdir(dirname(output))
      const nodeArgs = await nodeArgsOf(index => join(dir, `${way}-state-${index}`))
      const run: Run = { outputs, url, manifest, cli: values.cli, children, nodeArgs }
      const apis = way === 'daemon' ? await startDaemons(run) : []
      const loadSeconds = await cpuSecondsOf(children)
      const before = await servedBy(origin)
      const startedMs = performance.now()
      if (way === 'curl') await Promise.all(outputs.map(output => ended(spawn('curl', ['-s', '-o', output, url]), children)))
      else if (way === 'daemon') await addEverywhere(apis, run)
      else await getEverywhere(run)
      const seconds = (performance.now() - startedMs) / 1000
      const copies = ((await servedBy(origin)) - before) / bytes
      const cpuSeconds = (await cpuSecondsOf(children)) - loadSeconds
      console.log(
        `${way.padEnd(6)} ${seconds.toFixed(1).padStart(6)} s, the origin sent ${copies.toFixed(3)} copies; processes took ${cpuSeconds.toFixed(1)} s of CPU${loadSeconds > 0.5 ? `, before that ${loadSeconds.toFixed(1)} s to load` : ''}`
      )
      if (way !== 'curl' && copies > MAX_COPIES) process.exitCode = 1
      for (const child of children) if (child !== origin) await killed(child)
      for (const output of outputs) {
        execFileSync('cmp', [file, output])
        await rm(output)
      }
    }
  } finally {
    for (const child of children) await killed(child)
    await rm(dir, { recursive: true, force: true })
  }
}

interface Run {
  outputs: string[]
  url: string
  manifest: string
  cli: string
  children: Set<ChildProcess>
  nodeArgs: (index: number) => string[]
}

/**
 * Starts `swarm get` everywhere at once; resolves when every node has everything. They are left running, as
 * nodes are.
 */
async function getEverywhere({ outputs, url, manifest, cli, children, nodeArgs }: Run): Promise<void> {
  await Promise.all(
    outputs.map(async (output, index) => {
      const args = ['get', manifest, '--origin', url, '-o', output, '--no-daemon', '--json', '--seed', ...nodeArgs(index)]
      const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      children.add(child)
      await said(child, /"event":"complete"/)
    })
  )
}

/** Daemons that know of nothing yet; resolves with their addresses. */
async function startDaemons({ outputs, cli, children, nodeArgs }: Run): Promise<string[]> {
  return Promise.all(
    outputs.map(async (output, index) => {
      const folders = ['--complete-dir', dirname(output), '--incomplete-dir', `${dirname(output)}-incomplete`]
      const args = ['daemon', '--http', '127.0.0.1:0', '--open', '--allow-private-urls', ...folders, ...nodeArgs(index)]
      const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      children.add(child)
      child.stderr?.resume()
      return (await said(child, /http:\/\/127\.0\.0\.1:\d+/))[0]
    })
  )
}

/** Gives all daemons the same task; resolves when every one has everything. */
async function addEverywhere(apis: readonly string[], { url, manifest }: Run): Promise<void> {
  const parsed = JSON.parse(await readFile(manifest, 'utf8')) as object
  await Promise.all(
    apis.map(async api => {
      await call(`${api}/v1/tasks`, { manifest: parsed, origins: [url] })
      for (;;) {
        const { tasks } = (await (await fetch(`${api}/v1/tasks`)).json()) as { tasks: { state: string; error?: unknown }[] }
        if (tasks[0]?.state === 'seeding' || tasks[0]?.state === 'complete') return
        if (tasks[0]?.state === 'failed') throw new Error(JSON.stringify(tasks[0].error))
        await new Promise(resolve => setTimeout(resolve, 500))
      }
    })
  )
}

/** The first node listens where all others look for it. */
async function nodeArgsOf(stateOf: (index: number) => string): Promise<Run['nodeArgs']> {
  const port = await freePort()
  const known = `/ip4/127.0.0.1/tcp/${port}/p2p/${peerIdFromPrivateKey(await loadIdentity(stateOf(0)))}`
  return index => [
    ...['--state-dir', stateOf(index), '--no-mdns'],
    ...['--listen', `/ip4/127.0.0.1/tcp/${index === 0 ? port : 0}`],
    ...(index === 0 ? [] : ['--bootstrap', known])
  ]
}

async function call(url: string, body: unknown): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
}

/** The first match in what the child prints; what follows is thrown away. */
function said(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
  const timer = setTimeout(() => reject(new Error(`took too long to say ${pattern}`)), PATIENCE_MS)
  let text = ''
  child.stdout?.on('data', chunk => {
    text = (text + chunk).slice(-100_000)
    const match = pattern.exec(text)
    if (match !== null) resolve(match)
  })
  child.once('exit', code => reject(new Error(`ended with ${code} before it said ${pattern}: ${text.slice(-500)}`)))
  return promise.finally(() => clearTimeout(timer))
}

async function ended(child: ChildProcess, children: Set<ChildProcess>): Promise<void> {
  children.add(child)
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`curl ended with ${code}`)
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function servedBy(origin: ChildProcess): Promise<number> {
  origin.send('served?')
  const [{ served }] = (await once(origin, 'message')) as [{ served: number }]
  return served
}

/** CPU time of the processes that still run, from start to now (Linux: hundredths of a second). */
async function cpuSecondsOf(children: ReadonlySet<ChildProcess>): Promise<number> {
  let ticks = 0
  for (const { pid, exitCode } of children) {
    if (exitCode !== null) continue
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  }
  return ticks / 100
}

async function writeRandom(path: string, bytes: number): Promise<void> {
  await using file = await open(path, 'w')
  for (let left = bytes; left > 0; left -= MIB) await file.write(randomBytes(Math.min(left, MIB)))
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/**
 * The origin: a file over HTTP with ranges, paced over all connections. Counts what it gave to sockets that
 * were still open.
 */
async function serve(path: string, bytesPerSecond: number): Promise<void> {
  const SLICE = 64 * 1024
  await using file = await open(path)
  const { size } = await file.stat()
  let served = 0
  let freeMs = performance.now()
  const server = createServer(async (request, response) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const start = range === null ? 0 : Number(range[1])
    const end = range === null || range[2] === '' ? size : Math.min(size, Number(range[2]) + 1)
    const partial = range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }
    response.setMaxListeners(0)
    response.writeHead(range === null ? 200 : 206, { 'content-length': end - start, etag: '"bench"', ...partial })
    for (let at = start; at < end && !response.destroyed; at += SLICE) {
      const bytes = Math.min(SLICE, end - at)
      if (bytesPerSecond > 0) {
        const nowMs = performance.now()
        freeMs = Math.max(freeMs, nowMs - 50) + (bytes / bytesPerSecond) * 1000
        if (freeMs > nowMs) await new Promise(resolve => setTimeout(resolve, freeMs - nowMs))
      }
      if (response.destroyed) break
      const { buffer } = await file.read(Buffer.allocUnsafe(bytes), 0, bytes, at)
      served += bytes
      if (!response.write(buffer)) await Promise.race([once(response, 'drain'), once(response, 'close')]).catch(() => {})
    }
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.on('message', () => process.send?.({ served }))
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.bin` })
  await once(process, 'disconnect')
  process.exit()
}
