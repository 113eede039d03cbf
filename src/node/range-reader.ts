/**
 * Gives out a range of a content in order, while its pieces are still coming. Used by transfer.ts.
 *
 * Invariants: the engine hears where each reader stands, and that it left; a buffer that the caller lent is
 * the caller's again once the reader has ended; nothing fails unhandled.
 */

import { type EventEmitter, once } from 'node:events'
import type { Geometry } from '../content/geometry.ts'
import { ContentChangedError, InvalidOptionsError, StalledError, type SwarmError } from '../errors.ts'
import { PieceLostError, type PieceStore } from '../store/piece-store.ts'
import type { SwarmDriver } from './driver.ts'
import type { Transfer } from './types.ts'

/** A reader asks for this much ahead of where it is, in bytes (and at least four pieces). */
const READ_AHEAD_BYTES = 8 * 1024 * 1024
/**
 * Pieces that lie side by side are read and given out together up to this size: each chunk costs its taker a
 * turn of the event loop.
 */
const READ_RUN_BYTES = 1024 * 1024

type ReadOptions = Parameters<Transfer['read']>[0]

/** Neighbouring pieces as one chunk; `last` is the last of them. */
interface Run {
  readonly last: number
  readonly data: Uint8Array
}

interface RangeReaderInit {
  readonly geometry: Geometry
  readonly store: PieceStore
  readonly path: string
  readonly driver: Pick<SwarmDriver, 'handle' | 'losePieces'>
  /** Tells `have <piece>` when a piece is there. */
  readonly events: EventEmitter
  /** The transfer closes. */
  readonly closing: AbortSignal
  /** Every wanted piece is there. */
  readonly isWhole: () => boolean
  /** Why the transfer failed. */
  readonly failure: () => SwarmError | undefined
}

export class RangeReader {
  readonly #init: RangeReaderInit
  #readers = 0

  constructor(init: RangeReaderInit) {
    this.#init = init
  }

  async *read({ start, end, signal, buffers }: ReadOptions): AsyncGenerator<Uint8Array> {
    const { geometry, store, driver, closing } = this.#init
    if (!(start >= 0 && end <= geometry.length && start <= end)) {
      throw new InvalidOptionsError(`range [${start}, ${end}) is outside of the content's ${geometry.length} bytes`)
    }
    const range = geometry.piecesOfRange(start, end)
    if (range === undefined) return
    const reader = `reader ${++this.#readers}`
    const stop = signal === undefined ? closing : AbortSignal.any([signal, closing])
    let next: Promise<Run> | undefined
    try {
      // Two buffers take turns: the disk fills one while the caller works with the other.
      for (let piece = range.first, turn = 0; piece <= range.last; turn ^= 1) {
        stop.throwIfAborted()
        await this.#waitFor(reader, piece, range.last, stop)
        const run = await (next ?? this.#readRun(piece, range.last, buffers?.[turn])).catch(err => this.#losePieces(err))
        next = undefined
        // Lost under our feet: it is fetched again, or above is said that it cannot be.
        if (run === undefined) continue
        const { last, data } = run
        if (last < range.last && store.have.get(last + 1)) {
          next = this.#readRun(last + 1, range.last, buffers?.[turn ^ 1])
          // Awaited one turn later, or never when the reader leaves; meanwhile a failure must not count as
          // unhandled.
          next.catch(() => {})
        }
        const offset = geometry.pieceOffset(piece)
        yield data.subarray(Math.max(0, start - offset), Math.min(data.byteLength, end - offset))
        piece = last + 1
      }
    } catch (err) {
      throw this.#faultOf(err, signal)
    } finally {
      driver.handle({ type: 'readerLeft', reader })
      // The caller's buffers are its own again only when nothing fills them any more.
      if (buffers !== undefined) await next?.catch(() => {})
    }
  }

  /** Tells the engine where the reader stands, and waits for the piece. */
  async #waitFor(reader: string, piece: number, end: number, stop: AbortSignal): Promise<void> {
    const { geometry, store, path, driver, events, isWhole } = this.#init
    if (!isWhole()) {
      const ahead = Math.max(4, Math.ceil(READ_AHEAD_BYTES / geometry.pieceLength))
      const last = Math.min(end, piece + ahead - 1)
      driver.handle({ type: 'readerMoved', reader, first: piece, last, deadlineMs: performance.now() })
    }
    while (!store.have.get(piece)) {
      if (!store.isWritable) throw new ContentChangedError(path)
      await once(events, `have ${piece}`, { signal: stop })
    }
  }

  /**
   * Reads from `first` on as many pieces up to `end` as are there and worth one chunk, into `lent` if they
   * fit.
   */
  async #readRun(first: number, end: number, lent: Uint8Array | undefined): Promise<Run> {
    const { geometry, store } = this.#init
    const { pieceLength } = geometry
    const longest = Math.max(1, Math.floor(READ_RUN_BYTES / pieceLength))
    let last = first
    while (last < end && last - first + 1 < longest && store.have.get(last + 1)) last++
    const bytes = geometry.pieceOffset(last) + geometry.pieceBytes(last) - geometry.pieceOffset(first)
    if (first === last && lent === undefined) return { last, data: await store.read(first) }
    const buffer = lent !== undefined && lent.byteLength >= bytes ? lent : Buffer.allocUnsafeSlow(bytes)
    const data = buffer.subarray(0, bytes)
    const reads = Array.from({ length: last - first + 1 }, async (_, index) => {
      const into = data.subarray(index * pieceLength, index * pieceLength + geometry.pieceBytes(first + index))
      const piece = await store.read(first + index, into)
      // A store may give out a buffer that it holds instead of filling ours.
      if (piece.byteOffset !== into.byteOffset || piece.buffer !== into.buffer) into.set(piece)
    })
    await Promise.all(reads)
    return { last, data }
  }

  /** What a reader met; anything but lost pieces is thrown. */
  #losePieces(err: unknown): undefined {
    if (!(err instanceof PieceLostError)) throw err
    const { driver, store, path } = this.#init
    driver.losePieces(err)
    if (!store.isWritable) throw new ContentChangedError(path)
  }

  /** What the reader's user hears. */
  #faultOf(err: unknown, signal: AbortSignal | undefined): unknown {
    if (err instanceof ContentChangedError) return err
    const failure = this.#init.failure()
    if (failure !== undefined) return failure
    const isClosed = this.#init.closing.aborted && signal?.aborted !== true
    return isClosed ? new StalledError('the transfer was closed while it was read') : err
  }
}
