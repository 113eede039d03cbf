/**
 * One swarm that the node takes part in, as its user sees it: state, progress, events, reading, lingering,
 * leaving.
 *
 * Invariants: `completed` settles exactly once; the file is in place before `complete` is told; `close` is
 * idempotent and leaves no timer behind. Created by node.ts; the work is done by driver.ts (peers) and the
 * store (disk).
 */

import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { Geometry } from '../content/geometry.ts'
import { formatLink } from '../content/link.ts'
import type { Manifest, PeerHint } from '../content/manifest.ts'
import type { SwarmSnapshot } from '../engine/snapshot.ts'
import { ContentChangedError, InvalidOptionsError, NoPeersError, type OriginError, StalledError, SwarmError } from '../errors.ts'
import type { Host } from '../network/types.ts'
import { checkOrigins } from '../origin/settings.ts'
import { downloadFault } from '../store/download/download-fault.ts'
import { PieceLostError, type PieceStore } from '../store/piece-store.ts'
import { createRandom } from '../util/random.ts'
import { SYSTEM_CLOCK } from './clock.ts'
import { type DriverInit, SwarmDriver } from './driver.ts'
import type { OriginSnapshot, PeerSnapshot, Transfer, TransferEvents, TransferLimits, TransferSnapshot } from './types.ts'

/** Neighbouring pieces as one chunk; `last` is the last of them. */
interface Run {
  last: number
  data: Uint8Array
}

export interface TransferInit {
  host: Host
  manifest: Manifest
  root: Uint8Array
  pieceList: Uint8Array
  store: PieceStore
  path: string
  labels: Readonly<Record<string, string>>
  engine: DriverInit['engine']
  uploadBudget: DriverInit['uploadBudget']
  downloadBudget: DriverInit['downloadBudget']
  uploadSlots: DriverInit['uploadSlots']
  uploadCount: DriverInit['uploadCount']
  hints: DriverInit['hints']
  origins: readonly string[]
  originOptions: DriverInit['originOptions']
  /** Fail after this long without a new piece; 0: never. */
  timeoutMs: number
  onClosed: () => void
}

const PROGRESS_INTERVAL_MS = 100
const TICK_MS = 1000
/**
 * Without any origin left and without a piece for this long the transfer ends with what is wrong with the
 * origin.
 */
const ORIGIN_GRACE_MS = 3000
const ORIGIN_GRACE_WITH_PEERS_MS = 60_000
/** A reader asks for this much ahead of where it is, in bytes (and at least four pieces). */
const READ_AHEAD_BYTES = 8 * 1024 * 1024
/**
 * Pieces that lie side by side are read and given out together up to this size: each chunk costs its taker a
 * turn of the event loop.
 */
const READ_RUN_BYTES = 1024 * 1024

export class SwarmTransfer implements Transfer {
  readonly root: string
  readonly manifest: Manifest
  readonly path: string
  readonly completed: Promise<void>

  readonly #init: TransferInit
  readonly #driver: SwarmDriver
  readonly #geometry: Geometry
  readonly #events = new EventEmitter()
  readonly #piecesWanted: number
  readonly #bytesWanted: number
  readonly #closing = new AbortController()
  #piecesDone: number
  #bytesDone: number
  #state: TransferSnapshot['state'] = 'downloading'
  #failure: SwarmError | undefined
  /** No origin is left; whether that ends the transfer depends on the peers. */
  #originFailure: { err: OriginError; sinceMs: number } | undefined
  #settle: { resolve: () => void; reject: (err: unknown) => void } = { resolve: () => {}, reject: () => {} }
  #lastPieceMs = performance.now()
  #everHadNeighbour = false
  #progressTimer: NodeJS.Timeout | undefined
  #ticker: NodeJS.Timeout
  #finishing = false
  #readers = 0
  #closed: Promise<void> | undefined

  constructor(init: TransferInit) {
    this.#init = init
    this.manifest = init.manifest
    this.root = init.manifest.root
    this.path = init.path
    this.#events.setMaxListeners(0)
    this.#geometry = new Geometry(init.manifest.length, init.manifest.pieceLength)
    this.completed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.completed.catch(() => {}) // a caller that only looks at events must not die of an unhandled rejection

    const isWanted = (piece: number): boolean => init.store.wanted.get(piece)
    let piecesWanted = 0
    let bytesWanted = 0
    let piecesDone = 0
    let bytesDone = 0
    for (let piece = 0; piece < this.#geometry.pieceCount; piece++) {
      if (!isWanted(piece)) continue
      const bytes = this.#geometry.pieceBytes(piece)
      piecesWanted++
      bytesWanted += bytes
      if (!init.store.have.get(piece)) continue
      piecesDone++
      bytesDone += bytes
    }
    this.#piecesWanted = piecesWanted
    this.#bytesWanted = bytesWanted
    this.#piecesDone = piecesDone
    this.#bytesDone = bytesDone

    this.#driver = new SwarmDriver({
      host: init.host,
      root: init.root,
      geometry: this.#geometry,
      store: init.store,
      labels: init.labels,
      clock: SYSTEM_CLOCK,
      random: createRandom(randomBytes(4).readUInt32LE()),
      engine: init.engine,
      uploadBudget: init.uploadBudget,
      downloadBudget: init.downloadBudget,
      uploadSlots: init.uploadSlots,
      uploadCount: init.uploadCount,
      pieceList: init.pieceList,
      hints: init.hints,
      origins: init.origins,
      originOptions: init.originOptions,
      events: {
        onPieceVerified: (piece, peer) => this.#handlePieceVerified(piece, peer, isWanted(piece)),
        onPieceLost: (pieces, message) => {
          for (const piece of pieces) {
            if (!isWanted(piece)) continue
            this.#piecesDone--
            this.#bytesDone -= this.#geometry.pieceBytes(piece)
          }
          this.#emit('warning', { code: 'content_changed', message })
        },
        onPeer: (peer, event, reason) => {
          if (event === 'joined') this.#everHadNeighbour = true
          this.#emit('peer', reason === undefined ? { peer, event } : { peer, event, reason })
          this.#scheduleProgress()
        },
        onStoreFailed: err => this.#handleStoreFailed(err),
        onReadFailed: err => this.#emit('warning', { code: 'store_error', message: (err as Error).message }),
        onOriginDead: err => {
          this.#originFailure = { err, sinceMs: performance.now() }
          this.#emit('warning', { code: err.code, message: err.message })
        },
        onOriginNote: message => this.#emit('warning', { code: 'origin', message }),
        onCompleted: () => void this.#finish(),
        onBug: err =>
          this.#fail(err instanceof SwarmError ? err : new SwarmError('internal', `engine failed: ${String(err)}`, {}, err))
      }
    })
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Joins the swarm; called once by the node. */
  start(): void {
    this.#driver.start()
    if (this.#piecesDone === this.#piecesWanted) void this.#finish()
  }

  /** More places to find peers at. */
  discover(hints: DriverInit['hints']): void {
    for (const { peer, addresses, source } of hints) this.#driver.discover(peer, addresses, source)
  }

  link(): string {
    const { root, manifest } = this
    const origins = manifest.origins === undefined ? {} : { origins: manifest.origins }
    return formatLink({ root, name: manifest.name, length: manifest.length, peers: this.hints(), ...origins })
  }

  hints(): PeerHint[] {
    return this.#init.host.addresses()
  }

  snapshot(): TransferSnapshot {
    const nowMs = performance.now()
    const engine = this.#driver.engine.snapshot()
    const downloadRate = this.#driver.traffic.down.rate(nowMs)
    const bytesLeft = this.#bytesWanted - this.#bytesDone
    const peers: PeerSnapshot[] = []
    for (const traffic of this.#driver.traffic.peers.values()) {
      const neighbour = engine.peers.find(({ peer }) => peer === traffic.peer)
      peers.push({
        peer: traffic.peer,
        address: traffic.address,
        encryption: traffic.encryption,
        piecesHeld: neighbour?.piecesHeld ?? 0,
        bytesDownloaded: traffic.down.total,
        bytesUploaded: traffic.up.total,
        downloadRate: traffic.down.rate(nowMs),
        uploadRate: traffic.up.rate(nowMs),
        rttMs: this.#init.host.rttMs(traffic.peer) ?? neighbour?.rttMs,
        connected: this.#driver.peers.has(traffic.peer)
      })
    }
    const isDownloading = this.#state === 'downloading'
    return {
      root: this.root,
      name: this.manifest.name,
      state: isDownloading && this.#driver.peers.size === 0 && this.#driver.traffic.origin.total === 0 ? 'finding' : this.#state,
      bytesTotal: this.#bytesWanted,
      bytesDone: this.#bytesDone,
      pieceCount: this.#piecesWanted,
      piecesDone: this.#piecesDone,
      downloadRate,
      uploadRate: this.#driver.traffic.up.rate(nowMs),
      etaMs: isDownloading && downloadRate > 0 ? (bytesLeft / downloadRate) * 1000 : undefined,
      neighbours: this.#driver.peers.size,
      peers,
      bytesWasted: this.#driver.traffic.bytesWasted,
      bytesDownloaded: this.#driver.traffic.down.total,
      bytesUploaded: this.#driver.traffic.up.total,
      origin: this.#originSnapshot(engine, nowMs),
      waitingFor: isDownloading && bytesLeft > 0 ? this.#waitingFor(engine.waitingFor) : undefined
    }
  }

  #originSnapshot({ keepers, isKeeper }: SwarmSnapshot, nowMs: number): OriginSnapshot | undefined {
    const urls = this.#driver.origins
    if (urls === undefined) return undefined
    const { origin: originMeter } = this.#driver.traffic
    return { bytes: originMeter.total, rate: originMeter.rate(nowMs), isKeeper, keepers: keepers.length, urls }
  }

  on<K extends keyof TransferEvents>(event: K, listener: (value: TransferEvents[K]) => void): () => void {
    this.#events.on(event, listener)
    return () => this.#events.off(event, listener)
  }

  pause(): void {
    if (this.#state !== 'downloading' && this.#state !== 'seeding') return
    this.#state = 'paused'
    this.#driver.handle({ type: 'paused' })
    this.#scheduleProgress()
  }

  resume(): void {
    if (this.#state !== 'paused') return
    this.#lastPieceMs = performance.now()
    this.#state = this.#piecesDone === this.#piecesWanted ? 'seeding' : 'downloading'
    this.#driver.handle({ type: 'resumed' })
    this.#scheduleProgress()
  }

  setOrigins(urls: readonly string[]): void {
    checkOrigins(urls)
    this.#originFailure = undefined
    this.#driver.setOrigins(urls)
  }

  setLimits(limits: Partial<TransferLimits>): void {
    this.#driver.handle({ type: 'limitsChanged', limits })
  }

  async *read({ start, end, signal, buffers }: Parameters<Transfer['read']>[0]): AsyncGenerator<Uint8Array> {
    if (!(start >= 0 && end <= this.manifest.length && start <= end)) {
      throw new InvalidOptionsError(`range [${start}, ${end}) is outside of the content's ${this.manifest.length} bytes`)
    }
    const range = this.#geometry.piecesOfRange(start, end)
    if (range === undefined) return
    const reader = `reader ${++this.#readers}`
    const ahead = Math.max(4, Math.ceil(READ_AHEAD_BYTES / this.#geometry.pieceLength))
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
    const { store } = this.#init
    const { pieceLength } = this.#geometry
    const longestRun = Math.min(range.last - range.first + 1, Math.max(1, Math.floor(READ_RUN_BYTES / pieceLength)))
    // Two take turns: the disk fills one while the caller works with the other.
    const readRun = (first: number, turn: number): Promise<Run> => {
      let last = first
      while (last < range.last && last - first + 1 < longestRun && store.have.get(last + 1)) last++
      const offset = this.#geometry.pieceOffset(first)
      const bytes = this.#geometry.pieceOffset(last) + this.#geometry.pieceBytes(last) - offset
      const lent = buffers?.[turn]
      if (first === last && lent === undefined) return store.read(first).then(data => ({ last, data }))
      const buffer = lent !== undefined && lent.byteLength >= bytes ? lent : Buffer.allocUnsafeSlow(bytes)
      const data = buffer.subarray(0, bytes)
      const reads = Array.from({ length: last - first + 1 }, async (_, index) => {
        const into = data.subarray(index * pieceLength, index * pieceLength + this.#geometry.pieceBytes(first + index))
        const piece = await store.read(first + index, into)
        // A store may give out what it holds in place of filling ours.
        if (piece.byteOffset !== into.byteOffset || piece.buffer !== into.buffer) into.set(piece)
      })
      return Promise.all(reads).then(() => ({ last, data }))
    }
    let next: Promise<Run> | undefined
    try {
      for (let piece = range.first, turn = 0; piece <= range.last; turn ^= 1) {
        stop.throwIfAborted()
        if (this.#state !== 'seeding') {
          const last = Math.min(range.last, piece + ahead - 1)
          this.#driver.handle({ type: 'readerMoved', reader, first: piece, last, deadlineMs: performance.now() })
        }
        while (!store.have.get(piece)) {
          if (!store.isWritable) throw new ContentChangedError(this.path)
          await once(this.#events, `have ${piece}`, { signal: stop })
        }
        const run = await (next ?? readRun(piece, turn)).catch(err => this.#losePieces(err))
        next = undefined
        // Lost under our feet: it is fetched again, or above is said that it cannot be.
        if (run === undefined) continue
        const { last, data } = run
        if (last < range.last && store.have.get(last + 1)) {
          next = readRun(last + 1, turn ^ 1)
          // Awaited one turn later, or never when the reader leaves; meanwhile a failure must not count as
          // unhandled.
          next.catch(() => {})
        }
        const offset = this.#geometry.pieceOffset(piece)
        yield data.subarray(Math.max(0, start - offset), Math.min(data.byteLength, end - offset))
        piece = last + 1
      }
    } catch (err) {
      if (err instanceof ContentChangedError) throw err
      if (this.#failure !== undefined) throw this.#failure
      if (this.#closing.signal.aborted && signal?.aborted !== true)
        throw new StalledError('the transfer was closed while it was read')
      throw err
    } finally {
      this.#driver.handle({ type: 'readerLeft', reader })
      // The caller's buffers are its own again only when nothing fills them any more.
      if (buffers !== undefined) await next?.catch(() => {})
    }
  }

  /** What a reader met; anything but lost pieces is thrown. */
  #losePieces(err: unknown): undefined {
    if (!(err instanceof PieceLostError)) throw err
    this.#driver.losePieces(err)
    if (!this.#init.store.isWritable) throw new ContentChangedError(this.path)
  }

  availability(): { have: Uint8Array; holders: number[] } {
    return { have: this.#init.store.have.toBytes(), holders: this.#driver.engine.holders() }
  }

  async linger({ idleMs, maxMs, signal }: { idleMs: number; maxMs: number; signal?: AbortSignal }): Promise<void> {
    const startedMs = performance.now()
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
    while (!stop.aborted) {
      const nowMs = performance.now()
      const idleSinceMs = Math.max(startedMs, this.#driver.traffic.lastServedMs)
      const untilMs = Math.min(idleSinceMs + idleMs, startedMs + maxMs)
      if (nowMs >= untilMs || !this.#driver.engine.isNeeded()) return
      await new Promise<void>(resolve => {
        const wake = (): void => {
          clearTimeout(timer)
          stop.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, Math.min(untilMs - nowMs, 250))
        stop.addEventListener('abort', wake)
      })
    }
  }

  /** Failed or closed: nothing more comes of it. */
  get isEnding(): boolean {
    return this.#closing.signal.aborted
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticker)
    clearTimeout(this.#progressTimer)
    if (this.#state !== 'failed') this.#state = 'closed'
    this.#closing.abort()
    await this.#driver.close('leaving')
    await this.#init.store.close()
    this.#settle.reject(new SwarmError('aborted', 'the transfer was closed before it was complete'))
    this.#init.onClosed()
  }

  #handlePieceVerified(piece: number, peer: string | undefined, wanted: boolean): void {
    this.#lastPieceMs = performance.now()
    if (wanted) {
      this.#piecesDone++
      this.#bytesDone += this.#geometry.pieceBytes(piece)
    }
    this.#events.emit(`have ${piece}`)
    this.#emit('piece', { piece, peer })
    this.#scheduleProgress()
  }

  /**
   * Disk full, rights, a lost mount: the transfer ends, what was verified stays, and getting it again
   * resumes.
   */
  #handleStoreFailed(err: unknown): void {
    this.#fail(downloadFault(err, this.path, this.#bytesWanted - this.#bytesDone))
  }

  async #finish(): Promise<void> {
    if (this.#finishing || this.#closing.signal.aborted) return
    this.#finishing = true
    try {
      await this.#init.store.finish()
    } catch (err) {
      this.#finishing = false
      // Somebody removed staged files under us: what they held is fetched again.
      if (err instanceof PieceLostError) this.#driver.losePieces(err)
      else this.#handleStoreFailed(err)
      return
    }
    if (this.#state === 'downloading') this.#state = 'seeding'
    this.#settle.resolve()
    this.#emit('complete', this.snapshot())
  }

  #fail(err: SwarmError): void {
    if (this.#failure !== undefined || this.#closing.signal.aborted) return
    this.#failure = err
    this.#state = 'failed'
    this.#settle.reject(err)
    this.close().catch(closeErr => this.#emit('warning', { code: 'store_error', message: (closeErr as Error).message }))
  }

  #tick(): void {
    const { timeoutMs } = this.#init
    if (this.#originFailure !== undefined && this.#state === 'downloading') {
      const { err, sinceMs } = this.#originFailure
      const quietMs = performance.now() - Math.max(sinceMs, this.#lastPieceMs)
      // With peers about the pieces may come all the same.
      if (quietMs > (this.#driver.peers.size === 0 ? ORIGIN_GRACE_MS : ORIGIN_GRACE_WITH_PEERS_MS)) {
        this.#fail(err)
        return
      }
    }
    if (this.#state === 'downloading' && timeoutMs > 0 && performance.now() - this.#lastPieceMs > timeoutMs) {
      const waited = `no new piece for ${Math.round(timeoutMs / 1000)} s`
      this.#fail(
        this.#everHadNeighbour
          ? new StalledError(`${waited}: ${this.snapshot().waitingFor ?? 'peers are connected but send nothing'}`)
          : new NoPeersError(`${waited}: ${this.#whatWasTried()}`)
      )
      return
    }
    if (this.#state === 'downloading' || this.#driver.peers.size > 0) this.#scheduleProgress()
  }

  #waitingFor(engineSays: string | undefined): string | undefined {
    if (this.#originFailure !== undefined && this.#driver.peers.size === 0) return this.#originFailure.err.message
    if (this.#driver.origins !== undefined && this.#originFailure === undefined && this.#driver.peers.size === 0)
      return engineSays
    if (this.#driver.peers.size > 0) return engineSays
    return `no peer is connected (${this.#whatWasTried()})`
  }

  #whatWasTried(): string {
    const { hints, dht, dhtFound, mdns } = this.#driver.tried
    const { dials } = this.#driver
    const tried = [`${hints} given peer(s)`, `DHT asked ${dht} time(s), ${dhtFound} found`, `mDNS saw ${mdns}`]
    if (dials.failed > 0) tried.push(`${dials.failed} of ${dials.tried} connection(s) failed, the last with "${dials.lastError}"`)
    return `tried ${tried.join('; ')}`
  }

  #scheduleProgress(): void {
    if (this.#progressTimer !== undefined || this.#closing.signal.aborted) return
    this.#progressTimer = setTimeout(() => {
      this.#progressTimer = undefined
      if (this.#events.listenerCount('progress') > 0) this.#emit('progress', this.snapshot())
    }, PROGRESS_INTERVAL_MS)
  }

  #emit<K extends keyof TransferEvents>(event: K, value: TransferEvents[K]): void {
    this.#events.emit(event, value)
  }
}
