/**
 * `swarm get <source>`: fetch, put in place, say what was done, and go on serving while somebody still draws
 * on us.
 *
 * An interrupted download exits with 130 and keeps what was verified; an interrupt after completion is a
 * clean end.
 */

import { isLink, parseLink } from '../content/link.ts'
import { formatManifest } from '../content/manifest.ts'
import { readManifest } from '../node/manifests.ts'
import type { GetStatus, Transfer } from '../node/types.ts'
import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { manifestFields } from './describe.ts'
import { byteProgress } from './hashing.ts'
import { interruptible } from './interrupt.ts'
import { defined, type NodeFlags, nodeOptionsOf } from './options.ts'
import { freshUrlBy } from './origin-command.ts'
import { serveUntil } from './seed.ts'
import { startSignal } from './start-signal.ts'
import {
  downloadLines,
  followEvents,
  progressFields,
  reportServed,
  reportSources,
  servingLine,
  trafficFields
} from './transfer-report.ts'
import type { Ui } from './ui.ts'
import { type DaemonClientFlags, daemonFor } from './use-daemon.ts'

export interface GetFlags extends NodeFlags, DaemonClientFlags {
  output?: string
  only?: string[]
  force?: boolean
  peer?: string[]
  origin?: string[]
  originCommand?: string
  originLimit?: number
  originConnections?: number
  timeout?: number
  seed?: boolean
  linger: boolean
}

/**
 * After completion we stay while neighbours still miss pieces: until nobody drew on us for this long, and no
 * longer than the bound.
 */
const LINGER = { idleMs: 5_000, maxMs: 10 * 60_000 }

export async function get(source: string, flags: GetFlags, ui: Ui): Promise<number> {
  using interrupt = interruptible(ui)
  const { signal } = interrupt
  // Bad input ends here, before libp2p is loaded and a node starts.
  if (isLink(source)) parseLink(source)
  const wanted = isLink(source) ? source : await readManifest(source, { signal })
  const daemon = await daemonFor(flags, ui)
  if (daemon !== undefined) {
    const { getThroughDaemon } = await import('./daemon-tasks.ts')
    // Awaited: until it is over an interrupt is ours to answer.
    return await getThroughDaemon(
      daemon,
      typeof wanted === 'string' ? { link: wanted } : { manifest: formatManifest(wanted) },
      flags,
      signal,
      ui
    )
  }
  const { createNode } = await import('../node/node.ts')
  const node = await createNode({ ...nodeOptionsOf(flags), servesDht: false })
  try {
    await startSignal(process.env.SWARM_START_FILE, node, signal, ui)
    const startedMs = performance.now()
    const transfer = await node.get(wanted, {
      signal,
      onStatus: statusProgress(ui),
      ...defined({ output: flags.output, only: flags.only, force: flags.force, peers: flags.peer, timeoutMs: flags.timeout }),
      ...defined({ origins: flags.origin }),
      origin: defined({
        bytesPerSecond: flags.originLimit,
        connections: flags.originConnections,
        freshUrl: flags.originCommand === undefined ? undefined : freshUrlBy(flags.originCommand, signal)
      })
    })
    ui.clear()
    followEvents(ui, transfer)
    ui.event('joined', {
      ...manifestFields(transfer.manifest),
      path: transfer.path,
      peer: node.peer,
      bytesOnDisk: transfer.snapshot().bytesDone
    })
    await download(transfer, signal, ui)
    reportComplete(ui, transfer, performance.now() - startedMs)
    if (flags.seed === true) await keepSeeding(transfer, signal, ui)
    else {
      if (flags.linger) await linger(transfer, signal, ui)
      ui.event('served', trafficFields(transfer.snapshot()))
      reportServed(ui, transfer.snapshot())
    }
    return 0
  } finally {
    await node.stop()
  }
}

async function download(transfer: Transfer, signal: AbortSignal, ui: Ui): Promise<void> {
  const show = (final: boolean): void => {
    const snapshot = transfer.snapshot()
    ui.progress(
      () => downloadLines(snapshot),
      () => progressFields(snapshot),
      final
    )
  }
  const stopFollowing = transfer.on('progress', () => show(false))
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    await Promise.race([transfer.completed, aborted.promise])
    show(true)
  } catch (err) {
    const { bytesDone, bytesTotal } = transfer.snapshot()
    ui.clear()
    ui.remark(
      `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} are verified and kept; the same command goes on from there`
    )
    throw err
  } finally {
    signal.removeEventListener('abort', onAbort)
    stopFollowing()
    ui.clear()
  }
}

function reportComplete(ui: Ui, transfer: Transfer, elapsedMs: number): void {
  const snapshot = transfer.snapshot()
  const { bytesTotal, bytesDownloaded, bytesWasted } = snapshot
  const fetched = bytesDownloaded - bytesWasted
  const rate = (fetched / Math.max(1, elapsedMs)) * 1000
  ui.event('complete', {
    ...manifestFields(transfer.manifest),
    path: transfer.path,
    bytesWanted: bytesTotal,
    elapsedMs: Math.round(elapsedMs),
    bytesPerSecond: Math.round(rate),
    ...trafficFields(snapshot)
  })
  ui.essential(transfer.path)
  ui.result(`got       ${transfer.path}`)
  const found = bytesTotal - fetched
  const onDisk = found > 0 ? `, ${formatBytes(found)} of it was on disk already` : ''
  ui.result(`size      ${formatBytes(bytesTotal)}, every piece verified${onDisk}`)
  ui.result(`time      ${formatDuration(elapsedMs)}${fetched > 0 ? ` (${formatRate(rate)})` : ''}`)
  reportSources(ui, snapshot)
}

async function keepSeeding(transfer: Transfer, signal: AbortSignal, ui: Ui): Promise<void> {
  ui.result(`link      ${transfer.link()}`)
  ui.event('seeding', { link: transfer.link(), addresses: transfer.hints() })
  ui.remark('serving until stopped (Ctrl-C)')
  await serveUntil(signal, transfer, ui)
}

async function linger(transfer: Transfer, signal: AbortSignal, ui: Ui): Promise<void> {
  if (signal.aborted) return
  let said = false
  const stopFollowing = transfer.on('progress', snapshot => {
    if (!said) {
      ui.remark(
        `others still draw on this node: serving on while they do, ${formatDuration(LINGER.maxMs)} at most (Ctrl-C or --no-linger leaves)`
      )
      ui.event('lingering', LINGER)
    }
    said = true
    ui.progress(
      () => [servingLine(snapshot)],
      () => progressFields(snapshot)
    )
  })
  await transfer.linger({ ...LINGER, signal })
  stopFollowing()
  ui.clear()
}

/** Shows what happens before there is a transfer: looking for the piece list, checking what is on disk. */
function statusProgress(ui: Ui): (status: GetStatus) => void {
  let last: GetStatus['state'] | undefined
  let checked: ((done: number, total: number) => void) | undefined
  return status => {
    const { state, text, done, total } = status
    if (done !== undefined && total !== undefined) {
      checked ??= byteProgress(ui, 'checking', text)
      checked(done, total)
      return
    }
    if (last === undefined && state === 'finding') ui.remark(text)
    last = state
    ui.progress(
      () => [text],
      () => ({ phase: state, waitingFor: text })
    )
  }
}
