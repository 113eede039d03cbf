/**
 * One swarm that the node takes part in, as its user sees it: state, progress, events, reading, lingering,
 * leaving.
 *
 * Invariants: `completed` settles exactly once; the file is in place before `complete` is told; `close` is
 * idempotent and leaves no timer behind. Created by node.ts; the work is done by driver.ts (peers) and the
 * store (disk).
 */

import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { Geometry } from '../content/geometry.ts'
import { formatLink } from '../content/link.ts'
import type { Manifest, PeerHint } from '../content/manifest.ts'
import { NoPeersError, type OriginError, StalledError, SwarmError } from '../errors.ts'
import { checkOrigins } from '../origin/settings.ts'
import { downloadFault } from '../store/download/download-fault.ts'
import { PieceLostError } from '../store/piece-store.ts'
import { createRandom } from '../util/random.ts'
import { SYSTEM_CLOCK } from './clock.ts'
import { type DriverInit, SwarmDriver } from './driver.ts'
import { RangeReader } from './range-reader.ts'
import { takeTransferSnapshot, whatWasTried } from './transfer-snapshot.ts'
import type { Transfer, TransferEvents, TransferLimits, TransferSnapshot } from './types.ts'

export interface TransferInit extends Omit<DriverInit, 'geometry' | 'clock' | 'random' | 'events'> {
  manifest: Manifest
  path: string
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

export class SwarmTransfer implements Transfer {
  readonly root: string
  readonly manifest: Manifest
  readonly path: string
  readonly completed: Promise<void>

  readonly #init: TransferInit
  readonly #driver: SwarmDriver
  readonly #reader: RangeReader
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
      ...init,
      geometry: this.#geometry,
      clock: SYSTEM_CLOCK,
      random: createRandom(randomBytes(4).readUInt32LE()),
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
    this.#reader = new RangeReader({
      geometry: this.#geometry,
      store: init.store,
      path: init.path,
      driver: this.#driver,
      events: this.#events,
      closing: this.#closing.signal,
      isWhole: () => this.#state === 'seeding',
      failure: () => this.#failure
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
    return takeTransferSnapshot({
      manifest: this.manifest,
      host: this.#init.host,
      driver: this.#driver,
      state: this.#state,
      pieces: { wanted: this.#piecesWanted, done: this.#piecesDone },
      bytes: { wanted: this.#bytesWanted, done: this.#bytesDone },
      originFault: this.#originFailure?.err
    })
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

  read(options: Parameters<Transfer['read']>[0]): AsyncGenerator<Uint8Array> {
    return this.#reader.read(options)
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
          : new NoPeersError(`${waited}: ${whatWasTried(this.#driver)}`)
      )
      return
    }
    if (this.#state === 'downloading' || this.#driver.peers.size > 0) this.#scheduleProgress()
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
