/**
 * Daemons for tests: in this process or as processes, each with folders of its own under one temporary
 * folder, on loopback ports that the system gives, without mDNS and DHT unless asked. Everything is stopped
 * and deleted by `close`.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type DaemonClient, findDaemon } from '../../src/api/client/client.ts'
import type { Task } from '../../src/api/schema/tasks.ts'
import { resolveDaemonOptions } from '../../src/daemon/options.ts'
import { type Daemon, startDaemon } from '../../src/start-daemon.ts'

export type Flags = Readonly<Record<string, unknown>>

export interface TestDaemon {
  readonly daemon: Daemon
  /** Trusted, as the CLI is. */
  readonly client: DaemonClient
  readonly url: string
  readonly folder: string
}

export interface DaemonProcess {
  readonly child: ChildProcess
  readonly client: DaemonClient
  readonly url: string
  readonly folder: string
  /** Everything on stderr: the log, one JSON object a line. */
  readonly log: () => string
  kill(signal: NodeJS.Signals): Promise<number | null>
}

/** Far beyond what anything takes, also on a slow and busy machine; a test that reaches it has failed. */
const DEADLINE_MS = 180_000

/** 1 TiB. */
const ENDLESS_BYTES = 2 ** 40

export const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export class World {
  readonly folder: string
  readonly #ends: (() => Promise<unknown>)[] = []

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(): Promise<World> {
    return new World(await mkdtemp(join(tmpdir(), 'swarm-daemon-')))
  }

  async close(): Promise<void> {
    for (const end of this.#ends.reverse()) await end().catch(() => {})
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  /** Ends with the world, before what was there earlier. */
  defer(end: () => Promise<unknown>): void {
    this.#ends.push(end)
  }

  /** A file of random bytes; its path. */
  async file(name: string, bytes: number): Promise<string> {
    const path = join(this.folder, 'content', name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, randomBytes(bytes))
    return path
  }

  /** A file of zeros that takes no disk and, read at the speed of memory, still minutes to hash; its path. */
  async endlessFile(name: string): Promise<string> {
    const path = await this.file(name, 0)
    await truncate(path, ENDLESS_BYTES)
    return path
  }

  /** The events of a daemon from now on, present states first. */
  async events(url: string): Promise<EventLog> {
    const log = await EventLog.open(url)
    this.defer(() => log.close())
    return log
  }

  flags(name: string, more: Flags): Flags {
    const folder = join(this.folder, name)
    return {
      http: '127.0.0.1:0',
      'state-dir': join(folder, 'state'),
      'complete-dir': join(folder, 'complete'),
      'incomplete-dir': join(folder, 'incomplete'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      'no-mdns': true,
      'no-dht': true,
      'log-level': 'silent',
      // Most tests ask as everybody on loopback may; those of access say otherwise.
      open: more.token === undefined,
      ...more
    }
  }

  async daemon(name: string, more: Flags = {}): Promise<TestDaemon> {
    const daemon = await startDaemon(resolveDaemonOptions({ flags: this.flags(name, more) }))
    this.defer(() => daemon.stop())
    const client = await findDaemon({ stateDir: daemon.options.stateDir })
    if (client === undefined) throw new Error('the daemon does not answer')
    return { daemon, client, url: daemon.url, folder: join(this.folder, name) }
  }

  async process(name: string, more: Flags = {}): Promise<DaemonProcess> {
    const args = ['daemon', '--json']
    const { token, ...flags } = this.flags(name, { 'log-level': 'info', ...more })
    for (const [flag, value] of Object.entries(flags)) {
      if (value === false) continue
      for (const item of Array.isArray(value) ? value : [value])
        args.push(...(item === true ? [`--${flag}`] : [`--${flag}`, String(item)]))
    }
    const env = { ...process.env, ...(token === undefined ? {} : { SWARM_TOKEN: String(token) }) }
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
    let log = ''
    child.stderr.on('data', chunk => {
      log = (log + chunk).slice(-1_000_000)
    })
    const gone = once(child, 'exit') as Promise<[number | null]>
    const kill = async (signal: NodeJS.Signals): Promise<number | null> => {
      child.kill(signal)
      return (await gone)[0]
    }
    this.defer(() => kill('SIGKILL'))
    const listening = (async () => {
      for await (const line of createInterface({ input: child.stdout })) {
        const event = JSON.parse(line) as { event: string; url: string }
        if (event.event === 'listening') return event.url
      }
      throw new Error(`the daemon did not start: ${log}`)
    })()
    const url = await listening
    child.stdout.resume()
    const client = await findDaemon({ stateDir: join(this.folder, name, 'state') })
    if (client === undefined) throw new Error('the daemon does not answer')
    return { child, client, url, folder: join(this.folder, name), log: () => log, kill }
  }
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into events of every kind
export type DaemonEvent = { event: string; data: any }

/** What `/v1/events` says. */
export class EventLog {
  /** So far, oldest first. */
  readonly seen: DaemonEvent[] = []
  readonly #left = new AbortController()
  readonly #waiting = new Set<() => void>()

  /** Connected when it resolves. */
  static async open(url: string): Promise<EventLog> {
    const log = new EventLog()
    const sent = request(`${url}/v1/events`, { agent: false, signal: log.#left.signal }).end()
    const [reply] = (await once(sent, 'response')) as [IncomingMessage]
    sent.on('error', () => {})
    if (reply.statusCode !== 200) {
      log.#left.abort()
      throw new Error(`no events: ${reply.statusCode}`)
    }
    const first = Promise.withResolvers<void>()
    void log.#read(reply, first.resolve).catch(() => {})
    await first.promise
    return log
  }

  /** The first event that matches, past or to come. */
  async until(matches: (event: DaemonEvent) => boolean, what: string): Promise<DaemonEvent> {
    const timeout = AbortSignal.timeout(DEADLINE_MS)
    for (;;) {
      const found = this.seen.find(matches)
      if (found !== undefined) return found
      if (timeout.aborted) throw new Error(`waited in vain for an event: ${what}`)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      timeout.addEventListener('abort', () => resolve(), { once: true })
      await promise
      this.#waiting.delete(resolve)
    }
  }

  async close(): Promise<void> {
    this.#left.abort()
  }

  async #read(reply: IncomingMessage, connected: () => void): Promise<void> {
    let text = ''
    for await (const chunk of reply.setEncoding('utf8')) {
      text += chunk
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? []
        if (event !== undefined && data !== undefined) this.seen.push({ event, data: JSON.parse(data) })
      }
      if (blocks.length > 0) connected()
      for (const wake of this.#waiting) wake()
    }
  }
}

/** Runs one `swarm` command to its end. */
export async function swarm(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {}
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return run(process.execPath, [MAIN, ...args], options)
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, env }: { cwd?: string; env?: Record<string, string> } = {}
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(program, [...args], { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', chunk => {
    stdout += chunk
  })
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** Follows a task until it satisfies `done`; that state of it. */
export async function until(client: DaemonClient, id: string, done: (task: Task) => boolean): Promise<Task> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  for await (const task of client.follow(id, signal)) if (done(task)) return task
  throw new Error('the task was deleted')
}

export function untilComplete(client: DaemonClient, id: string): Promise<Task> {
  return until(client, id, task => {
    if (task.state === 'failed') throw new Error(`failed: ${task.error?.message}`)
    return task.state === 'complete'
  })
}

/** Asks `probe` until it is true; for what no event tells. */
export async function eventually(probe: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS
  while (!(await probe())) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

export async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
}

export interface RawReply {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: Buffer
}

/** A request with exactly these headers; `fetch` would change some. */
export function raw(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {}
): Promise<RawReply> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options
    const sent = request(url, { method, headers, agent: false }, reply => {
      const chunks: Buffer[] = []
      reply.on('data', chunk => chunks.push(chunk))
      reply.on('error', reject)
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
