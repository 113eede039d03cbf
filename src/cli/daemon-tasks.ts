/**
 * `swarm get` and `swarm seed` through a running daemon: the same words, events and exit codes as with a node
 * of one's own.
 *
 * What differs: an interrupt leaves the task to the daemon, which goes on; and nobody need stay to serve.
 * Callers: get, seed.
 */

import { resolve, sep } from 'node:path'
import type { DaemonClient } from '../api/client/client.ts'
import type { AddTask, Task } from '../api/schema/tasks.ts'
import { StalledError, SwarmError, type SwarmErrorCode } from '../errors.ts'
import { loadManifestParser } from '../node/manifest-parser.ts'
import { writeManifest } from '../node/manifests.ts'
import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { manifestTarget } from './create.ts'
import { describeContent, manifestFields } from './describe.ts'
import type { GetFlags } from './get.ts'
import { byteProgress } from './hashing.ts'
import { defined } from './options.ts'
import { freshUrlBy } from './origin-command.ts'
import type { SeedFlags } from './seed.ts'
import { taskFields, taskLines } from './task-report.ts'
import type { Ui } from './ui.ts'

type FreshUrl = ReturnType<typeof freshUrlBy>

/** What `get` was given: a link, or a manifest's text. */
export type DaemonSource = { link: string } | { manifest: string }

export async function getThroughDaemon(
  client: DaemonClient,
  source: DaemonSource,
  flags: GetFlags,
  signal: AbortSignal,
  ui: Ui
): Promise<number> {
  const startedMs = performance.now()
  const task = await client.addTask(
    {
      ...('link' in source ? { source: source.link } : { manifest: JSON.parse(source.manifest) as Record<string, unknown> }),
      output: absoluteOutput(flags.output),
      ...defined({ only: flags.only, force: flags.force, peers: flags.peer, origins: flags.origin, limits: limitsOf(flags) }),
      ...defined({ originLimits: originLimitsOf(flags) })
    },
    signal
  )
  ui.event('joined', { id: task.id, daemon: client.url, ...taskFields(task) })
  ui.remark(`through the daemon at ${client.url}`)
  const { originCommand } = flags
  const freshUrl = originCommand === undefined ? undefined : freshUrlBy(originCommand, signal)
  const done = await untilComplete(client, task, { signal, timeoutMs: flags.timeout ?? 0, ui, freshUrl })
  const elapsedMs = performance.now() - startedMs
  const rate = (done.bytesDownloaded / Math.max(1, elapsedMs)) * 1000
  const swarm = await client.swarm(done.root).catch(() => undefined)
  const peers = (swarm?.peers ?? []).filter(peer => peer.bytesDownloaded + peer.bytesUploaded > 0)
  ui.event('complete', {
    id: done.id,
    name: done.name,
    root: done.root,
    path: done.path,
    bytesWanted: done.bytesTotal,
    elapsedMs: Math.round(elapsedMs),
    bytesPerSecond: Math.round(rate),
    bytesDownloaded: done.bytesDownloaded,
    bytesUploaded: done.bytesUploaded,
    bytesWasted: done.bytesWasted,
    peers: peers.map(({ peer, address, encryption, bytesDownloaded, bytesUploaded }) => ({
      peer,
      address,
      encryption,
      bytesDownloaded,
      bytesUploaded
    }))
  })
  ui.essential(done.path ?? done.name)
  ui.result(`got       ${done.path}`)
  ui.result(`size      ${formatBytes(done.bytesTotal ?? 0)}, every piece verified`)
  ui.result(`time      ${formatDuration(elapsedMs)}${done.bytesDownloaded > 0 ? ` (${formatRate(rate)})` : ''}`)
  for (const { peer, address, bytesDownloaded } of peers.filter(each => each.bytesDownloaded > 0).slice(0, 8)) {
    ui.result(`from      ${formatBytes(bytesDownloaded).padStart(8)}  ${peer}  ${address}`)
  }
  ui.remark(`the daemon goes on serving it; 'swarm status' shows it`)
  return 0
}

export async function seedThroughDaemon(
  client: DaemonClient,
  path: string,
  flags: SeedFlags,
  signal: AbortSignal,
  ui: Ui
): Promise<number> {
  ui.remark(`through the daemon at ${client.url}`)
  const task = await showHashing(client, path, ui, () =>
    client.addTask(
      { seed: resolve(path), ...defined({ name: flags.name, pieceLength: flags.pieceLength, limits: limitsOf(flags) }) },
      signal
    )
  )
  const parse = await loadManifestParser()
  const manifest = parse(await client.manifest(task.id))
  const { addresses } = await client.probe()
  const target = manifestTarget(manifest, flags.output)
  await writeManifest({ ...manifest, peers: addresses, ...defined({ origins: flags.origin }) }, target, flags.force === true)
  ui.event('seeding', {
    id: task.id,
    daemon: client.url,
    ...manifestFields(manifest),
    manifest: resolve(target),
    link: task.link,
    addresses
  })
  ui.essential(task.link ?? task.root)
  for (const line of describeContent(manifest)) ui.result(line)
  ui.result(`manifest  ${target}`)
  ui.result(`link      ${task.link}`)
  ui.result(`others run:  swarm get '${task.link}'`)
  ui.remark(`the daemon serves it; 'swarm status' shows it`)
  return 0
}

/**
 * Shows how far the daemon is with hashing `path` while `work` waits for it. Where there is no stream of
 * events, nothing is shown.
 */
async function showHashing<T>(client: DaemonClient, path: string, ui: Ui, work: () => Promise<T>): Promise<T> {
  const over = new AbortController()
  const show = byteProgress(ui, 'hashing', `hashing ${path}`)
  const watch = async (): Promise<void> => {
    for await (const hashing of client.hashing(over.signal))
      if (hashing.path === resolve(path)) show(hashing.bytesDone, hashing.bytesTotal)
  }
  const watching = watch().catch(() => {})
  try {
    return await work()
  } finally {
    over.abort()
    await watching
    ui.clear()
  }
}

async function untilComplete(
  client: DaemonClient,
  task: Task,
  { signal, timeoutMs, ui, freshUrl }: { signal: AbortSignal; timeoutMs: number; ui: Ui; freshUrl: FreshUrl | undefined }
): Promise<Task> {
  const stalled = new AbortController()
  let lastBytes = -1
  let timer: NodeJS.Timeout | undefined
  let last = task
  try {
    for await (const state of client.follow(task.id, AbortSignal.any([signal, stalled.signal]))) {
      last = state
      if (state.bytesDone !== lastBytes && timeoutMs > 0) {
        lastBytes = state.bytesDone
        clearTimeout(timer)
        timer = setTimeout(() => stalled.abort(), timeoutMs)
      }
      if (state.state === 'complete') return state
      if (state.state === 'failed') {
        if (await refreshOrigin(client, state, freshUrl, ui)) continue
        throw failureOf(state)
      }
      if (state.state === 'cancelled') throw new SwarmError('aborted', 'somebody cancelled the task', { id: state.id })
      ui.progress(
        () => taskLines(state),
        () => ({ id: state.id, ...taskFields(state) })
      )
    }
    throw new SwarmError('aborted', 'somebody deleted the task', { id: task.id })
  } catch (err) {
    ui.clear()
    if (stalled.signal.aborted)
      throw new StalledError(`no new piece for ${formatDuration(timeoutMs)}: ${last.waitingFor ?? last.state}`, { id: task.id })
    if (signal.aborted) {
      ui.remark(`the daemon goes on with it; 'swarm status' shows it`)
      throw signal.reason
    }
    throw err
  } finally {
    clearTimeout(timer)
    ui.clear()
  }
}

/**
 * The daemon's task failed because its origins refused: gives it the URL that the user's command knows. False
 * when there is none.
 */
async function refreshOrigin(client: DaemonClient, task: Task, freshUrl: FreshUrl | undefined, ui: Ui): Promise<boolean> {
  const { error } = task
  if (freshUrl === undefined || error?.code !== 'origin_failed' || error.details.fault !== 'refused') return false
  try {
    const url = await freshUrl(String(error.details.url), error.message)
    if (url === undefined) return false
    await client.updateTask(task.id, { origins: [url] })
    return true
  } catch (err) {
    ui.remark((err as Error).message)
    return false
  }
}

function failureOf(task: Task): SwarmError {
  const { code, message, details } = task.error ?? { code: 'internal', message: 'the task failed', details: {} }
  return new SwarmError(code as SwarmErrorCode, message, details)
}

/** The daemon has another current folder; "into this folder" is said with a slash at the end. */
function absoluteOutput(output: string | undefined): string {
  if (output === undefined || output === '') return `${process.cwd()}${sep}`
  return /[/\\]$/.test(output) ? `${resolve(output)}${sep}` : resolve(output)
}

function originLimitsOf({ originLimit, originConnections }: GetFlags): AddTask['originLimits'] {
  if (originLimit === undefined && originConnections === undefined) return undefined
  return defined({ bytesPerSecond: originLimit, connections: originConnections })
}

function limitsOf(flags: { uploadLimit?: number; downloadLimit?: number }): Task['limits'] | undefined {
  if (flags.uploadLimit === undefined && flags.downloadLimit === undefined) return undefined
  return { uploadBytesPerSecond: flags.uploadLimit ?? 0, downloadBytesPerSecond: flags.downloadLimit ?? 0 }
}
