/**
 * `swarm seed <path>`: hash in place, write the manifest, say how to get it, and serve until stopped.
 *
 * Stopping is the way it ends, so a clean stop exits with 0.
 */

import { createWriteStream } from 'node:fs'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { InvalidOptionsError, StoreError } from '../errors.ts'
import { writeManifest } from '../node/manifests.ts'
import type { Transfer } from '../node/types.ts'
import { formatDuration } from '../util/sizes.ts'
import { manifestTarget } from './create.ts'
import { describeContent, manifestFields, reportSkipped } from './describe.ts'
import { byteProgress } from './hashing.ts'
import { interruptible } from './interrupt.ts'
import { defined, type NodeFlags, nodeOptionsOf } from './options.ts'
import { followEvents, progressFields, reportServed, servingLine, trafficFields } from './transfer-report.ts'
import type { Ui } from './ui.ts'
import { type DaemonClientFlags, daemonFor } from './use-daemon.ts'

export interface SeedFlags extends NodeFlags, DaemonClientFlags {
  output?: string
  force?: boolean
  name?: string
  pieceLength?: number
  rehash?: boolean
  origin?: string[]
}

export async function seed(path: string, flags: SeedFlags, ui: Ui): Promise<number> {
  using interrupt = interruptible(ui)
  const { signal } = interrupt
  await using input = path === '-' ? await spool(flags.name ?? 'stdin', signal) : { path, [Symbol.asyncDispose]: async () => {} }
  await stat(input.path).catch(err => {
    throw new InvalidOptionsError(
      `cannot seed ${path}: ${err.code === 'ENOENT' ? 'no such file or folder' : err.message}`,
      { path },
      err
    )
  })
  // What comes from standard input lives as long as this command, so it is served by this command.
  const daemon = path === '-' ? undefined : await daemonFor(flags, ui)
  if (daemon !== undefined) {
    const { seedThroughDaemon } = await import('./daemon-tasks.ts')
    // Awaited: until it is over an interrupt is ours to answer.
    return await seedThroughDaemon(daemon, input.path, flags, signal, ui)
  }
  // Imported late, so that bad input is told at once instead of after libp2p has loaded.
  const { createNode } = await import('../node/node.ts')
  const node = await createNode(nodeOptionsOf(flags))
  if (node.identityTakenBy !== undefined)
    ui.remark(`${node.identityTakenBy} has this state folder's identity: this node is another peer, and only while it runs`)
  try {
    const options = defined({ name: flags.name, pieceLength: flags.pieceLength, rehash: flags.rehash, origins: flags.origin })
    const transfer = await node.seed(input.path, {
      signal,
      onHashed: byteProgress(ui, 'hashing', `hashing ${path}`),
      onSkipped: entries => reportSkipped(ui, entries),
      ...options
    })
    ui.clear()
    followEvents(ui, transfer)
    const target = manifestTarget(transfer.manifest, flags.output)
    await writeManifest({ ...transfer.manifest, peers: transfer.hints() }, target, flags.force === true)
    announce(ui, transfer, target, node.peer)
    await serveUntil(signal, transfer, ui)
    return 0
  } finally {
    await node.stop()
  }
}

function announce(ui: Ui, transfer: Transfer, target: string, peer: string): void {
  const link = transfer.link()
  ui.event('seeding', {
    ...manifestFields(transfer.manifest),
    manifest: resolve(target),
    link,
    peer,
    addresses: transfer.hints()
  })
  ui.essential(link)
  for (const line of describeContent(transfer.manifest)) ui.result(line)
  ui.result(`manifest  ${target}`)
  ui.result(`link      ${link}`)
  for (const address of transfer.hints()) ui.result(`address   ${address}`)
  ui.result(`others run:  swarm get '${link}'`)
  ui.remark('serving until stopped (Ctrl-C)')
}

/** Serves, showing the live line, until the signal aborts; then says who took what. */
export async function serveUntil(signal: AbortSignal, transfer: Transfer, ui: Ui): Promise<void> {
  const startedMs = performance.now()
  const stopFollowing = transfer.on('progress', snapshot =>
    ui.progress(
      () => [servingLine(snapshot)],
      () => progressFields(snapshot)
    )
  )
  if (!signal.aborted) await new Promise(wake => signal.addEventListener('abort', wake, { once: true }))
  stopFollowing()
  ui.clear()
  const snapshot = transfer.snapshot()
  const elapsedMs = performance.now() - startedMs
  ui.event('served', { ...trafficFields(snapshot), elapsedMs: Math.round(elapsedMs) })
  reportServed(ui, snapshot)
  ui.remark(`served for ${formatDuration(elapsedMs)}`)
}

/** Names the machine too: process ids of another one that shares the folder mean nothing here. */
const SPOOL = `swarm-stdin-${hostname()}-`

/** Standard input kept in a temporary folder while it is served: unlike a file it cannot be read twice. */
async function spool(name: string, signal: AbortSignal): Promise<AsyncDisposable & { path: string }> {
  if (process.stdin.isTTY === true)
    throw new InvalidOptionsError("'-' reads standard input, which is this terminal; pipe something into it")
  if (name === '' || /[/\\]/.test(name)) throw new InvalidOptionsError(`--name: '${name}' is no file name`)
  await sweepSpools()
  const folder = await mkdtemp(join(tmpdir(), `${SPOOL}${process.pid}-`))
  const path = join(folder, name)
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    await pipeline(process.stdin, createWriteStream(path, { mode: 0o600 }), { signal })
  } catch (err) {
    await dispose()
    signal.throwIfAborted()
    throw new StoreError('cannot keep standard input', path, err)
  }
  return { path, [Symbol.asyncDispose]: dispose }
}

/** Deletes what a killed process of this machine left behind. */
async function sweepSpools(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    const pid = name.startsWith(SPOOL) ? /^(\d+)-/.exec(name.slice(SPOOL.length))?.[1] : undefined
    if (pid !== undefined && !isRunning(Number(pid)))
      await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {})
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return (err as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
