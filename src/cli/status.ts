/**
 * `swarm status`: what the daemon does. On a terminal it is redrawn every second until stopped; elsewhere, or
 * with `--once`, it is said once.
 */

import type { DaemonClient } from '../api/client/client.ts'
import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { interruptible } from './interrupt.ts'
import type { CommonFlags } from './options.ts'
import { hashingLine, taskLines } from './task-report.ts'
import type { Ui } from './ui.ts'
import { type DaemonClientFlags, requireDaemon } from './use-daemon.ts'

export interface StatusFlags extends CommonFlags, DaemonClientFlags {
  once?: boolean
}

const REDRAW_MS = 1000
/** Characters of a task's id, enough to name it to `swarm task`. */
const SHOWN_ID = 8
/** Lines of tasks that a terminal of unknown height gets. */
const DEFAULT_ROWS = 24

export async function status(flags: StatusFlags, ui: Ui): Promise<number> {
  const client = await requireDaemon(flags)
  const isLive = flags.once !== true && !ui.json && !ui.quiet && process.stderr.isTTY === true
  if (!isLive) {
    await sayOnce(client, ui)
    return 0
  }
  using interrupt = interruptible(ui)
  const { signal } = interrupt
  while (!signal.aborted) {
    const lines = await describe(client)
    const rows = (process.stderr.rows || DEFAULT_ROWS) - 1
    const shown = lines.length > rows ? [...lines.slice(0, rows - 1), `… and ${lines.length - rows + 1} more lines`] : lines
    ui.progress(
      () => shown,
      () => ({})
    )
    await new Promise<void>(wake => {
      const timer = setTimeout(wake, REDRAW_MS)
      signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer)
          wake()
        },
        { once: true }
      )
    })
  }
  ui.clear()
  await sayOnce(client, ui)
  return 0
}

async function sayOnce(client: DaemonClient, ui: Ui): Promise<void> {
  if (ui.json) {
    const [probe, limits, list] = await Promise.all([client.probe(), client.limits(), client.taskList()])
    ui.event('status', { url: client.url, ...probe, ...limits, ...list })
    return
  }
  for (const line of await describe(client)) ui.result(line)
  ui.essential(client.url)
}

async function describe(client: DaemonClient): Promise<string[]> {
  const [probe, { limits, inForce, quota }, { tasks, hashing }] = await Promise.all([
    client.probe(),
    client.limits(),
    client.taskList()
  ])
  const rate = (value: number): string => (value === 0 ? 'no limit' : formatRate(value))
  const scheduled = limits.schedule.length > 0 ? ' (by the hour)' : ''
  return [
    `daemon    ${client.url}  up for ${formatDuration(probe.uptimeMs)}  peer ${probe.peer}`,
    `rates     down ${formatRate(probe.downloadRate)} (${rate(inForce.downloadBytesPerSecond)})  up ${formatRate(probe.uploadRate)} (${rate(inForce.uploadBytesPerSecond)})${scheduled}  ${probe.readers} reader${probe.readers === 1 ? '' : 's'}`,
    `disk      ${formatBytes(quota.usedBytes)}${quota.bytes === 0 ? '' : ` of ${formatBytes(quota.bytes)}`}`,
    `tasks     ${tasks.length}, ${inForce.maxActiveDownloads} at once`,
    ...probe.notices.map(notice => `notice    ${notice}`),
    ...hashing.map(hashingLine),
    ...tasks.flatMap(task => {
      const [line, ...more] = taskLines(task)
      return [`${line}  ${task.id.slice(0, SHOWN_ID)}`, ...more]
    })
  ]
}
