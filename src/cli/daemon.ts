/**
 * `swarm daemon`: a node with an HTTP API, a range gateway and a dashboard, until stopped.
 *
 * Logs are JSON lines on stderr (on a terminal only warnings, unless a level is asked for). A clean stop
 * exits with 0.
 */

import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { destination, pino } from 'pino'
import { resolveDaemonOptions } from '../daemon/options.ts'
import { OPTIONS } from '../options/table.ts'
import { configurable } from '../options/values.ts'
import { startDaemon } from '../start-daemon.ts'
import { interruptible } from './interrupt.ts'
import { flagValue } from './options.ts'
import type { Ui } from './ui.ts'

/** As commander gives them: camel case, and `no-x` as `x: false`. */
export type DaemonFlags = Readonly<Record<string, unknown>>

export async function daemon(flags: DaemonFlags, ui: Ui): Promise<number> {
  // Nothing that the daemon writes is for others; its group is for the operator to choose. State is closed to
  // the group as well.
  process.umask(process.umask() | 0o027)
  using interrupt = interruptible(ui)
  const { signal } = interrupt
  const config = (flags.config as string | undefined) ?? (await defaultConfig())
  const isTerminal = process.stderr.isTTY === true && !ui.json
  const options = resolveDaemonOptions({
    flags: { ...byName(flags), 'log-level': flags.logLevel ?? (isTerminal ? 'warn' : undefined) },
    env: process.env,
    config
  })
  if (flags.checkConfig === true) {
    ui.event('checked', { config: config ?? null })
    ui.result(config === undefined ? 'options are good; there is no configuration file' : `options and ${config} are good`)
    return 0
  }
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
  return Object.fromEntries(configurable(OPTIONS).map(({ name }) => [name, flagValue(flags, name)]))
}

/** `$XDG_CONFIG_HOME/swarm/daemon.json` when it is there. */
async function defaultConfig(): Promise<string | undefined> {
  const path = join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'swarm', 'daemon.json')
  return access(path).then(
    () => path,
    () => undefined
  )
}
