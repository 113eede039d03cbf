/**
 * The daemon, composed: a node, its tasks on disk, limits, folders and the HTTP server in front.
 *
 * Invariants: HTTP answers before contents are opened again (`/readyz` tells); `stop` refuses new requests,
 * lets running ones end within a bound, stores everything, leaves the swarms, and leaves no file that says we
 * run. Called by `swarm daemon` and by tests.
 */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger, pino } from 'pino'
import { mountApi } from './api/api.ts'
import { readVersion } from './api/version.ts'
import { MAX_MANIFEST_BYTES } from './content/manifest.ts'
import { Access } from './daemon/access/access.ts'
import { newSecret } from './daemon/access/secrets.ts'
import { AuditLog } from './daemon/audit.ts'
import { Bans } from './daemon/bans.ts'
import { removeDaemonFile, writeDaemonFile } from './daemon/daemon-file.ts'
import { FolderScanner } from './daemon/folders.ts'
import { LimitBoard } from './daemon/limits.ts'
import { DaemonMetrics } from './daemon/metrics.ts'
import { type DaemonOptions, isLoopback } from './daemon/options.ts'
import { Refusals } from './daemon/refusals.ts'
import { type AdoptionInit, adoptDownloads } from './daemon/tasks/adoption.ts'
import { TaskQueue } from './daemon/tasks/queue.ts'
import { TaskStore } from './daemon/tasks/task-store.ts'
import { GrowingUploads } from './daemon/uploads/growing.ts'
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
import { loadManifestParser } from './node/manifest-parser.ts'
import { createManifest } from './node/manifests.ts'
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

/** What a stop does, the last begun first. */
type Undo = (() => Promise<void> | void)[]

/** Throws `InvalidOptionsError` (a second daemon, an address that is taken) or `StoreError`. */
export async function startDaemon(
  options: DaemonOptions,
  log: Logger = pino({ level: options.logLevel, name: 'swarm' })
): Promise<Daemon> {
  await makeFolders(options)
  const undo: Undo = []
  const state = { isStopping: false }
  const stop = async (): Promise<void> => {
    state.isStopping = true
    log.info('daemon stops')
    for (const step of undo) await step()
    log.info('daemon stopped')
  }
  try {
    const parts = await openParts(options, log, undo)
    const { url, fingerprint } = await serve({ options, parts, undo, log, isStopping: () => state.isStopping })
    begin(options, parts, log)
    const { node, queue } = parts
    const tasks = queue.contents.countByState()
    log.info({ url, peer: node.peer, addresses: node.addresses(), stateDir: options.stateDir, tasks }, 'daemon listens')
    let stopped: Promise<void> | undefined
    return {
      url,
      fingerprint,
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

async function makeFolders({ stateDir, completeDir, incompleteDir }: DaemonOptions): Promise<void> {
  await openStateFolder(stateDir)
  for (const folder of [completeDir, incompleteDir]) {
    await mkdir(folder, { recursive: true }).catch(err => {
      throw new StoreError('cannot make the folder', folder, err)
    })
  }
}

type Parts = Awaited<ReturnType<typeof openParts>>

/** All that a daemon is without its HTTP. */
async function openParts(options: DaemonOptions, log: Logger, undo: Undo) {
  const { stateDir, completeDir, incompleteDir } = options
  const store = new TaskStore(join(stateDir, 'tasks.sqlite'))
  undo.unshift(() => store.close())
  const notices: string[] = store.loss === undefined ? [] : [store.loss.text]
  if (store.loss !== undefined) log.error({ path: store.path }, store.loss.text)
  const parseManifest = await loadManifestParser()
  const limits = new LimitBoard(options.limits, store)
  undo.unshift(() => limits.stop())
  const quotaBytes = (): number => limits.limits.quotaBytes
  const node = await openNode(options, limits, log)
  undo.unshift(() => node.stop())
  const bans = new Bans((facts, message) => log.warn(facts, message))
  const queue = new TaskQueue({
    onPeer: (change, root) => bans.record(change, root),
    node,
    store,
    parseManifest,
    hashOf: async (path, { name, pieceLength }) => (await createManifest(path, { stateDir, name, pieceLength })).root,
    completeDir,
    incompleteDir,
    limits: () => limits.inForce,
    quotaBytes,
    stallMs: options.stallMs,
    log
  })
  undo.unshift(() => queue.stop())
  limits.onChange(() => {
    node.setLimits(limits.inForce)
    queue.pump()
    void queue.keepQuota().catch(err => log.warn({ err }, 'the quota could not be kept'))
  })
  const uploads = new Uploads({
    store: new UploadStore(stateDir, join(incompleteDir, 'uploads')),
    contents: queue.contents,
    adopt: (manifest, path) => queue.addFound(manifest, path, 'get'),
    stateDir,
    completeDir,
    maxBytes: options.maxUploadBytes,
    quotaBytes,
    expiryMs: options.uploadExpiryMs,
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
  return { store, notices, parseManifest, limits, node, bans, queue, uploads, scanner }
}

async function openNode(options: DaemonOptions, limits: LimitBoard, log: Logger): Promise<SwarmNode> {
  const { uploadBytesPerSecond, downloadBytesPerSecond } = limits.inForce
  const node = await createNode({
    ...options.node,
    warn: line => log.warn(line),
    uploadBytesPerSecond,
    downloadBytesPerSecond
  })
  node.setLimits(limits.inForce)
  if (node.identityTakenBy !== undefined) {
    const { peer, identityTakenBy } = node
    log.warn({ peer }, `${identityTakenBy} has this state folder's identity: until a restart this node is another peer`)
  }
  return node
}

interface ServeInit {
  options: DaemonOptions
  parts: Parts
  undo: Undo
  isStopping: () => boolean
  log: Logger
}

/** Puts the API and the fronts in front, and says in the state folder where they are. */
async function serve({
  options,
  parts,
  undo,
  isStopping,
  log
}: ServeInit): Promise<{ url: string; fingerprint: string | undefined }> {
  const { node, queue, limits, bans, uploads } = parts
  const { contents } = queue
  const { stateDir, token, isOpen } = options
  const metrics = new DaemonMetrics({ node, contents, limits, bans })
  const refusals = new Refusals(metrics.registry, log)
  undo.unshift(() => refusals.stop())
  const audit = openAudit(options, log)
  undo.unshift(() => audit?.close())
  const localSecret = newSecret()
  const access = new Access({ stateDir, token, isOpen, localSecret, refusals })
  const tls = openTls(options)
  const version = readVersion()
  const app = await buildServer({
    version,
    options,
    access,
    contents,
    audit,
    refusals,
    metrics,
    tls: tls?.pair,
    log,
    mount: async (app, connections) => {
      await mountApi(app, { ...parts, version, startedMs: Date.now(), options, metrics, access, isStopping })
      await app.register(fileRoutes, { contents, meter: gatewayMeter({ metrics, connections, refusals }) })
      const { completeDir, corsOrigins, maxUploadBytes: maxBytes, uploadExpiryMs: expiryMs } = options
      await app.register(tusRoutes, { uploads: new GrowingUploads(uploads), completeDir, maxBytes, expiryMs, corsOrigins })
    }
  })
  const url = await listen(app, options)
  undo.unshift(async () => {
    const grace = setTimeout(() => app.server.closeAllConnections(), STOP_GRACE_MS)
    await app.close()
    clearTimeout(grace)
  })
  const announce = (fingerprint: string | undefined): Promise<void> =>
    writeDaemonFile(stateDir, { url, secret: localSecret, pid: process.pid, fingerprint })
  await announce(tls?.pair.fingerprint)
  if (tls !== undefined) {
    const onChange = ({ fingerprint }: TlsPair): void => void announce(fingerprint)
    undo.unshift(followCertificate(app, tls.files, { onChange, log }))
  }
  undo.unshift(() => removeDaemonFile(stateDir, process.pid))
  return { url, fingerprint: tls?.pair.fingerprint }
}

function openAudit({ auditLog }: DaemonOptions, log: Logger): AuditLog | undefined {
  if (auditLog === undefined) return undefined
  return new AuditLog(auditLog, { onFault: err => log.warn({ err, path: auditLog }, 'the audit log cannot be written') })
}

/** Everything answers: contents are opened, folders looked through. */
function begin(options: DaemonOptions, { store, node, queue, scanner, notices }: Parts, log: Logger): void {
  queue.start()
  if (store.loss !== undefined) void adoptLost({ node, queue, notices, stateDir: options.stateDir, log })
  scanner.scan().catch(err => log.warn({ err }, 'scan failed'))
  if (options.watch) scanner.watch()
  if (options.socket === undefined && options.tls === undefined && !isLoopback(options.http.host))
    log.warn({ host: options.http.host }, 'no TLS beyond loopback: everybody on the way can read tokens and contents')
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
