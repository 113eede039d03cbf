/**
 * The daemon, composed: a node, its tasks on disk, limits, folders and the HTTP server in front.
 *
 * Invariants: HTTP answers before contents are opened again (`/readyz` tells); `stop` refuses new requests, lets running ones end within a
 * bound, stores everything, leaves the swarms, and leaves no file that says we run. Called by `swarm daemon` and by tests.
 */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { mountApi } from './api/api.ts'
import { readVersion } from './api/version.ts'
import { MAX_MANIFEST_BYTES } from './content/manifest.ts'
import { Access } from './daemon/access/access.ts'
import { newSecret } from './daemon/access/secrets.ts'
import { AuditLog } from './daemon/audit.ts'
import { Bans } from './daemon/bans.ts'
import { FolderScanner } from './daemon/folders.ts'
import { LimitBoard } from './daemon/limits.ts'
import { DaemonMetrics } from './daemon/metrics.ts'
import { type DaemonOptions, isLoopback } from './daemon/options.ts'
import { Refusals } from './daemon/refusals.ts'
import { removeRendezvous, writeRendezvous } from './daemon/rendezvous.ts'
import { type AdoptionInit, adoptDownloads } from './daemon/tasks/adoption.ts'
import { TaskQueue } from './daemon/tasks/queue.ts'
import { TaskStore } from './daemon/tasks/task-store.ts'
import { UploadStore } from './daemon/uploads/upload-store.ts'
import { Uploads } from './daemon/uploads/uploads.ts'
import { StoreError } from './errors.ts'
import type { GatewayMeter } from './fronts/files/gateway.ts'
import { READER_BUDGET_BYTES, ReaderGate } from './fronts/files/reader-gate.ts'
import { fileRoutes } from './fronts/files/routes.ts'
import { tusRoutes } from './fronts/tus/routes.ts'
import type { Connections } from './http/connections.ts'
import { followCertificate, listen, openTls } from './http/listen.ts'
import { buildServer } from './http/server.ts'
import type { TlsPair } from './http/tls.ts'
import { createManifest } from './node/content.ts'
import { loadManifestParser } from './node/manifest-parser.ts'
import { createNode } from './node/node.ts'
import { openStateFolder } from './node/state-folder.ts'
import type { SwarmNode } from './node/types.ts'

export interface Daemon {
  /** Where HTTP listens, with the real port, or unix:/path. */
  readonly url: string
  /** Of the certificate; undefined without TLS. */
  readonly fingerprint: string | undefined
  readonly node: SwarmNode
  readonly options: DaemonOptions
  /** Idempotent. */
  stop(): Promise<void>
}

/** How long a reader may go on after `stop` was asked for. */
const STOP_GRACE_MS = 5000

/** Throws `InvalidOptionsError` (a second daemon, an address that is taken) or `StoreError`. */
export async function startDaemon(
  options: DaemonOptions,
  log = pino({ level: options.logLevel, name: 'swarm' })
): Promise<Daemon> {
  await openStateFolder(options.stateDir)
  for (const folder of [options.completeDir, options.incompleteDir]) {
    await mkdir(folder, { recursive: true }).catch(err => {
      throw new StoreError('cannot make the folder', folder, err)
    })
  }
  const store = new TaskStore(join(options.stateDir, 'tasks.sqlite'))
  const undo: (() => Promise<void> | void)[] = [() => store.close()]
  const notices: string[] = []
  if (store.loss !== undefined) {
    notices.push(store.loss.text)
    log.error({ path: store.path }, store.loss.text)
  }
  try {
    const parseManifest = await loadManifestParser()
    const limits = new LimitBoard(options.limits, store)
    undo.unshift(() => limits.stop())
    const node = await createNode({
      ...options.node,
      warn: line => log.warn(line),
      uploadBytesPerSecond: limits.inForce.uploadBytesPerSecond,
      downloadBytesPerSecond: limits.inForce.downloadBytesPerSecond
    })
    undo.unshift(() => node.stop())
    if (node.identityTakenBy !== undefined)
      log.warn(
        { peer: node.peer },
        `${node.identityTakenBy} has this state folder's identity: until a restart this node is another peer`
      )
    node.setLimits(limits.inForce)
    const bans = new Bans((facts, message) => log.warn(facts, message))
    const queue = new TaskQueue({
      onPeer: (change, root) => bans.record(change, root),
      node,
      store,
      parseManifest,
      hashOf: async (path, { name, pieceLength }) =>
        (await createManifest(path, { stateDir: options.stateDir, name, pieceLength })).root,
      completeDir: options.completeDir,
      incompleteDir: options.incompleteDir,
      limits: () => limits.inForce,
      quotaBytes: () => limits.limits.quotaBytes,
      stallMs: options.stallMs,
      log
    })
    undo.unshift(() => queue.stop())
    const uploadStore = new UploadStore(options.stateDir, join(options.incompleteDir, 'uploads'))
    const { maxUploadBytes: maxBytes, uploadExpiryMs: expiryMs } = options
    const uploads = new Uploads({
      store: uploadStore,
      contents: queue.contents,
      adopt: (manifest, path) => queue.addFound(manifest, path, 'get'),
      stateDir: options.stateDir,
      completeDir: options.completeDir,
      maxBytes,
      quotaBytes: () => limits.limits.quotaBytes,
      expiryMs,
      log
    })
    undo.unshift(() => uploads.stop())
    const scanner = new FolderScanner({
      folders: options.folders,
      parseManifest,
      addFound: (manifest, path) => queue.addFound(manifest, path),
      maxManifestBytes: MAX_MANIFEST_BYTES,
      log
    })
    undo.unshift(() => scanner.stop())
    limits.onChange(() => {
      node.setLimits(limits.inForce)
      queue.pump()
      void queue.keepQuota().catch(err => log.warn({ err }, 'the quota could not be kept'))
    })

    let stopping = false
    const localSecret = newSecret()
    const metrics = new DaemonMetrics({ node, contents: queue.contents, limits, bans })
    const refusals = new Refusals(metrics.registry, log)
    undo.unshift(() => refusals.stop())
    const audit =
      options.auditLog === undefined
        ? undefined
        : new AuditLog(options.auditLog, {
            onFault: err => log.warn({ err, path: options.auditLog }, 'the audit log cannot be written')
          })
    undo.unshift(() => audit?.close())
    const { stateDir, token, isOpen } = options
    const access = new Access({ stateDir, token, isOpen, localSecret, refusals })
    const tls = openTls(options)
    const version = readVersion()
    const api = {
      version,
      startedMs: Date.now(),
      options,
      node,
      queue,
      limits,
      uploads,
      scanner,
      metrics,
      access,
      parseManifest,
      isStopping: () => stopping,
      notices
    }
    const app = await buildServer({
      version,
      options,
      access,
      contents: queue.contents,
      audit,
      refusals,
      metrics,
      tls: tls?.pair,
      log,
      mount: async (app, connections) => {
        await mountApi(app, api)
        await app.register(fileRoutes, { contents: queue.contents, meter: gatewayMeter({ metrics, connections, refusals }) })
        await app.register(tusRoutes, {
          uploads,
          completeDir: options.completeDir,
          maxBytes,
          expiryMs,
          corsOrigins: options.corsOrigins
        })
      }
    })
    const url = await listen(app, options)
    undo.unshift(async () => {
      const grace = setTimeout(() => app.server.closeAllConnections(), STOP_GRACE_MS)
      await app.close()
      clearTimeout(grace)
    })
    const announce = (fingerprint: string | undefined): Promise<void> =>
      writeRendezvous(stateDir, { url, secret: localSecret, pid: process.pid, fingerprint })
    await announce(tls?.pair.fingerprint)
    if (tls !== undefined) {
      const onChange = ({ fingerprint }: TlsPair): void => void announce(fingerprint)
      undo.unshift(followCertificate(app, tls.files, { onChange, log }))
    }
    undo.unshift(() => removeRendezvous(options.stateDir, process.pid))

    queue.start()
    if (store.loss !== undefined) void adoptLost({ node, queue, notices, stateDir: options.stateDir, log })
    scanner.scan().catch(err => log.warn({ err }, 'scan failed'))
    if (options.watch) scanner.watch()
    log.info(
      { url, peer: node.peer, addresses: node.addresses(), stateDir: options.stateDir, tasks: queue.contents.countByState() },
      'daemon listens'
    )
    if (options.socket === undefined && options.tls === undefined && !isLoopback(options.http.host))
      log.warn({ host: options.http.host }, 'no TLS beyond loopback: who is on the way reads tokens and contents')

    let stopped: Promise<void> | undefined
    const stop = async (): Promise<void> => {
      stopping = true
      log.info('daemon stops')
      for (const step of undo) await step()
      log.info('daemon stopped')
    }
    return {
      url,
      fingerprint: tls?.pair.fingerprint,
      node,
      options,
      stop: () => {
        stopped ??= stop()
        return stopped
      }
    }
  } catch (err) {
    for (const step of undo) await step()
    throw err
  }
}

/** What the gateway counts, and how its readers are bounded. */
function gatewayMeter(parts: { metrics: DaemonMetrics; connections: Connections; refusals: Refusals }): GatewayMeter {
  const { metrics, connections, refusals } = parts
  return {
    gate: new ReaderGate({
      budgetBytes: READER_BUDGET_BYTES,
      onStalled: address => refusals.record('reader_stalled', address)
    }),
    readerCame: socket => {
      metrics.readerCame()
      connections.readerMoved(socket)
    },
    readerLeft: () => metrics.readerLeft(),
    sent: (bytes, socket) => {
      metrics.sent(bytes)
      connections.readerMoved(socket)
    }
  }
}

/** Never rejects. */
async function adoptLost(
  init: Pick<AdoptionInit, 'node' | 'stateDir' | 'log'> & { queue: TaskQueue; notices: string[] }
): Promise<void> {
  const { queue, notices, log } = init
  const text = await adoptDownloads({
    ...init,
    isKnown: root => queue.contents.ofRoot(root) !== undefined,
    adopt: (manifest, path) => queue.addFound(manifest, path, 'get')
  }).catch(err => log.warn({ err }, 'lost downloads could not be looked for'))
  if (text === undefined) return
  notices.push(text)
  log.warn({}, text)
}
