/**
 * A running peer: one host, one identity, many transfers. The composition root of the library.
 *
 * Invariants: one transfer per root; `stop` closes every transfer before the host, so that announcements are
 * withdrawn; nothing outlives `stop`. Created by {@link createNode}.
 */

import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { HashFunction } from '../content/hash.ts'
import { isLink } from '../content/link.ts'
import type { Manifest } from '../content/manifest.ts'
import { encodePieceList } from '../content/piece-list.ts'
import type { PeerSource } from '../engine/contract.ts'
import { InvalidOptionsError, StoreError } from '../errors.ts'
import { createHost } from '../network/host.ts'
import type { Host } from '../network/types.ts'
import { checkOrigins } from '../origin/settings.ts'
import { openFileStore } from '../store/download/file-store.ts'
import { listReceipts } from '../store/download/receipt.ts'
import { removeDownload } from '../store/download/remove-download.ts'
import { keepReceipt, takeBackDownload } from '../store/download/repair-download.ts'
import { loadHasher } from '../store/hasher.ts'
import { inspectOutput } from '../store/inspect-output.ts'
import type { PieceStore } from '../store/piece-store.ts'
import { openSeedStore } from '../store/seed-store.ts'
import { RateBudget } from '../util/rate-budget.ts'
import { splitPeerHint } from './address-book.ts'
import { claimIdentity, type IdentityClaim } from './identity-claim.ts'
import { fetchManifest, readManifestFile, rootBytes } from './manifest-search.ts'
import { prepareSeed } from './manifests.ts'
import { checkOriginSettings, checkRate, parsePeerHint, type ResolvedNodeOptions, resolveNodeOptions } from './options.ts'
import { SwarmTransfer } from './transfer.ts'
import type {
  FinishedDownload,
  GetOptions,
  NodeLimits,
  NodeOptions,
  OriginSettings,
  RemoveOptions,
  RemoveReport,
  SeedOptions,
  SwarmNode,
  Transfer
} from './types.ts'
import { UploadCount } from './upload-count.ts'
import { UploadSlots } from './upload-slots.ts'

/**
 * Starts a node. Throws `InvalidOptionsError` for options that cannot be, `StoreError` when the state folder
 * cannot be used.
 */
export async function createNode(options: Partial<NodeOptions> = {}): Promise<SwarmNode> {
  const resolved = resolveNodeOptions(options)
  const claim = await claimIdentity(resolved.stateDir)
  try {
    const stateDir = claim.takenBy === undefined ? resolved.stateDir : undefined
    const [{ hash }, host] = await Promise.all([loadHasher(), createHost({ ...resolved, stateDir })])
    return new LibraryNode(resolved, host, hash, claim)
  } catch (err) {
    await claim.release()
    throw err
  }
}

interface JoinInit {
  manifest: Manifest
  pieceList: Uint8Array
  store: PieceStore
  path: string
  peers: readonly { peer: string; address: string }[]
  timeoutMs: number
  origins: readonly string[]
  origin: Partial<OriginSettings>
}

class LibraryNode implements SwarmNode {
  readonly #options: ResolvedNodeOptions
  readonly #host: Host
  readonly #hash: HashFunction
  readonly #claim: IdentityClaim
  readonly #uploadBudget: RateBudget
  readonly #downloadBudget: RateBudget
  readonly #uploadSlots = new UploadSlots()
  readonly #uploadCount = new UploadCount()
  readonly #transfers = new Map<string, SwarmTransfer>()
  readonly #stopping = new AbortController()
  #stopped: Promise<void> | undefined

  constructor(options: ResolvedNodeOptions, host: Host, hash: HashFunction, claim: IdentityClaim) {
    this.#options = options
    this.#host = host
    this.#hash = hash
    this.#claim = claim
    this.#uploadBudget = new RateBudget(options.uploadBytesPerSecond, performance.now())
    this.#downloadBudget = new RateBudget(options.downloadBytesPerSecond, performance.now())
  }

  get peer(): string {
    return this.#host.peer
  }

  get identityTakenBy(): string | undefined {
    return this.#claim.takenBy
  }

  addresses(): string[] {
    return this.#host.addresses()
  }

  transfers(): Transfer[] {
    return [...this.#transfers.values()]
  }

  uploads(): { active: number; most: number } {
    const { active, most } = this.#uploadCount
    return { active, most }
  }

  refusals(): ReadonlyMap<string, number> {
    return this.#host.refusals
  }

  setLimits({ uploadBytesPerSecond, downloadBytesPerSecond, maxUploads }: Partial<NodeLimits>): void {
    const nowMs = performance.now()
    if (uploadBytesPerSecond !== undefined)
      this.#uploadBudget.setRate(checkRate(uploadBytesPerSecond, 'uploadBytesPerSecond'), nowMs)
    if (downloadBytesPerSecond !== undefined)
      this.#downloadBudget.setRate(checkRate(downloadBytesPerSecond, 'downloadBytesPerSecond'), nowMs)
    if (maxUploads !== undefined) this.#uploadSlots.limit = maxUploads
    // Engines that wait for the old rate look again.
    for (const transfer of this.#transfers.values()) transfer.setLimits({})
  }

  async remove(manifest: Manifest, options: RemoveOptions): Promise<RemoveReport> {
    await this.#transfers.get(manifest.root)?.close()
    return removeDownload({ manifest, ...options, stateDir: this.#options.stateDir, hash: this.#hash })
  }

  downloads(): AsyncIterable<FinishedDownload> {
    return listReceipts(this.#options.stateDir, this.#hash)
  }

  async seed(path: string, options: SeedOptions = {}): Promise<Transfer> {
    const { origins = [] } = options
    checkOrigins(origins)
    const { manifest: hashed, stamps } = await prepareSeed(path, this.#options.stateDir, this.#hash, options)
    const manifest = origins.length === 0 ? hashed : { ...hashed, origins }
    if (options.isOurs === true)
      await keepReceipt({ manifest, output: resolve(path), stateDir: this.#options.stateDir, hash: this.#hash })
    const running = await this.#runningOf(manifest.root)
    if (running !== undefined) return running
    const store = await openSeedStore({ manifest, path: resolve(path), stamps, hash: this.#hash })
    return this.#join({
      manifest,
      pieceList: encodePieceList(manifest),
      store,
      path: resolve(path),
      peers: [],
      timeoutMs: 0,
      origins: [],
      origin: {}
    })
  }

  async get(source: string | Manifest, options: GetOptions = {}): Promise<Transfer> {
    const signal = options.signal === undefined ? this.#stopping.signal : AbortSignal.any([options.signal, this.#stopping.signal])
    const peers = (options.peers ?? []).map(text => parsePeerHint(text, 'peers'))
    const timeoutMs = options.timeoutMs ?? 0
    const { manifest, pieceList } = await this.#manifestOf(source, { peers, timeoutMs, signal, options })
    const running = await this.#runningOf(manifest.root)
    if (running !== undefined) {
      running.discover(hintsOf(manifest, peers))
      if (options.origins !== undefined && options.origins.length > 0) running.setOrigins(options.origins)
      return running
    }
    checkOrigins(options.origins ?? [])
    checkOriginSettings(options.origin ?? {})
    const origins = [...new Set([...(options.origins ?? []), ...(manifest.origins ?? [])])]
    const path = await outputPath(manifest, options.output)
    options.onStatus?.({ state: 'checking', text: `checking what is already at ${path}` })
    const onChecked = (done: number, total: number): void =>
      options.onStatus?.({ state: 'checking', text: `checking what is already at ${path}`, done, total })

    const only = options.only === undefined ? {} : { only: options.only }
    const incompleteDir = options.incompleteDir === undefined ? {} : { incompleteDir: options.incompleteDir }
    const inPlace = await this.#openInPlace(manifest, path, options, signal, onChecked)
    if (inPlace !== undefined)
      return this.#join({ manifest, pieceList, store: inPlace, path, peers, timeoutMs, origins, origin: {} })
    const { stateDir } = this.#options
    const hash = this.#hash
    if (options.repair === true) await takeBackDownload({ manifest, output: path, ...only, ...incompleteDir, stateDir, hash })
    const found = await inspectOutput(manifest, path, {
      hash,
      stateDir,
      ...only,
      signal,
      onProgress: onChecked
    })
    if (found === 'differs' && options.repair === true)
      throw new InvalidOptionsError(`${path} is not what this download put there; move it away and try again`, { path })
    if (found === 'differs' && options.force !== true) {
      throw new InvalidOptionsError(
        `${path} exists and is not "${manifest.name}" of this manifest; use --force to overwrite it, or --output`,
        {
          path
        }
      )
    }
    const store = await openFileStore({
      manifest,
      output: path,
      ...only,
      ...incompleteDir,
      stateDir,
      hash,
      signal,
      onChecked
    })
    return this.#join({ manifest, pieceList, store, path, peers, timeoutMs, origins, origin: options.origin ?? {} })
  }

  /**
   * The content when all of it is at `path` already. Goes through the hash cache, so that a daemon that
   * starts again does not read everything it has. Undefined when something else, or not all of it, is there.
   */
  async #openInPlace(
    manifest: Manifest,
    path: string,
    options: GetOptions,
    signal: AbortSignal,
    onHashed: (done: number, total: number) => void
  ): Promise<PieceStore | undefined> {
    if (options.only !== undefined) return undefined
    const found = await stat(path).catch(() => undefined)
    const isFolder = manifest.files !== undefined
    if (found === undefined || found.isDirectory() !== isFolder || (!isFolder && found.size !== manifest.length)) return undefined
    const { pieceLength, name } = manifest
    const there = await prepareSeed(path, this.#options.stateDir, this.#hash, { pieceLength, name, signal, onHashed }).catch(
      err => {
        signal.throwIfAborted()
        // A folder that holds what cannot be shared may still hold all that the manifest names.
        if (err instanceof InvalidOptionsError) return undefined
        throw err
      }
    )
    if (there?.manifest.root !== manifest.root) return undefined
    return openSeedStore({ manifest, path, stamps: there.stamps, hash: this.#hash })
  }

  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      this.#stopping.abort()
      await Promise.all([...this.#transfers.values()].map(transfer => transfer.close()))
      await this.#host.stop()
      await this.#claim.release()
    })()
    return this.#stopped
  }

  async #manifestOf(
    source: string | Manifest,
    context: { peers: readonly { peer: string; address: string }[]; timeoutMs: number; signal: AbortSignal; options: GetOptions }
  ): Promise<{ manifest: Manifest; pieceList: Uint8Array }> {
    if (typeof source === 'string' && isLink(source)) {
      const { onStatus } = context.options
      return fetchManifest(source, this.#host, this.#hash, { ...context, ...(onStatus === undefined ? {} : { onStatus }) })
    }
    const manifest = typeof source === 'string' ? await readManifestFile(source, this.#hash) : source
    return { manifest, pieceList: encodePieceList(manifest) }
  }

  /**
   * One that failed a moment ago still has the content's files open: it is waited for, never given to who
   * asks again.
   */
  async #runningOf(root: string): Promise<SwarmTransfer | undefined> {
    const running = this.#transfers.get(root)
    if (running?.isEnding !== true) return running
    await running.close().catch(() => {})
    return undefined
  }

  #join({ manifest, pieceList, store, path, peers, timeoutMs, origins, origin }: JoinInit): SwarmTransfer {
    const { root } = manifest
    const transfer = new SwarmTransfer({
      host: this.#host,
      manifest,
      root: rootBytes(root),
      pieceList,
      store,
      path,
      labels: this.#options.labels,
      engine: { maxNeighbours: this.#options.maxNeighbours, policy: this.#options.policy },
      uploadBudget: this.#uploadBudget,
      downloadBudget: this.#downloadBudget,
      uploadSlots: this.#uploadSlots,
      uploadCount: this.#uploadCount,
      hints: hintsOf(manifest, peers),
      timeoutMs,
      origins,
      originOptions: { ...this.#options.origin, ...definedOnly(origin) },
      onClosed: () => this.#transfers.delete(root)
    })
    this.#transfers.set(root, transfer)
    transfer.start()
    return transfer
  }
}

/** Without the fields that are undefined, which must not hide defaults. */
function definedOnly<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>
}

type Hints = { peer: string; addresses: string[]; source: PeerSource }[]

/** Peers named by the caller, then those that the manifest names. */
function hintsOf(manifest: Manifest, peers: readonly { peer: string; address: string }[]): Hints {
  const hints: Hints = []
  for (const { peer, address } of peers) hints.push({ peer, addresses: [address], source: 'given' })
  for (const text of manifest.peers ?? []) {
    const hint = splitPeerHint(text)
    if (hint !== undefined) hints.push({ peer: hint.peer, addresses: [hint.address], source: 'hint' })
  }
  return hints
}

/**
 * Where the content goes: into `output` when that is a folder (or says so by a trailing slash), else to
 * `output` itself.
 */
async function outputPath(manifest: Manifest, output: string | undefined): Promise<string> {
  if (output === undefined || output === '') return resolve(manifest.name)
  if (/[/\\]$/.test(output)) return resolve(output, manifest.name)
  try {
    const isFolder = (await stat(output)).isDirectory()
    return isFolder ? join(resolve(output), manifest.name) : resolve(output)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return resolve(output)
    throw new StoreError('cannot look at the output', output, err)
  }
}
