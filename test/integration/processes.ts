/**
 * Real `swarm` processes for tests: started with --json, their events awaited, killed by handle, none left
 * behind.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export type CliEvent = { event: string } & Record<string, unknown>

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class SwarmProcess {
  readonly child: ChildProcess
  /** Every event so far, in order. */
  readonly events: CliEvent[] = []
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  #watchers: (() => void)[] = []
  #stderr = ''
  #ended = false

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [MAIN, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this.child)
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4000)
    })
    if (this.child.stdout === null) throw new Error('no stdout')
    createInterface({ input: this.child.stdout }).on('line', line => {
      this.events.push(JSON.parse(line) as CliEvent)
      this.#wake()
    })
    this.exit = new Promise(resolve => {
      this.child.on('close', (code, signal) => {
        running.delete(this.child)
        this.#ended = true
        this.#wake()
        resolve({ code, signal })
      })
    })
  }

  /** The first event for which `matches` holds, past or future; undefined when the process ended without. */
  async find(matches: (event: CliEvent) => boolean): Promise<CliEvent | undefined> {
    for (let seen = 0; ; ) {
      for (; seen < this.events.length; seen++) {
        const event = this.events[seen] as CliEvent
        if (matches(event)) return event
      }
      if (this.#ended) return undefined
      await new Promise<void>(resolve => this.#watchers.push(resolve))
    }
  }

  /** As `find` by name, but the process ending before is an error with its last words. */
  async event(name: string): Promise<CliEvent> {
    const found = await this.find(({ event }) => event === name)
    if (found === undefined) throw new Error(`ended without '${name}': ${this.lastWords()}`)
    return found
  }

  lastWords(): string {
    return `${this.#stderr} ${JSON.stringify(this.events.slice(-3))}`
  }

  /** The newest value of a numeric field over all events. */
  latest(field: string): number {
    for (const event of this.events.toReversed()) if (typeof event[field] === 'number') return event[field]
    return 0
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.child.kill(signal)
    await this.exit
  }

  #wake(): void {
    for (const wake of this.#watchers.splice(0)) wake()
  }
}
