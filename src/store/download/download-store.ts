/**
 * Downloads: verified pieces go straight to their place in `<output>.part`, which becomes the output when all
 * are there.
 *
 * Invariants:
 * - nothing is written under the final name before every wanted piece is verified, written and flushed; then
 *   it appears by rename;
 * - whatever happens to process, `.part` or state, a piece is in `have` after opening only if the state
 *   vouches for it (see
 *   transfer-state.ts) or its bytes were hashed;
 * - one process writes to an output at a time (process-lock.ts); open files are bounded;
 * - nothing is written through a link (staging.ts), and over nothing that came to the output meanwhile
 *   (placing.ts).
 * Made by file-store.ts.
 */

import { Bitfield } from '../../content/bitfield.ts'
import { StoreError } from '../../errors.ts'
import { dataSync, forEachWide, isNoFile, readAt, removePath, statPath, storeError, writeAt } from '../disk.ts'
import { isSettled, type Stamp } from '../file-stamp.ts'
import { bufferFor, GuardedReader } from '../guarded-reader.ts'
import { HandlePool } from '../handle-pool.ts'
import { isPieceHash, type Layout, type Slice } from '../layout.ts'
import { PieceLostError } from '../piece-store.ts'
import type { ProcessLock } from '../process-lock.ts'
import type { Selection } from '../selection.ts'
import { intactPieces, type VerifyOptions } from '../verify-content.ts'
import type { FileStore, FileStoreInit } from './contract.ts'
import { Flusher } from './flusher.ts'
import { Gate } from './gate.ts'
import { stampsOf } from './looks.ts'
import { restPath } from './paths.ts'
import type { Placing } from './placing.ts'
import { forgetStaging, isMarked, readReceipt } from './receipt.ts'
import type { Staging } from './staging.ts'
import {
  digestOf,
  readTransferState,
  statePath,
  type TransferPhase,
  type TransferState,
  writeTransferState
} from './transfer-state.ts'

/** Slices of one piece written or read at once; Node's thread pool has four threads. */
const SLICE_WIDTH = 4
const MAX_OPEN_FILES = 256

export interface DownloadInit extends FileStoreInit {
  path: string
  selection: Selection
  /** The download's folder in the state folder. */
  folder: string
  lock: ProcessLock
  staging: Staging
  placing: Placing
}

export class DownloadStore implements FileStore {
  readonly path: string
  readonly wanted: Bitfield
  readonly wantedBytes: number
  readonly #init: DownloadInit
  readonly #layout: Layout
  readonly #selection: Selection
  #staging: Staging
  #have: Bitfield

  /** While staging: open staged files; once finished: the reader of the final ones. */
  readonly #pool: HandlePool
  #reader: GuardedReader | undefined
  #isClosed = false
  readonly #gate = new Gate()

  readonly #flusher: Flusher
  #isStateSaved = false
  #finishing: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(init: DownloadInit) {
    this.#init = init
    this.path = init.path
    this.wanted = init.selection.wanted
    this.wantedBytes = init.selection.wantedBytes
    this.#selection = init.selection
    this.#layout = init.selection.layout
    this.#staging = init.staging
    this.#have = new Bitfield(this.#layout.geometry.pieceCount)
    this.#pool = new HandlePool(file => this.#staging.openFile(file), init.maxOpenFiles ?? MAX_OPEN_FILES)
    this.#flusher = new Flusher({
      flushFile: file => this.#pool.use(file, fd => dataSync(fd, this.#staging.pathOf(file))).catch(err => this.#fail(file, err)),
      flushTogether: files => this.#staging.syncTogether(files),
      onQuiet: () => void this.flush().catch(() => {}),
      isBusy: () => this.#gate.active > 0,
      bytes: init.flushBytes ?? 64 * 1024 * 1024,
      quietMs: init.flushMs ?? 2000
    })
  }

  /** What is in place is a user's file: changed there, it is not written to behind their back. */
  get isWritable(): boolean {
    return this.#reader === undefined
  }

  get have(): Bitfield {
    return this.#have
  }

  get isFinished(): boolean {
    return this.#reader !== undefined
  }

  // -- opening
  // ------------------------------------------------------------------------------------------------------------

  async open(): Promise<void> {
    const { folder, hash, placing, manifest, signal, onChecked } = this.#init
    const options: VerifyOptions = {
      hash,
      ...(signal === undefined ? {} : { signal }),
      ...(onChecked === undefined ? {} : { onProgress: onChecked })
    }
    const state = await readTransferState(folder, this.#layout.geometry.pieceCount, hash)
    if (state?.phase === 'moving' && (await this.#staging.tree.look(this.#staging.names)) !== undefined) {
      const receipt = await readReceipt(folder, hash)
      await placing.takeBack(this.#staging, (stats, file) => isMarked(stats, receipt?.files[file]))
    }
    if (await this.#openFinished(state, options)) return
    await placing.requireNoLink()
    await placing.noteBefore()
    await this.#staging.find()
    if (state?.phase === 'staged' && state.stamps === digestOf(await this.#staging.stamps(this.#staging.staged), hash)) {
      this.#have = state.have
      this.#isStateSaved = true
    } else {
      await removePath(statePath(folder))
      if (this.#staging.hasBytes)
        this.#have = await intactPieces(manifest, this.#selection, file => this.#staging.pathOf(file), options)
      if (this.#have.count === 0) this.#staging.requireOurs()
    }
    await this.#staging.claim()
  }

  /** Whether every wanted file is in place already and matches; then the store is finished. */
  async #openFinished(state: TransferState | undefined, options: VerifyOptions): Promise<boolean> {
    if ((await statPath(this.path)) === undefined) return false
    const stamps = await this.#finalStamps()
    const isThere = this.#layout.files.every(
      (file, index) => !this.#selection.isWantedFile[index] || stamps[index]?.size === BigInt(file.length)
    )
    if (!isThere) return false
    if (state?.phase === 'finished' && state.stamps === digestOf(stamps, this.#init.hash)) this.#have = state.have
    else this.#have = await intactPieces(this.#init.manifest, this.#selection, file => this.#finalPath(file), options)
    if (!this.#isComplete()) {
      this.#have = new Bitfield(this.#layout.geometry.pieceCount)
      return false
    }
    await this.#serveFinal(stamps)
    return true
  }

  // -- pieces
  // -------------------------------------------------------------------------------------------------------------

  async write(piece: number, data: Uint8Array): Promise<boolean> {
    const { geometry } = this.#layout
    const { manifest, hash } = this.#init
    if (!geometry.hasPiece(piece) || !this.wanted.get(piece)) throw new RangeError(`piece ${piece} is not wanted`)
    if (data.byteLength !== geometry.pieceBytes(piece) || !isPieceHash(manifest, piece, hash(data))) return false
    await this.#enter('write')
    try {
      if (this.#have.get(piece) || this.#reader !== undefined) return true
      this.#flusher.requireHealthy()
      await this.#writeSlices(this.#selection.slicesOf(piece), data)
      this.#have.set(piece)
      this.#flusher.noteBytes(data.byteLength)
    } finally {
      this.#gate.leave()
      this.#flusher.schedule()
    }
    return true
  }

  async #writeSlices(slices: readonly Slice[], data: Uint8Array): Promise<void> {
    try {
      await forEachWide(await this.#staging.writeWhole(slices, data), SLICE_WIDTH, async slice => {
        const path = this.#staging.pathOf(slice.file)
        await this.#pool
          .use(slice.file, fd => writeAt(fd, data, slice.pieceOffset, slice.bytes, slice.fileOffset, path))
          .catch(err => this.#fail(slice.file, err))
      })
    } finally {
      for (const { file } of slices) this.#flusher.noteFile(file)
    }
  }

  async read(piece: number, into?: Uint8Array): Promise<Uint8Array> {
    const { geometry } = this.#layout
    await this.#enter('read')
    try {
      if (this.#reader !== undefined) return await this.#reader.read(piece, into)
      if (!geometry.hasPiece(piece) || !this.#have.get(piece)) throw new RangeError(`piece ${piece} is not here`)
      const data = bufferFor(geometry.pieceBytes(piece), into)
      let isLost = false
      await forEachWide(this.#selection.slicesOf(piece), SLICE_WIDTH, async slice => {
        const path = this.#staging.pathOf(slice.file)
        try {
          const bytes = await this.#pool.use(slice.file, fd =>
            readAt(fd, data, slice.pieceOffset, slice.bytes, slice.fileOffset, path)
          )
          if (bytes < slice.bytes) isLost = true
        } catch (err) {
          if (!isNoFile(err)) this.#fail(slice.file, err)
          isLost = true
        }
      })
      if (isLost) {
        if (this.#have.get(piece)) this.#have.clear(piece)
        throw new PieceLostError([piece], this.#staging.path)
      }
      return data
    } finally {
      this.#gate.leave()
    }
  }

  /**
   * Begins a read or write; waits while the store changes under it. A write also withdraws the saved state
   * first.
   */
  async #enter(kind: 'read' | 'write'): Promise<void> {
    while (this.#gate.isShut) await this.#gate.opened()
    if (this.#isClosed) throw new StoreError('the store is closed', this.path)
    if (kind === 'write' && this.#isStateSaved && this.#reader === undefined) {
      await this.#gate.alone(async () => {
        await removePath(statePath(this.#init.folder))
        this.#isStateSaved = false
      })
      return this.#enter(kind)
    }
    this.#gate.enter()
  }

  // -- flushing and state
  // -------------------------------------------------------------------------------------------------

  async flush(): Promise<void> {
    if (this.#reader !== undefined || this.#isClosed) return
    await this.#gate.alone(() => this.#flushAndSave())
  }

  /** Only behind the gate. */
  async #flushAndSave(): Promise<void> {
    await this.#flusher.flush()
    if (!this.#isStateSaved) await this.#saveState('staged')
  }

  async #saveState(phase: TransferPhase): Promise<void> {
    const { folder, hash } = this.#init
    const stamps = digestOf(await this.#staging.stamps(this.#staging.staged), hash)
    await writeTransferState(folder, { phase, have: this.#have, stamps }, hash)
    this.#isStateSaved = true
  }

  // -- finishing
  // ----------------------------------------------------------------------------------------------------------

  finish(): Promise<void> {
    this.#finishing ??= this.#finish().catch(err => {
      this.#finishing = undefined
      throw err
    })
    return this.#finishing
  }

  async #finish(): Promise<void> {
    if (this.#reader !== undefined) return
    if (this.#isClosed) throw new StoreError('the store is closed', this.path)
    if (!this.#isComplete()) throw new RangeError('finish was called before every wanted piece was there')
    // The bulk of the flush runs while reads go on.
    await this.#flusher.flush()
    await this.#gate.alone(async () => {
      if (this.#reader !== undefined) return
      await this.#flusher.flush()
      const stamps = await this.#place()
      this.#flusher.stop()
      await this.#serveFinal(stamps)
    })
  }

  async #place(): Promise<(Stamp | undefined)[]> {
    const { folder, hash, placing } = this.#init
    const lost = await placing.prepare(this.#staging)
    await this.#pool.closeAll()
    if (lost.length > 0) throw this.#loseFiles(lost)
    this.#staging = await placing.bringHome(this.#staging)
    await placing.move(this.#staging, () => this.#saveState('moving'))
    // The content is in place. A state that cannot be updated costs the next run a verification, no more.
    const stamps = await this.#finalStamps()
    await (this.#selection.isPartial
      ? writeTransferState(folder, { phase: 'finished', have: this.#have, stamps: digestOf(stamps, hash) }, hash)
      : removePath(statePath(folder))
    ).catch(() => {})
    await forgetStaging(folder)
    return stamps
  }

  /** Somebody removed or cut staged files: their pieces are to be fetched again, into new files. */
  #loseFiles(files: readonly number[]): PieceLostError {
    const pieces = new Set<number>()
    for (const file of files) {
      this.#staging.staged.delete(file)
      const range = this.#layout.piecesOfFile(file)
      for (let piece = range?.first ?? 0; piece <= (range?.last ?? -1); piece++) {
        if (this.#have.get(piece)) this.#have.clear(piece)
        pieces.add(piece)
      }
    }
    return new PieceLostError(
      Array.from(pieces).sort((a, b) => a - b),
      this.#staging.path
    )
  }

  /**
   * From here on pieces are read where the content lies, and everything that only a running download needs is
   * given back.
   */
  async #serveFinal(stamps: readonly (Stamp | undefined)[]): Promise<void> {
    const nowMs = Date.now()
    this.#reader = new GuardedReader({
      manifest: this.#init.manifest,
      layout: this.#layout,
      hash: this.#init.hash,
      have: this.#have,
      pathOf: file => this.#finalPath(file),
      slicesOf: piece => this.#selection.slicesOf(piece),
      // The rename just changed the change time; the bytes are as old as the modification time.
      stamps: stamps.map(stamp => (stamp !== undefined && isSettled(stamp.mtimeNs, nowMs) ? stamp : undefined)),
      maxOpenFiles: this.#init.maxOpenFiles ?? MAX_OPEN_FILES
    })
    await this.#release()
  }

  async #release(): Promise<void> {
    await this.#staging.close()
    await this.#init.placing.close()
    await this.#init.lock.release()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#finishing?.catch(() => {})
    await this.#gate.alone(async () => {
      this.#isClosed = true
      this.#flusher.stop()
      if (this.#reader !== undefined) return this.#reader.close()
      await this.#flusher.settled()
      // Without a state (disk full, say) the next run hashes what is there; nothing is lost, so closing does
      // not fail.
      await this.#flushAndSave().catch(() => removePath(statePath(this.#init.folder)).catch(() => {}))
      await this.#pool.closeAll()
      await this.#release()
    })
  }

  #isComplete(): boolean {
    for (const piece of this.wanted.ones()) if (!this.#have.get(piece)) return false
    return true
  }

  #finalPath(file: number): string {
    return file === this.#selection.restFile ? restPath(this.#init.folder) : this.#layout.pathOf(file, this.path)
  }

  #finalStamps(): Promise<(Stamp | undefined)[]> {
    return stampsOf(this.#selection, files => this.#staging.lookElsewhere(files, file => this.#finalPath(file)))
  }

  #fail(file: number, err: unknown): never {
    throw storeError('cannot open', this.#staging.pathOf(file), err)
  }
}
