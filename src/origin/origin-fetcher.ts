/**
 * Fetches pieces from the origins of one content, as the engine asks for them.
 *
 * Neighbouring pieces are one request; a few requests run side by side; each piece is gathered in a buffer of
 * its own and handed on while the rest of the answer still comes. Reading waits while two pieces of a request
 * are being stored, so that memory is bounded by connections times three pieces whatever the origin sends.
 *
 * An origin that stumbles is asked again, later each time; one that answers without ranges is read from start
 * to end; one whose URL is refused gets a fresh URL if there is somebody to ask; one that changed, or stays
 * away, is given up for the next. When none is left `onDead` says why. Used by driver.ts; whose turn it is to
 * fetch is the engine's business.
 */

import type { Geometry } from '../content/geometry.ts'
import { OriginError } from '../errors.ts'
import type { BufferPool } from '../util/buffer-pool.ts'
import { RateBudget } from '../util/rate-budget.ts'
import { displayUrl, HttpClient, type OriginAnswer, readFault } from './http-client.ts'
import { changed, checkIdentity, type KnownOrigin, newOrigin } from './origin.ts'
import { DEFAULT_ORIGIN_OPTIONS, type OriginOptions } from './settings.ts'

interface OriginEvents {
  /** The origin can be asked; `isSequential`: only from start to end. May be told again when that changes. */
  onOpen(isSequential: boolean): void
  /**
   * A whole piece in a buffer of the pool, which is now the receiver's; resolves when it is stored or was
   * thrown away.
   */
  onPiece(piece: number, data: Uint8Array): Promise<void>
  /** These do not come; worth asking again after `retryMs`. */
  onFailed(pieces: readonly number[], retryMs: number): void
  /** No origin is left. Until {@link OriginFetcher.setUrls} nothing more is fetched. */
  onDead(err: OriginError): void
  /** Something a person may want to know. */
  onNote(message: string): void
}

/** Longest request. More would be cut off by failures more often; fewer costs a round trip more often. */
const MAX_RUN_BYTES = 32 * 1024 * 1024
/**
 * Shorter than this a run is not split among connections; a longer stretch that is not needed any more is not
 * waited for.
 */
const SPLIT_BYTES = 1024 * 1024
const FIRST_BACKOFF_MS = 250
const MAX_BACKOFF_MS = 10_000
/** Pieces of one request on their way to disk. */
const STORING_AT_ONCE = 2

export class OriginFetcher {
  readonly #geometry: Geometry
  readonly #options: OriginOptions
  readonly #buffers: BufferPool
  readonly #events: OriginEvents
  readonly #http: HttpClient
  readonly #budget: RateBudget
  readonly #closing = new AbortController()
  /** Asked for by the engine and given to no request yet. */
  readonly #wanted = new Set<number>()
  readonly #cancelled = new Set<number>()
  #origins: KnownOrigin[]
  #mode: 'unknown' | 'ranges' | 'sequential' = 'unknown'
  #running = 0
  #failures = 0
  #failingSinceMs: number | undefined
  #backoffUntilMs = 0
  #refreshing: Promise<boolean> | undefined
  #wake: NodeJS.Timeout | undefined
  bytesRead = 0

  constructor(
    urls: readonly string[],
    geometry: Geometry,
    options: Partial<OriginOptions>,
    buffers: BufferPool,
    events: OriginEvents
  ) {
    this.#geometry = geometry
    this.#buffers = buffers
    this.#options = { ...DEFAULT_ORIGIN_OPTIONS, ...options }
    this.#events = events
    this.#http = new HttpClient(this.#options)
    this.#budget = new RateBudget(this.#options.bytesPerSecond, performance.now())
    this.#origins = urls.map(newOrigin)
  }

  /**
   * URLs that may be asked, without what signs them, the one in use first; and what is wrong with the others.
   */
  describe(): { url: string; fault: string | undefined }[] {
    return this.#origins.map(({ url, fault }) => ({ url: displayUrl(url), fault: fault?.message }))
  }

  start(): void {
    this.#events.onOpen(false)
  }

  /** Other URLs of the same content: fresh ones, after the old ones expired. */
  setUrls(urls: readonly string[]): void {
    this.#origins = urls.map(newOrigin)
    this.#mode = 'unknown'
    this.#recover()
    if (!this.#closing.signal.aborted) this.#events.onOpen(false)
    this.#pump()
  }

  setRate(bytesPerSecond: number): void {
    this.#budget.setRate(bytesPerSecond, performance.now())
  }

  fetch(pieces: readonly number[]): void {
    for (const piece of pieces) {
      this.#cancelled.delete(piece)
      this.#wanted.add(piece)
    }
    this.#pump()
  }

  cancel(pieces: readonly number[]): void {
    for (const piece of pieces) if (!this.#wanted.delete(piece)) this.#cancelled.add(piece)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#wake)
    this.#wanted.clear()
    await this.#http.close()
  }

  /** Starts requests while there are pieces and connections. */
  #pump(): void {
    if (this.#closing.signal.aborted) return
    const waitMs = this.#backoffUntilMs - performance.now()
    if (waitMs > 0) {
      this.#wake ??= setTimeout(() => {
        this.#wake = undefined
        this.#pump()
      }, waitMs)
      return
    }
    // The first answer tells whether there are ranges at all; after a failure one request tries first.
    const most = this.#mode === 'ranges' && this.#failures === 0 ? this.#options.connections : 1
    while (this.#running < most && this.#wanted.size > 0) {
      const origin = this.#origin()
      if (origin === undefined) return
      this.#running++
      const run =
        this.#mode === 'sequential' ? this.#takeAll() : this.#takeRun(Math.max(1, this.#options.connections - this.#running + 1))
      void this.#fetchRun(origin, run).finally(() => {
        this.#running--
        this.#pump()
      })
    }
  }

  #origin(): KnownOrigin | undefined {
    return this.#origins.find(({ fault }) => fault === undefined)
  }

  #takeAll(): number[] {
    const run = [...this.#wanted].sort((a, b) => a - b)
    this.#wanted.clear()
    return run
  }

  /** The first run of neighbouring pieces, cut so that `connections` have work. */
  #takeRun(connections: number): number[] {
    const { pieceLength } = this.#geometry
    const [first = 0] = this.#wanted
    let length = 1
    while (this.#wanted.has(first + length)) length++
    const fair = Math.max(Math.ceil(SPLIT_BYTES / pieceLength), Math.ceil(length / connections))
    length = Math.max(1, Math.min(length, fair, Math.floor(MAX_RUN_BYTES / pieceLength)))
    const run = Array.from({ length }, (_, index) => first + index)
    for (const piece of run) this.#wanted.delete(piece)
    return run
  }

  /** Fetches what it can of the run; says of every piece what became of it. Never throws. */
  async #fetchRun(origin: KnownOrigin, run: readonly number[]): Promise<void> {
    const open = new Set(run)
    try {
      if (this.#mode === 'sequential') await this.#readWhole(origin, open)
      else await this.#readRange(origin, run, open)
    } catch (err) {
      if (this.#closing.signal.aborted) return
      await this.#handleFailure(origin, err)
    }
    if (this.#closing.signal.aborted) return
    for (const piece of open) if (this.#cancelled.delete(piece)) open.delete(piece)
    if (open.size > 0) this.#events.onFailed([...open], Math.max(0, this.#backoffUntilMs - performance.now()))
  }

  async #readRange(origin: KnownOrigin, run: readonly number[], open: Set<number>): Promise<void> {
    const first = run[0] as number
    const last = run.at(-1) as number
    const start = this.#geometry.pieceOffset(first)
    const end = this.#geometry.pieceOffset(last) + this.#geometry.pieceBytes(last)
    using request = this.#newRequest()
    const answer = await this.#http.get(origin.url, { start, end }, request.signal)
    if (answer.status === 200) {
      answer.body.on('error', () => {}).destroy()
      checkIdentity(origin, answer, this.#geometry.length)
      this.#mode = 'sequential'
      this.#events.onNote(`${displayUrl(origin.url)} does not give ranges: it is read from start to end, by one node for all`)
      this.#events.onOpen(true)
      return
    }
    await this.#checkAnswer(origin, answer, 206)
    if (answer.start !== start) {
      answer.body.on('error', () => {}).destroy()
      throw new OriginError(
        'unreachable',
        `${displayUrl(origin.url)} gave bytes from ${answer.start} when asked for those from ${start}`
      )
    }
    if (this.#mode === 'unknown') {
      this.#mode = 'ranges'
      this.#pump()
    }
    await this.#readPieces(answer, first, last, open)
  }

  async #readWhole(origin: KnownOrigin, open: Set<number>): Promise<void> {
    using request = this.#newRequest()
    const answer = await this.#http.get(origin.url, undefined, request.signal)
    await this.#checkAnswer(origin, answer, 200)
    await this.#readPieces(answer, 0, this.#geometry.pieceCount - 1, open)
  }

  #newRequest(): Disposable & { signal: AbortSignal } {
    const controller = new AbortController()
    const abort = (): void => controller.abort()
    this.#closing.signal.addEventListener('abort', abort, { once: true })
    if (this.#closing.signal.aborted) abort()
    return { signal: controller.signal, [Symbol.dispose]: () => this.#closing.signal.removeEventListener('abort', abort) }
  }

  /** Cuts the body into pieces. Leaves in `open` what did not come. */
  async #readPieces(answer: OriginAnswer, first: number, last: number, open: Set<number>): Promise<void> {
    const storing: Promise<void>[] = []
    let piece = first
    let buffer: Uint8Array | undefined
    let filled = 0
    try {
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        await this.#pace(chunk.byteLength)
        for (let taken = 0; taken < chunk.byteLength && piece <= last; ) {
          buffer ??= this.#buffers.take(this.#geometry.pieceBytes(piece))
          const bytes = Math.min(chunk.byteLength - taken, buffer.byteLength - filled)
          buffer.set(chunk.subarray(taken, taken + bytes), filled)
          taken += bytes
          filled += bytes
          if (filled < buffer.byteLength) continue
          this.#recover()
          open.delete(piece)
          if (this.#cancelled.delete(piece)) this.#buffers.give(buffer)
          else storing.push(this.#events.onPiece(piece, buffer))
          buffer = undefined
          filled = 0
          piece++
          if (storing.length >= STORING_AT_ONCE) await storing.shift()
        }
        // Longer than it said, or what comes next has come from peers meanwhile: the connection is worth less
        // than the bytes.
        if (piece > last || this.#cancelledFrom(piece, last) * this.#geometry.pieceLength >= SPLIT_BYTES) break
      }
    } finally {
      answer.body.on('error', () => {}).destroy()
      if (buffer !== undefined) this.#buffers.give(buffer)
      await Promise.all(storing)
    }
    const skipped = piece > last ? 0 : this.#cancelledFrom(piece, last)
    if (piece + skipped > last) return
    if (skipped * this.#geometry.pieceLength < SPLIT_BYTES)
      throw new OriginError('unreachable', `the answer ended ${last - piece + 1} piece(s) early`)
    for (const each of open) {
      open.delete(each)
      if (!this.#cancelled.delete(each)) this.#wanted.add(each)
    }
  }

  /**
   * How many pieces from this one on, up to `last`, are not to come any more; the end counts as very many.
   */
  #cancelledFrom(piece: number, last: number): number {
    if (this.#mode === 'sequential') return 0
    let each = piece
    while (each <= last && this.#cancelled.has(each)) each++
    return each > last ? Number.POSITIVE_INFINITY : each - piece
  }

  async #pace(bytes: number): Promise<void> {
    this.bytesRead += bytes
    const nowMs = performance.now()
    this.#budget.spend(bytes, nowMs)
    const waitMs = this.#budget.readyMs(nowMs) - nowMs
    if (waitMs > 1) await new Promise(resolve => setTimeout(resolve, waitMs))
  }

  async #checkAnswer(origin: KnownOrigin, answer: OriginAnswer, expected: 200 | 206): Promise<void> {
    const { status } = answer
    const shown = displayUrl(origin.url)
    if (status === expected) {
      checkIdentity(origin, answer, this.#geometry.length)
      return
    }
    if (status === 416) {
      answer.body.on('error', () => {}).destroy()
      throw changed(shown, `it is ${answer.length ?? 'not'} bytes long, the manifest says ${this.#geometry.length}`)
    }
    const why = await readFault(answer)
    const said = `${shown} answers ${status}${why === '' ? '' : ` (${why})`}`
    if (status === 429 || status >= 500) {
      this.#backoffUntilMs = Math.max(this.#backoffUntilMs, performance.now() + Math.min(60_000, answer.retryAfterMs ?? 0))
      throw new OriginError('unreachable', said, { url: shown, status })
    }
    throw new OriginError('refused', `${said}; give a URL that works (a presigned one may have expired)`, { url: shown, status })
  }

  /** The piece that came from here is not what the manifest says. */
  reportCorrupt(piece: number): void {
    const origin = this.#origin()
    if (origin !== undefined) this.#giveUp(origin, changed(displayUrl(origin.url), `piece ${piece} does not match its hash`))
  }

  #recover(): void {
    this.#failures = 0
    this.#failingSinceMs = undefined
    this.#backoffUntilMs = 0
  }

  async #handleFailure(origin: KnownOrigin, err: unknown): Promise<void> {
    const fault = err instanceof OriginError ? err : new OriginError('unreachable', (err as Error).message, {}, err)
    if (origin.fault !== undefined || !this.#origins.includes(origin)) return
    if (fault.fault === 'refused' && (await this.#refresh(origin, fault))) return
    const nowMs = performance.now()
    this.#failingSinceMs ??= nowMs
    this.#failures++
    const backoffMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (this.#failures - 1))
    this.#backoffUntilMs = Math.max(this.#backoffUntilMs, nowMs + backoffMs)
    if (fault.fault !== 'unreachable') this.#giveUp(origin, fault)
    else if (nowMs - this.#failingSinceMs >= this.#options.giveUpMs) {
      const seconds = Math.round((nowMs - this.#failingSinceMs) / 1000)
      const message = `the origin gave nothing for ${seconds} s, last: ${fault.message}; try again later or give another URL`
      this.#giveUp(origin, new OriginError('unreachable', message, fault.details, fault))
    } else if (this.#failures === 1) this.#events.onNote(`the origin stumbles, it is asked again: ${fault.message}`)
  }

  /**
   * Gets a fresh URL for a refused one; false when there is none. Asked once, however many requests
   * were refused.
   */
  #refresh(origin: KnownOrigin, fault: OriginError): Promise<boolean> {
    const { freshUrl } = this.#options
    if (freshUrl === undefined) return Promise.resolve(false)
    this.#refreshing ??= (async () => {
      try {
        const url = await freshUrl(origin.url, fault.message)
        if (url === undefined || url === origin.url || URL.parse(url) === null) return false
        // The same file elsewhere may carry other validators; the pieces' hashes hold anyway.
        const isSameFile = displayUrl(url) === displayUrl(origin.url)
        const fresh = isSameFile ? { ...origin, url } : newOrigin(url)
        this.#origins = this.#origins.map(each => (each === origin ? fresh : each))
        this.#events.onNote(`a fresh URL of the origin is used: ${displayUrl(url)}`)
        return true
      } catch (err) {
        this.#events.onNote(`no fresh URL of the origin could be had: ${(err as Error).message}`)
        return false
      } finally {
        this.#refreshing = undefined
      }
    })()
    return this.#refreshing
  }

  #giveUp(origin: KnownOrigin, fault: OriginError): void {
    if (origin.fault !== undefined) return
    origin.fault = fault
    this.#mode = 'unknown'
    if (this.#origin() !== undefined) {
      this.#recover()
      this.#events.onNote(`${fault.message}; the next origin is asked`)
      this.#events.onOpen(false)
      return
    }
    this.#wanted.clear()
    this.#events.onDead(fault)
  }
}
