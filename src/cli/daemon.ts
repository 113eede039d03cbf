/**
 * `swarm daemon`: a node with an HTTP API, a range gateway and a dashboard, until stopped.
 *
 * Logs are JSON lines on stderr (on a terminal only warnings, unless a level is asked for). A clean stop exits with 0.
 */

import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { destination, pino } from 'pino'
import { DAEMON_OPTIONS } from '../daemon/option-table.ts'
import { resolveDaemonOptions } from '../daemon/options.ts'
import { startDaemon } from '../start-daemon.ts'
import { interruptible } from './interrupt.ts'
import type { Ui } from './ui.ts'

/** As commander gives them: camel case, and `no-x` as `x: false`. */
export type DaemonFlags = Readonly<Record<string, unknown>>

export async function daemon(flags: DaemonFlags, ui: Ui): Promise<number> {
  // Nothing that the daemon writes is for others; its group is for the operator to choose. State is closed to the group as well.
  process.umask(process.umask() | 0o027)
  using interrupt = interruptible(ui)
  const { signal } = interrupt
  const config = (flags.config as string | undefined) ?? (await defaultConfig())
  const isTerminal = process.stderr.isTTY === true && !ui.json
  const options = resolveDaemonOptions({
    flags: { ...(isTerminal ? { 'log-level': 'warn' } : {}), ...byName(flags) },
    env: process.env,
    config
  })
  const log = pino({ level: options.logLevel, name: 'swarm' }, destination({ dest: 2, sync: true }))
  const running = await startDaemon(options, log)
  try {
    const { url, node, fingerprint } = running
    ui.event('listening', {
      url,
      fingerprint: fingerprint ?? null,
      peer: node.peer,
      addresses: node.addresses(),
      stateDir: options.stateDir,
      config: config ?? null
    })
    ui.essential(url)
    ui.result(`dashboard ${url}/  (logged in by 'swarm dashboard')`)
    if (fingerprint !== undefined) ui.result(`certificate sha256 ${fingerprint}`)
    ui.result(`API       ${url}/v1/openapi.json`)
    ui.result(`content   ${options.completeDir}`)
    for (const address of node.addresses()) ui.result(`address   ${address}`)
    ui.remark('running until stopped (Ctrl-C)')
    if (!signal.aborted) await new Promise(wake => signal.addEventListener('abort', wake, { once: true }))
  } finally {
    await running.stop()
  }
  return 0
}

function byName(flags: DaemonFlags): Record<string, unknown> {
  const named: Record<string, unknown> = {}
  for (const { name } of DAEMON_OPTIONS) {
    const isNegative = name.startsWith('no-')
    const value = flags[camelCase(isNegative ? name.slice(3) : name)]
    if (isNegative) {
      if (value === false) named[name] = true
    } else if (value !== undefined) named[name] = value
  }
  return named
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** `$XDG_CONFIG_HOME/swarm/daemon.json` when it is there. */
async function defaultConfig(): Promise<string | undefined> {
  const path = join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'swarm', 'daemon.json')
  return access(path).then(
    () => path,
    () => undefined
  )
}
