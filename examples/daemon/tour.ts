/**
 * A tour of the daemon on this machine: `node examples/daemon/tour.ts`. It starts one daemon that shares a
 * file and one that gets it, streams a range of it while it is half there, looks at pieces and peers, changes
 * a limit, restarts a daemon after a kill -9, and prints what it saw. Everything is in a temporary folder and
 * gone afterwards.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SWARM = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const LENGTH = 20_000_000
const folder = await mkdtemp(join(tmpdir(), 'swarm-tour-'))
const running = new Set<ChildProcess>()

const say = (text: string): void => console.log(text)
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16)

interface Task {
  id: string
  root: string
  state: string
  link: string
  url: string
  bytesDone: number
  bytesTotal: number
}

/** What a request shows, by the daemon's address: the token that each made for itself. */
const tokens = new Map<string, string>()
const headersFor = (url: string) => ({ authorization: `Bearer ${tokens.get(new URL(url).origin)}` })

/** `swarm daemon` on a free port; its address. */
async function daemon(name: string): Promise<{ url: string; child: ChildProcess }> {
  const dir = join(folder, name)
  const flags = {
    http: '127.0.0.1:0',
    'state-dir': `${dir}/state`,
    'complete-dir': `${dir}/complete`,
    'incomplete-dir': `${dir}/incomplete`,
    path: folder
  }
  const network = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--no-dht', '--log-level', 'warn', '--json']
  const child = spawn(
    process.execPath,
    [SWARM, 'daemon', ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]), ...network],
    {
      stdio: ['ignore', 'pipe', 'inherit']
    }
  )
  running.add(child)
  child.once('exit', () => running.delete(child))
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, url } = JSON.parse(line) as { event: string; url: string }
    if (event !== 'listening') continue
    tokens.set(url, (await readFile(`${dir}/state/token`, 'utf8')).trim())
    return { url, child }
  }
  throw new Error(`the daemon ${name} did not start`)
}

async function call<T>(method: string, url: string, body?: object): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: { ...headersFor(url), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const answer = (await response.json()) as T & { code?: string; message?: string }
  if (!response.ok) throw new Error(`${method} ${url}: ${answer.code}: ${answer.message}`)
  return answer
}

/** Reads the task's server-sent events until `done`. */
async function follow(url: string, task: Task, done: (task: Task) => boolean): Promise<Task> {
  const response = await fetch(`${url}/v1/tasks/${task.id}/events`, { headers: headersFor(url) })
  if (response.body === null) throw new Error('no events')
  let text = ''
  for await (const chunk of response.body) {
    text += new TextDecoder().decode(chunk as Uint8Array)
    const events = text.split('\n\n')
    text = events.pop() ?? ''
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1]
      if (data === undefined) continue
      const state = JSON.parse(data) as Task
      if (state.state === 'failed') throw new Error(data)
      if (done(state)) return state
    }
  }
  throw new Error('the events ended')
}

try {
  const content = randomBytes(LENGTH)
  const path = join(folder, 'film.bin')
  await writeFile(path, content)

  const sharing = await daemon('sharing')
  const seed = await call<Task>('POST', `${sharing.url}/v1/tasks`, { seed: path })
  say(`1. ${sharing.url} shares film.bin: ${seed.link.slice(0, 40)}…`)

  let getting = await daemon('getting')
  await call('PATCH', `${getting.url}/v1/limits`, { downloadBytesPerSecond: 2_000_000 })
  const task = await call<Task>('POST', `${getting.url}/v1/tasks`, { source: seed.link })
  const half = await follow(getting.url, task, ({ bytesDone }) => bytesDone >= LENGTH / 2)
  say(`2. ${getting.url} gets it, at most 2 MB/s; ${Math.floor((half.bytesDone / LENGTH) * 100)} % are there`)

  const [first, last] = [LENGTH - 500_000, LENGTH - 1]
  const reply = await fetch(getting.url + task.url, {
    headers: { ...headersFor(getting.url), range: `bytes=${first}-${last}` }
  })
  const bytes = new Uint8Array(await reply.arrayBuffer())
  const right = digest(bytes) === digest(content.subarray(first, last + 1))
  const { bytesDone } = await call<Task>('GET', `${getting.url}/v1/tasks/${task.id}`)
  say(
    `3. asked for its last half megabyte: ${reply.status}, ${reply.headers.get('content-range')}, ${right ? 'the right bytes' : 'WRONG BYTES'},`
  )
  say(
    `   when ${Math.floor((bytesDone / LENGTH) * 100)} % were there; ETag ${reply.headers.get('etag')?.slice(0, 12)}… is the root`
  )

  const swarm = await call<{
    piecesDone: number
    pieceCount: number
    distributedCopies: number
    peers: { address: string; rttMs: number }[]
  }>('GET', `${getting.url}/v1/swarms/${task.root}`)
  say(
    `4. ${swarm.piecesDone} of ${swarm.pieceCount} pieces here, ${swarm.distributedCopies} copies in sight, peer ${swarm.peers[0]?.address}`
  )

  getting.child.kill('SIGKILL')
  await once(getting.child, 'exit')
  getting = await daemon('getting')
  await call('PATCH', `${getting.url}/v1/limits`, { downloadBytesPerSecond: null })
  const done = await follow(getting.url, task, ({ state }) => state === 'complete')
  say(`5. killed with -9 and started again: it went on by itself and is ${done.state}`)

  const whole = new Uint8Array(await (await fetch(getting.url + task.url, { headers: headersFor(getting.url) })).arrayBuffer())
  say(
    `6. read whole through the gateway: ${whole.byteLength} bytes, ${digest(whole) === digest(content) ? 'identical' : 'DIFFERENT'}`
  )
  if (!right || digest(whole) !== digest(content)) process.exitCode = 1
  say(`7. its dashboard would be at ${getting.url}/ and its metrics at ${getting.url}/metrics`)
} finally {
  const gone = [...running].map(child => once(child, 'exit'))
  for (const child of running) child.kill('SIGTERM')
  await Promise.all(gone)
  await rm(folder, { recursive: true, force: true })
}
