/**
 * Reads pieces of complete files in place and never gives out bytes that do not match their hash.
 *
 * A file whose stamp is as it was when its bytes were hashed is trusted. The stamp is compared after the
 * read, so that a change before or during the read shows; a file without a trusted stamp has every piece
 * hashed as it is read. A store to a mapping of the file that the kernel has not written back yet leaves the
 * times alone; such bytes are found out by the receiver's own check. Called by the seed store and by the file
 * store once it is finished.
 */

import fs from 'node:fs'
import type { Bitfield } from '../content/bitfield.ts'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { StoreError } from '../errors.ts'
import { forEachWide, isNoFile, openRaw, readAt, statFile, storeError } from './disk.ts'
import { isSameStamp, type Stamp, stampOf } from './file-stamp.ts'
import { FileThread } from './file-thread.ts'
import { HandlePool } from './handle-pool.ts'
import { isPieceHash, type Layout, type Slice } from './layout.ts'
import { PieceLostError } from './piece-store.ts'

export interface GuardedReaderInit {
  manifest: Manifest
  layout: Layout
  hash: HashFunction
  /** Pieces that may be read; the reader clears those that it finds lost. */
  have: Bitfield
  /** Where each file is. */
  pathOf: (file: number) => string
  /** What each file looked like when its bytes were hashed; undefined: hash what is read. */
  stamps: readonly (Stamp | undefined)[]
  maxOpenFiles: number
  /** Where the bytes of a piece lie, if elsewhere than in the content's own files. */
  slicesOf?: (piece: number) => Slice[]
}

/** Slices of one piece that are read at once; Node's thread pool has four threads. */
const READ_WIDTH = 4
/** Slices of a piece from which on a thread reads them. */
const TOGETHER_FROM = 16
/**
 * One for all readers of the process, since a daemon may share thousands of folders. Ends with the process
 * and does not keep it alive.
 */
let thread: FileThread | undefined

/** The front of `into` when it is long enough, else a buffer of its own. */
export function bufferFor(bytes: number, into: Uint8Array | undefined): Uint8Array {
  return into !== undefined && into.byteLength >= bytes ? into.subarray(0, bytes) : Buffer.allocUnsafeSlow(bytes)
}

export class GuardedReader {
  readonly #init: GuardedReaderInit
  readonly #stamps: (Stamp | undefined)[]
  readonly #pool: HandlePool
  /** Looks at files that are about to be taken. */
  readonly #stampsDue = new Map<number, Promise<Stamp>>()
  #pending = 0
  #idle: (() => void)[] = []

  constructor(init: GuardedReaderInit) {
    this.#init = init
    this.#stamps = [...init.stamps]
    this.#pool = new HandlePool(
      file => openRaw(init.pathOf(file), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK),
      init.maxOpenFiles
    )
  }

  async read(piece: number, into?: Uint8Array): Promise<Uint8Array> {
    const { have, layout, manifest, hash } = this.#init
    if (!layout.geometry.hasPiece(piece) || !have.get(piece)) throw new RangeError(`piece ${piece} is not here`)
    this.#pending++
    try {
      const data = bufferFor(layout.geometry.pieceBytes(piece), into)
      const slices = this.#init.slicesOf?.(piece) ?? layout.slicesOf(piece)
      let isTrusted = true
      let isShort = false
      const left = await this.#readTogether(slices, data)
      if (left.isDoubted) isTrusted = false
      await forEachWide(left.slices, READ_WIDTH, async slice => {
        const size = await this.#readSlice(slice, data)
        if (size === undefined) isShort = true
        else if (!size) isTrusted = false
      })
      if (isShort || (!isTrusted && !isPieceHash(manifest, piece, hash(data)))) throw this.#lose(piece)
      return data
    } finally {
      this.#pending--
      if (this.#pending === 0) for (const wake of this.#idle.splice(0)) wake()
    }
  }

  /**
   * Reads slices of many files by the thread. Gives those that it left, and whether some file is not as it
   * was when it was hashed.
   */
  async #readTogether(slices: readonly Slice[], data: Uint8Array): Promise<{ slices: readonly Slice[]; isDoubted: boolean }> {
    if (slices.length < TOGETHER_FROM) return { slices, isDoubted: false }
    thread ??= new FileThread()
    const answer = await thread.read({
      paths: slices.map(({ file }) => this.#init.pathOf(file)),
      bytes: data.byteLength,
      offsets: slices.map(({ pieceOffset }) => pieceOffset),
      positions: slices.map(({ fileOffset }) => fileOffset),
      lengths: slices.map(({ bytes }) => bytes)
    })
    if (answer === undefined) return { slices, isDoubted: false }
    data.set(answer.data)
    let isDoubted = false
    const left = slices.filter(({ file }, index) => {
      const look = answer.looks[index]
      if (look === undefined) return true
      const expected = this.#stamps[file]
      if (expected !== undefined && isSameStamp(expected, stampOf(look))) return false
      this.#stamps[file] = undefined
      isDoubted = true
      return false
    })
    return { slices: left, isDoubted }
  }

  /** Waits for the reads under way and closes every file. */
  async close(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>(resolve => this.#idle.push(resolve))
    await this.#pool.closeAll()
  }

  /**
   * True: read and unchanged since it was hashed. False: read, to be hashed. Undefined: the bytes are not
   * there any more.
   */
  async #readSlice(slice: Slice, data: Uint8Array): Promise<boolean | undefined> {
    const path = this.#init.pathOf(slice.file)
    try {
      return await this.#pool.use(slice.file, async fd => {
        const bytes = await readAt(fd, data, slice.pieceOffset, slice.bytes, slice.fileOffset, path)
        if (bytes < slice.bytes) return undefined
        const expected = this.#stamps[slice.file]
        if (expected === undefined) return false
        if (isSameStamp(expected, await this.#stampFrom(slice.file, fd, path))) return true
        // From here on every piece of this file proves itself.
        this.#stamps[slice.file] = undefined
        return false
      })
    } catch (err) {
      if (isNoFile(err)) return undefined
      throw err instanceof StoreError ? err : storeError('cannot open', path, err)
    }
  }

  /**
   * The file's stamp, looked at after this call. Reads that end in the same turn of the event loop share one
   * look.
   */
  #stampFrom(file: number, fd: number, path: string): Promise<Stamp> {
    let stamp = this.#stampsDue.get(file)
    if (stamp === undefined) {
      stamp = new Promise(resolve => setImmediate(resolve)).then(async () => {
        this.#stampsDue.delete(file)
        return stampOf(await statFile(fd, path))
      })
      this.#stampsDue.set(file, stamp)
    }
    return stamp
  }

  #lose(piece: number): PieceLostError {
    const { have, layout, pathOf } = this.#init
    if (have.get(piece)) have.clear(piece)
    return new PieceLostError([piece], pathOf(layout.slicesOf(piece)[0]?.file ?? 0))
  }
}
