/**
 * Runs whole processes and measures them: wall clock, processor time and peak memory, as the kernel counts
 * them.
 *
 * A process that ends by itself is run under GNU time, which reads the kernel's account of it; one that goes
 * on (a seeder) is read from /proc while it lives. So the suite runs on Linux alone. Nothing outlives {@link
 * Scope.end}. Used by the workloads.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Clock ticks per second of /proc/<pid>/stat; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
/** DEBUG, set to whatever, makes several contestants talk. */
const { DEBUG: _, ...quietEnvironment } = process.env
/** Lines kept of what a process said, for the report of a failure. */
const KEPT_LINES = 30

export interface ProcessSpec {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface Usage {
  /** User and system time in seconds. */
  readonly cpuSeconds: number
  readonly peakRssBytes: number
}

/** What a finished process cost. */
export interface Finished extends Usage {
  /** From the start of the process to its end. */
  readonly wallSeconds: number
  /** From the start of the process to the first line that the caller marked with this name. */
  readonly marks: Readonly<Record<string, number>>
}

/** Looks at one line of output; gives the name of a mark that it is, or nothing. */
export type ReadLine = (line: string) => string | undefined

/** Everything that one measurement starts and writes; ended as a whole. */
export class Scope {
  readonly folder: string
  readonly #children = new Set<ChildProcess>()
  #files = 0

  private constructor(folder: string) {
    this.folder = folder
  }

  static async begin(folder: string): Promise<Scope> {
    await mkdir(folder, { recursive: true })
    return new Scope(folder)
  }

  /**
   * Runs a process to its end. Throws with its last words when it fails, is too slow, or ends without the
   * mark `until`.
   */
  async run(spec: ProcessSpec, options: { readLine?: ReadLine; timeoutSeconds: number; until?: string }): Promise<Finished> {
    const account = join(this.folder, `time-${this.#files++}`)
    const timed = { ...spec, argv: ['/usr/bin/time', '--quiet', '--output', account, '--format', '%U %S %M', ...spec.argv] }
    const startedMs = performance.now()
    const { child, said, marks, closed } = this.#spawn(timed, startedMs, options.readLine)
    const timer = setTimeout(() => end(child, 'SIGKILL'), options.timeoutSeconds * 1000)
    const code = await closed
    clearTimeout(timer)
    const wallSeconds = (performance.now() - startedMs) / 1000
    if (code !== 0 || (options.until !== undefined && marks[options.until] === undefined)) {
      const what = code === 0 ? `ended before '${options.until}'` : `failed with ${code}`
      throw new Error(`${spec.argv.join(' ')} ${what} after ${wallSeconds.toFixed(1)} s:\n${said.join('\n')}`)
    }
    const [user, system, kib] = (await readFile(account, 'utf8')).trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
    await rm(account)
    return { wallSeconds, marks, cpuSeconds: (user ?? 0) + (system ?? 0), peakRssBytes: (kib ?? 0) * 1024 }
  }

  /** Starts a process that goes on; resolves at the first line that `readLine` marks. */
  async start(spec: ProcessSpec, readLine: ReadLine, timeoutSeconds = 120): Promise<Running> {
    const ready = Promise.withResolvers<void>()
    const { child, said, closed } = this.#spawn(spec, performance.now(), line => {
      const mark = readLine(line)
      if (mark !== undefined) ready.resolve()
      return mark
    })
    const timer = setTimeout(() => ready.reject(new Error('too slow')), timeoutSeconds * 1000)
    void closed.then(code => ready.reject(new Error(`ended with ${code}`)))
    try {
      await ready.promise
    } catch (err) {
      end(child, 'SIGKILL')
      throw new Error(`${spec.argv.join(' ')} ${(err as Error).message}:\n${said.join('\n')}`)
    } finally {
      clearTimeout(timer)
    }
    return new Running(child.pid as number, async () => {
      child.kill('SIGTERM')
      await closed
    })
  }

  /** Ends what still runs and removes the folder. */
  async end(): Promise<void> {
    const closing = [...this.#children].map(child => new Promise(resolve => child.once('close', resolve)))
    for (const child of this.#children) end(child, 'SIGKILL')
    await Promise.all(closing)
    await rm(this.folder, { recursive: true, force: true })
  }

  #spawn(spec: ProcessSpec, startedMs: number, readLine: ReadLine = () => undefined) {
    const [command, ...args] = spec.argv
    // A group of its own, so that what a wrapper started ends with it.
    const child = spawn(command as string, args, {
      cwd: spec.cwd ?? this.folder,
      env: { ...quietEnvironment, ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true
    })
    this.#children.add(child)
    const said: string[] = []
    const marks: Record<string, number> = {}
    const hear = (line: string): void => {
      said.push(line.slice(0, 500))
      if (said.length > KEPT_LINES) said.shift()
    }
    createInterface({ input: child.stderr }).on('line', hear)
    createInterface({ input: child.stdout }).on('line', line => {
      const atSeconds = (performance.now() - startedMs) / 1000
      const mark = readLine(line)
      if (mark !== undefined) marks[mark] ??= atSeconds
      else hear(line)
    })
    const closed = new Promise<number | string>((resolve, reject) => {
      child.once('error', err => reject(new Error(`cannot start ${command}: ${err.message}`)))
      child.once('close', (code, signal) => {
        this.#children.delete(child)
        resolve(code ?? signal ?? 'nothing')
      })
    })
    closed.catch(() => this.#children.delete(child))
    return { child, said, marks, closed }
  }
}

/** A process that is read while it runs. */
export class Running {
  readonly pid: number
  /** Ends it as its user would, and waits until it has. */
  readonly stop: () => Promise<void>

  constructor(pid: number, stop: () => Promise<void>) {
    this.pid = pid
    this.stop = stop
  }

  /** Processor time since it started, and the most memory that it ever held. */
  async usage(): Promise<Usage> {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${this.pid}/stat`, 'utf8'),
      readFile(`/proc/${this.pid}/status`, 'utf8')
    ])
    // The name in parentheses may hold blanks; utime and stime are the 14th and 15th field, so 11 and 12
    // behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
    return { cpuSeconds, peakRssBytes: kibOf(status, 'VmHWM') * 1024 }
  }

  async rssBytes(): Promise<number> {
    return kibOf(await readFile(`/proc/${this.pid}/status`, 'utf8'), 'VmRSS') * 1024
  }
}

function kibOf(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
}

function end(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal)
  } catch {
    // It ended meanwhile.
  }
}
