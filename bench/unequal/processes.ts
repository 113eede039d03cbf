/**
 * Processes that print one JSON object per line, and a folder for their files; all of it ends with the stage.
 * Used by swarm.ts.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Time for a process to load and say that it is ready, on a busy machine. */
const READY_MS = 60_000
const KEPT_STDERR = 2_000

export type CliEvent = { readonly event: string } & Readonly<Record<string, unknown>>

export class Actor {
  readonly name: string
  /** Every event so far, in order. */
  readonly events: CliEvent[] = []
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #watchers = new Set<() => void>()
  #stderr = ''
  #isOver = false

  constructor(name: string, argv: readonly string[], env: Readonly<Record<string, string>>, cwd: string) {
    this.name = name
    const [program = '', ...args] = argv
    // DEBUG would make every node talk.
    this.#child = spawn(program, args, { cwd, env: { ...process.env, DEBUG: '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stderr?.on('data', chunk => {
      this.#stderr = (this.#stderr + String(chunk)).slice(-KEPT_STDERR)
    })
    if (this.#child.stdout === null) throw new Error('no stdout')
    createInterface({ input: this.#child.stdout }).on('line', line => {
      if (!line.startsWith('{')) return
      this.events.push(JSON.parse(line) as CliEvent)
      this.#wake()
    })
    this.ended = new Promise(resolve => {
      const end = (): void => {
        this.#isOver = true
        this.#wake()
        resolve()
      }
      this.#child.once('error', end)
      this.#child.once('close', end)
    })
  }

  /**
   * The first event of this name that `matches`, past or future; undefined when the process ends, or time
   * does, without.
   */
  async event(name: string, timeoutMs = READY_MS, matches = (_: CliEvent): boolean => true): Promise<CliEvent | undefined> {
    const deadlineMs = performance.now() + timeoutMs
    for (;;) {
      const found = this.events.find(event => event.event === name && matches(event))
      const leftMs = deadlineMs - performance.now()
      if (found !== undefined || this.#isOver || leftMs <= 0) return found
      await this.#next(leftMs)
    }
  }

  /** As `event`, but its absence is an error. */
  async need(name: string, matches?: (event: CliEvent) => boolean): Promise<CliEvent> {
    const found = await this.event(name, READY_MS, matches)
    if (found === undefined) throw new Error(`${this.name} did not say '${name}': ${this.lastWords()}`)
    return found
  }

  lastWords(): string {
    return `${JSON.stringify(this.events.at(-1) ?? 'nothing')} ${this.#stderr}`.trim()
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    if (!this.#isOver) this.#child.kill(signal)
  }

  async #next(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, timeoutMs)
    this.#watchers.add(resolve)
    await promise
    clearTimeout(timer)
    this.#watchers.delete(resolve)
  }

  #wake(): void {
    for (const wake of this.#watchers) wake()
  }
}

/** What one measurement starts and writes. Used by swarm.ts. */
export class Stage implements AsyncDisposable {
  readonly folder: string
  readonly #actors: Actor[] = []

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'swarm-unequal-')))
  }

  start(name: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Actor {
    const actor = new Actor(name, argv, env, this.folder)
    this.#actors.push(actor)
    return actor
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const actor of this.#actors) actor.signal('SIGKILL')
    await Promise.all(this.#actors.map(actor => actor.ended))
    await rm(this.folder, { recursive: true, force: true })
  }
}
