/**
 * Runs the real command line in a process of its own, as a user would. Callers: tests of the CLI.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
  /** The objects that `--json` printed. */
  events: JsonEvent[]
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into events of every shape
export type JsonEvent = { event: string } & Record<string, any>

export interface RunOptions {
  cwd?: string
  env?: Record<string, string>
  input?: string | Uint8Array
}

export interface RunningCli extends AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams
  readonly finished: Promise<Finished>
  /**
   * The first event of that name (that `matches`), past or to come; rejects with the output when the command
   * ends without it.
   */
  event(name: string, matches?: (event: JsonEvent) => boolean): Promise<JsonEvent>
}

/** Starts `swarm <args>`. Disposing kills it. */
export function startCli(args: readonly string[], options: RunOptions = {}): RunningCli {
  const env: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(process.env))
    if (!/^(SWARM_|DEBUG$|NODE_TEST|NODE_OPTIONS)/.test(name)) env[name] = value
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: options.cwd, env: { ...env, ...options.env } })
  const events: JsonEvent[] = []
  const waiting = new Set<() => void>()
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  let taken = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (let end = stdout.indexOf('\n', taken); end >= 0; end = stdout.indexOf('\n', taken)) {
      const line = stdout.slice(taken, end)
      taken = end + 1
      if (line.startsWith('{"event"')) events.push(JSON.parse(line))
    }
    for (const wake of waiting) wake()
  })
  child.stdin.on('error', () => {}) // a command that ends without reading its input is no fault of the test
  child.stdin.end(options.input)
  const finished = once(child, 'close').then(([code]) => {
    for (const wake of waiting) wake()
    return { code: code as number | null, stdout, stderr, events }
  })
  return {
    child,
    finished,
    async event(name, matches = () => true) {
      let ended = false
      void finished.then(() => {
        ended = true
      })
      for (;;) {
        const found = events.find(event => event.event === name && matches(event))
        if (found !== undefined) return found
        if (ended) throw new Error(`swarm ${args.join(' ')} ended without the event ${name}:\n${stdout}${stderr}`)
        await new Promise<void>(resolve => {
          const wake = (): void => {
            waiting.delete(wake)
            resolve()
          }
          waiting.add(wake)
          void finished.then(wake)
        })
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await finished
    }
  }
}

/** Runs `swarm <args>` to its end. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return startCli(args, options).finished
}

/** A temporary folder that goes when disposed. */
export async function temporaryFolder(): Promise<AsyncDisposable & { path: string; join(...parts: string[]): string }> {
  const path = await mkdtemp(join(tmpdir(), 'swarm-cli-'))
  return {
    path,
    join: (...parts) => join(path, ...parts),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true })
  }
}
