/**
 * Downloads: verified pieces go straight to their place in `<output>.part`, which becomes the output when all are there.
 *
 * Invariants:
 * - nothing is written under the final name before every wanted piece is verified, written and flushed; then it appears by rename;
 * - whatever happens to process, `.part` or state, a piece is in `have` after opening only if the state vouches for it (see
 *   transfer-state.ts) or its bytes were hashed;
 * - one process writes to an output at a time (process-lock.ts); open files are bounded.
 * Called by the node for every `get`.
 */

import fs from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Bitfield } from '../content/bitfield.ts'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { StoreError } from '../errors.ts'
import { encodeHex, encodeUtf8 } from '../util/bytes.ts'
import {
  dataSync,
  errnoOf,
  forEachWide,
  isMissing,
  isNoFile,
  makeFolder,
  openRaw,
  readAt,
  removePath,
  renamePath,
  statPath,
  storeError,
  syncFolder,
  writeAt
} from './disk.ts'
import { bufferFor, GuardedReader } from './guarded-reader.ts'
import { HandlePool } from './handle-pool.ts'
import { isPieceHash, Layout } from './layout.ts'
import { PieceLostError, type PieceStore } from './piece-store.ts'
import { lockOutput, type ProcessLock } from './process-lock.ts'
import { type Only, Selection } from './selection.ts'
import { isSettled, type Stamp, stampOf, stampText } from './stamp.ts'
import { forgetOldTransfers, readTransferState, statePath, type TransferPhase, writeTransferState } from './transfer-state.ts'
import { verifyPieces } from './verify-content.ts'

export interface FileStoreInit {
  manifest: Manifest
  /** Final path of the file or folder. Missing parent folders are made. */
  output: string
  /** For a folder: the files wanted. @default all */
  only?: Only
  /** Where unfinished content waits, a folder that may be on another file system. @default beside the output */
  incompleteDir?: string
  /** Folder for resume state. */
  stateDir: string
  hash: HashFunction
  /** Stops the verification of what is there already. */
  signal?: AbortSignal
  /** Bytes looked at of the total, while opening over what an earlier run left. */
  onChecked?: (bytes: number, total: number) => void
  /** Most files open at once. More: fewer reopenings in folders of many files. @default 256 */
  maxOpenFiles?: number
  /** Bytes written after which a flush to disk begins in the background. More: longer last flush. @default 64 MiB */
  flushBytes?: number
  /** Quiet time after which written pieces are flushed and the state is saved, in milliseconds. @default 2000 */
  flushMs?: number
}

export interface FileStore extends PieceStore {
  readonly path: string
  /** Bytes of the wanted files. */
  readonly wantedBytes: number
  /** Whether the content is in place under its final name. */
  readonly isFinished: boolean
  /** Forces written pieces to disk and saves the state. Throws `StoreError`. */
  flush(): Promise<void>
}

/** Slices of one piece written or read at once; Node's thread pool has four threads. */
const SLICE_WIDTH = 4
/** Files flushed at once; one thread of the pool stays free for reads. Journals combine flushes that come together. */
const FLUSH_WIDTH = 3
const READ_WRITE = fs.constants.O_RDWR | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0)

/**
 * Opens a download: finds again what earlier runs wrote, or starts afresh. When the output is there already and matches, the store is
 * finished at once. An output that differs is left alone until `finish` replaces it: whether that is wanted is the caller's
 * question, see {@link inspectOutput}. Throws `StoreError` (rights, disk, another process downloads there) and
 * `InvalidOptionsError` (`only` selects nothing).
 */
export async function openFileStore(init: FileStoreInit): Promise<FileStore> {
  const store = new DownloadStore(init)
  await store.open(init.signal, init.onChecked)
  return store
}

/** Where the state of a download lives. One per root, output and selection. */
export function transferFolder(
  stateDir: string,
  manifest: Manifest,
  output: string,
  selection: Selection,
  hash: HashFunction
): string {
  const wanted = selection.isPartial ? selection.isWantedFile.map(isWanted => (isWanted ? '1' : '0')).join('') : 'all'
  const key = encodeHex(hash(encodeUtf8(`${manifest.root}\n${resolve(output)}\n${wanted}`))).slice(0, 32)
  return join(resolve(stateDir), 'transfers', key)
}

/** Where the pieces of a download wait. In a folder for all of them the root keeps equal names apart. */
export function stagingPath(output: string, root: string, incompleteDir: string | undefined): string {
  const path = resolve(output)
  if (incompleteDir === undefined) return `${path}.part`
  const name = basename(path)
  // A name may be as long as file systems allow; then the root alone must do.
  const label = encodeUtf8(name).byteLength > 200 ? '' : `${name}.`
  return join(resolve(incompleteDir), `${label}${root.slice(0, 16)}.part`)
}

class DownloadStore implements FileStore {
  readonly isWritable = true
  readonly path: string
  readonly #manifest: Manifest
  readonly #hash: HashFunction
  readonly #layout: Layout
  readonly #selection: Selection
  /** Where pieces are staged: in `incompleteDir`, or beside the output. */
  #part: string
  readonly #partBeside: string
  readonly #folder: string
  readonly #maxOpenFiles: number
  readonly #flushBytes: number
  readonly #flushMs: number
  #have: Bitfield
  #lock: ProcessLock | undefined

  /** While staging: open staged files; once finished: the reader of the final ones. */
  readonly #pool: HandlePool
  #reader: GuardedReader | undefined
  #isClosed = false
  /** Files that are in the staging area (or the rest file in its folder). A file that vanishes from it is not made again empty. */
  readonly #staged = new Set<number>()
  readonly #moved = new Set<number>()
  /** An earlier run left bytes that may be pieces. */
  #foundBytes = false
  /** An earlier run with another selection left files that this one must not put in place. */
  #hasUnwantedStaged = false

  /** Reads and writes under way on the pool; `#gate` holds back new ones while the store changes under them. */
  #active = 0
  #drained: (() => void)[] = []
  #gate: Promise<void> | undefined

  #dirty = new Set<number>()
  #dirtyBytes = 0
  #writes = 0
  #isStateSaved = false
  #flushing: Promise<void> | undefined
  #flushTimer: NodeJS.Timeout | undefined
  /** A flush failed: the kernel may have dropped what it could not write, so nothing more is promised. */
  #failure: Error | undefined
  #finishing: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(init: FileStoreInit) {
    this.path = resolve(init.output)
    this.#manifest = init.manifest
    this.#hash = init.hash
    this.#layout = new Layout(init.manifest)
    this.#selection = new Selection(this.#layout, init.only)
    this.#partBeside = `${this.path}.part`
    this.#part = stagingPath(this.path, init.manifest.root, init.incompleteDir)
    this.#folder = transferFolder(init.stateDir, init.manifest, init.output, this.#selection, init.hash)
    this.#maxOpenFiles = init.maxOpenFiles ?? 256
    this.#flushBytes = init.flushBytes ?? 64 * 1024 * 1024
    this.#flushMs = init.flushMs ?? 2000
    this.#have = new Bitfield(this.#layout.geometry.pieceCount)
    this.#pool = new HandlePool(file => this.#openStaged(file), this.#maxOpenFiles)
  }

  get have(): Bitfield {
    return this.#have
  }

  get wanted(): Bitfield {
    return this.#selection.wanted
  }

  get wantedBytes(): number {
    return this.#selection.wantedBytes
  }

  get isFinished(): boolean {
    return this.#reader !== undefined
  }

  // -- opening ------------------------------------------------------------------------------------------------------------

  async open(signal: AbortSignal | undefined, onChecked: FileStoreInit['onChecked']): Promise<void> {
    await makeFolder(dirname(this.path))
    await makeFolder(dirname(this.#part))
    this.#lock = await lockOutput(`${this.#partBeside}.lock`, this.path)
    try {
      await forgetOldTransfers(dirname(this.#folder), Date.now())
      // Killed between the copy home and the rename, or begun before there was a folder for what is incomplete.
      if ((await statPath(this.#part)) === undefined && (await statPath(this.#partBeside)) !== undefined)
        this.#part = this.#partBeside
      const state = await readTransferState(this.#folder, this.#layout.geometry.pieceCount, this.#hash)
      if (state?.phase === 'moving') await this.#moveBack()
      if (await this.#openFinished(state, signal, onChecked)) return
      await this.#findStaged()
      if (state?.phase === 'staged' && state.stamps === this.#digest(await this.#stampAll('staged', this.#staged))) {
        this.#have = state.have
        this.#isStateSaved = true
      } else {
        await removePath(statePath(this.#folder))
        if (this.#foundBytes) await this.#verify(file => this.#stagedPath(file), signal, onChecked)
      }
    } catch (err) {
      await this.#pool.closeAll()
      await this.#lock.release()
      throw err
    }
  }

  /** Whether every wanted file is in place already and matches; then the store is finished. */
  async #openFinished(
    state: { phase: TransferPhase; have: Bitfield; stamps: string } | undefined,
    signal: AbortSignal | undefined,
    onChecked: FileStoreInit['onChecked']
  ): Promise<boolean> {
    if ((await statPath(this.path)) === undefined) return false
    const stamps = await this.#stampAll('finished')
    const isThere = this.#layout.files.every(
      (file, index) => !this.#selection.isWantedFile[index] || stamps[index]?.size === BigInt(file.length)
    )
    if (!isThere) return false
    if (state?.phase === 'finished' && state.stamps === this.#digest(stamps)) this.#have = state.have
    else await this.#verify(file => this.#finalPath(file), signal, onChecked)
    if (!this.#isComplete()) {
      this.#have = new Bitfield(this.#layout.geometry.pieceCount)
      return false
    }
    this.#serveFinal(stamps)
    await this.#lock?.release()
    return true
  }

  /** Looks at what lies in the staging area. Throws when something is in the way that no download put there. */
  async #findStaged(): Promise<void> {
    const kind = await fs.promises.lstat(this.#part).catch(err => {
      if (isMissing(err)) return undefined
      throw storeError('cannot stat', this.#part, err)
    })
    if (kind !== undefined && !(this.#layout.isFolder ? kind.isDirectory() : kind.isFile())) {
      throw new StoreError('something else is in the way, remove it', this.#part)
    }
    let listed: Set<number> | undefined
    if (this.#layout.isFolder) {
      await makeFolder(this.#part)
      listed = await this.#listStaged()
    }
    const stamps = await this.#stampAll('staged', listed)
    for (const [file, stamp] of stamps.entries()) {
      if (stamp === undefined) continue
      this.#staged.add(file)
      if (stamp.size > 0n) this.#foundBytes = true
      const length = this.#layout.files[file]?.length
      if (length !== undefined && stamp.size > BigInt(length)) await this.#truncate(file, length)
    }
    // The single file is made at once: missing rights and a read-only disk show now and not after the first piece.
    if (!this.#layout.isFolder && !this.#staged.has(0)) await this.#pool.use(0, async () => {}).catch(err => this.#fail(0, err))
  }

  /**
   * The files in the staging folder. What is moved or removed with that folder must be this content's: a file of somebody else there
   * stops us.
   */
  async #listStaged(): Promise<Set<number>> {
    const entries = await fs.promises.readdir(this.#part, { withFileTypes: true, recursive: true }).catch(err => {
      throw storeError('cannot list', this.#part, err)
    })
    const listed = new Set([this.#selection.restFile])
    if (entries.length === 0) return listed
    const own = new Map(this.#layout.files.map((_, file) => [this.#stagedPath(file), file]))
    for (const entry of entries) {
      if (entry.isDirectory()) continue
      const path = join(entry.parentPath, entry.name)
      const file = own.get(path)
      if (file === undefined || !entry.isFile()) {
        throw new StoreError(`the staging folder holds what is no part of this content, remove it: ${this.#part}`, path)
      }
      if (this.#selection.isWantedFile[file]) listed.add(file)
      else this.#hasUnwantedStaged = true
    }
    return listed
  }

  async #truncate(file: number, length: number): Promise<void> {
    const path = this.#stagedPath(file)
    await fs.promises.truncate(path, length).catch(err => {
      throw storeError('cannot truncate', path, err)
    })
  }

  /** Hashes every wanted piece that may be there and sets `have` to those that match. */
  async #verify(
    pathOf: (file: number) => string,
    signal: AbortSignal | undefined,
    onChecked: FileStoreInit['onChecked']
  ): Promise<void> {
    const { wanted } = this.#selection
    const have = wanted.clone()
    const bad = await verifyPieces({
      manifest: this.#manifest,
      layout: this.#layout,
      pathOf,
      slicesOf: piece => this.#selection.slicesOf(piece),
      skip: piece => !wanted.get(piece),
      hash: this.#hash,
      ...(signal === undefined ? {} : { signal }),
      ...(onChecked === undefined ? {} : { onProgress: onChecked })
    })
    for (const piece of bad) have.clear(piece)
    this.#have = have
  }

  /** Undoes a move into an existing folder that was cut short, so that all files are staged again. */
  async #moveBack(): Promise<void> {
    const isFound = async (path: string): Promise<boolean> => (await statPath(path)) !== undefined
    if (!(await isFound(this.#part))) return
    await forEachWide(this.#layout.files, SLICE_WIDTH, async (file, index) => {
      if (!this.#selection.isWantedFile[index] || (await isFound(this.#stagedPath(index)))) return
      const final = await statPath(this.#finalPath(index))
      if (!final?.isFile() || final.size !== BigInt(file.length)) return
      await makeFolder(dirname(this.#stagedPath(index)))
      await renamePath(this.#finalPath(index), this.#stagedPath(index))
    })
  }

  // -- pieces -------------------------------------------------------------------------------------------------------------

  async write(piece: number, data: Uint8Array): Promise<boolean> {
    const { geometry } = this.#layout
    if (!geometry.hasPiece(piece) || !this.wanted.get(piece)) throw new RangeError(`piece ${piece} is not wanted`)
    if (data.byteLength !== geometry.pieceBytes(piece) || !isPieceHash(this.#manifest, piece, this.#hash(data))) return false
    await this.#enter()
    try {
      if (this.#have.get(piece) || this.#reader !== undefined) return true
      if (this.#failure !== undefined) throw this.#failure
      this.#writes++
      await forEachWide(this.#selection.slicesOf(piece), SLICE_WIDTH, async slice => {
        const path = this.#stagedPath(slice.file)
        try {
          await this.#pool.use(slice.file, fd => writeAt(fd, data, slice.pieceOffset, slice.bytes, slice.fileOffset, path))
        } catch (err) {
          this.#fail(slice.file, err)
        } finally {
          this.#dirty.add(slice.file)
        }
      })
      this.#have.set(piece)
      this.#dirtyBytes += data.byteLength
    } finally {
      this.#leave()
      this.#scheduleFlush()
    }
    return true
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
        const path = this.#stagedPath(slice.file)
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
        throw new PieceLostError([piece], this.#part)
      }
      return data
    } finally {
      this.#leave()
    }
  }

  /** Begins a read or write; waits while the store changes under it. A write also withdraws the saved state first. */
  async #enter(kind: 'read' | 'write' = 'write'): Promise<void> {
    while (this.#gate !== undefined) await this.#gate
    if (this.#isClosed) throw new StoreError('the store is closed', this.path)
    if (kind === 'write' && this.#isStateSaved && this.#reader === undefined) {
      await this.#withGate(async () => {
        await removePath(statePath(this.#folder))
        this.#isStateSaved = false
      })
      return this.#enter(kind)
    }
    this.#active++
  }

  #leave(): void {
    this.#active--
    if (this.#active === 0) for (const wake of this.#drained.splice(0)) wake()
  }

  /** Runs `action` with no read or write under way and none beginning. */
  async #withGate(action: () => Promise<void>): Promise<void> {
    while (this.#gate !== undefined) await this.#gate
    let open = (): void => {}
    this.#gate = new Promise(resolve => {
      open = resolve
    })
    try {
      if (this.#active > 0) await new Promise<void>(resolve => this.#drained.push(resolve))
      await action()
    } finally {
      this.#gate = undefined
      open()
    }
  }

  // -- flushing and state -------------------------------------------------------------------------------------------------

  async flush(): Promise<void> {
    if (this.#reader !== undefined || this.#isClosed) return
    await this.#withGate(() => this.#flushAndSave())
  }

  #scheduleFlush(): void {
    if (this.#isClosed) return
    if (this.#dirtyBytes >= this.#flushBytes) this.#flushDirty().catch(() => {})
    this.#flushTimer ??= this.#startTimer()
  }

  /** Fires when no piece was written for a while; busy stores only flush. */
  #startTimer(): NodeJS.Timeout {
    const writes = this.#writes
    const timer = setTimeout(() => {
      this.#flushTimer = undefined
      if (this.#isClosed || this.#reader !== undefined) return
      if (this.#writes === writes && this.#active === 0) this.flush().catch(() => {})
      else {
        this.#flushDirty().catch(() => {})
        this.#flushTimer = this.#startTimer()
      }
    }, this.#flushMs)
    timer.unref()
    return timer
  }

  /** Forces what was written so far to disk, one flush at a time. A failure sticks; the next write and `finish` throw it. */
  async #flushDirty(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#flushing !== undefined) return this.#flushing
    const files = [...this.#dirty]
    if (files.length === 0) return
    this.#dirty = new Set()
    this.#dirtyBytes = 0
    this.#flushing = forEachWide(files, FLUSH_WIDTH, file =>
      this.#pool.use(file, fd => dataSync(fd, this.#stagedPath(file))).catch(err => this.#fail(file, err))
    )
    try {
      await this.#flushing
    } catch (err) {
      this.#failure = err as Error
      throw err
    } finally {
      this.#flushing = undefined
    }
  }

  /** Only behind the gate. */
  async #flushAndSave(): Promise<void> {
    await this.#flushing
    await this.#flushDirty()
    if (!this.#isStateSaved) await this.#saveState('staged')
  }

  async #saveState(phase: TransferPhase): Promise<void> {
    const stamps = this.#digest(await this.#stampAll('staged', this.#staged))
    await writeTransferState(this.#folder, { phase, have: this.#have, stamps }, this.#hash)
    this.#isStateSaved = true
  }

  #digest(stamps: readonly (Stamp | undefined)[]): string {
    const text = stamps.map(stamp => (stamp === undefined ? '-' : stampText(stamp))).join('\n')
    return encodeHex(this.#hash(encodeUtf8(text)))
  }

  /** Stamps of the wanted files and of the rest file (of those in `among`, if given); undefined for what is not there. */
  async #stampAll(where: 'staged' | 'finished', among?: ReadonlySet<number>): Promise<(Stamp | undefined)[]> {
    const { isWantedFile, restFile, hasRest } = this.#selection
    const stamps: (Stamp | undefined)[] = new Array(restFile + 1).fill(undefined)
    await forEachWide([...(among ?? stamps.keys())], 8, async file => {
      if (file === restFile ? !hasRest : !isWantedFile[file]) return
      const path = where === 'staged' ? this.#stagedPath(file) : this.#finalPath(file)
      const stats = await statPath(path)
      if (stats?.isFile()) stamps[file] = stampOf(stats)
    })
    return stamps
  }

  // -- finishing ----------------------------------------------------------------------------------------------------------

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
    await this.#flushing
    await this.#flushDirty()
    await this.#withGate(async () => {
      if (this.#reader !== undefined) return
      await this.#flushing
      await this.#flushDirty()
      await this.#prepareFiles()
      await this.#pool.closeAll()
      await this.#move()
      const stamps = await this.#stampAll('finished')
      const state = { phase: 'finished', have: this.#have, stamps: this.#digest(stamps) } as const
      // The content is in place. A state that cannot be updated costs the next run a verification, no more.
      await (this.#selection.isPartial ? writeTransferState(this.#folder, state, this.#hash) : removePath(this.#folder)).catch(
        () => {}
      )
      clearTimeout(this.#flushTimer)
      this.#serveFinal(stamps)
      await this.#lock?.release()
    })
  }

  /** Makes the wanted files that have no bytes, sets the executable bits and sees that every file is still there whole. */
  async #prepareFiles(): Promise<void> {
    const lost: number[] = []
    await forEachWide(this.#layout.files, SLICE_WIDTH, async ({ length, executable }, file) => {
      if (!this.#selection.isWantedFile[file] || this.#moved.has(file)) return
      const path = this.#stagedPath(file)
      if (length === 0) await this.#pool.use(file, async () => {}).catch(err => this.#fail(file, err))
      const stats = await statPath(path)
      if (!stats?.isFile() || stats.size !== BigInt(length)) {
        lost.push(file)
      } else if (executable && process.platform !== 'win32') {
        const mode = Number(stats.mode)
        // Who may read may execute.
        await fs.promises.chmod(path, mode | ((mode & 0o444) >> 2)).catch(err => {
          throw storeError('cannot make executable', path, err)
        })
      }
    })
    if (lost.length > 0) throw await this.#loseFiles(lost)
  }

  /** Somebody removed or cut staged files: their pieces are to be fetched again, into new files. */
  async #loseFiles(files: readonly number[]): Promise<PieceLostError> {
    await this.#pool.closeAll()
    const pieces = new Set<number>()
    for (const file of files) {
      this.#staged.delete(file)
      const range = this.#layout.piecesOfFile(file)
      for (let piece = range?.first ?? 0; piece <= (range?.last ?? -1); piece++) {
        if (this.#have.get(piece)) this.#have.clear(piece)
        pieces.add(piece)
      }
    }
    return new PieceLostError(
      [...pieces].sort((a, b) => a - b),
      this.#part
    )
  }

  /** A staging area on another file system is copied beside the output first, so that what follows are renames. */
  async #bringHome(): Promise<void> {
    if (this.#part === this.#partBeside) return
    const [from, to] = await Promise.all([statPath(this.#part), statPath(dirname(this.path))])
    if (from?.dev === to?.dev) return
    await removePath(this.#partBeside)
    await fs.promises.cp(this.#part, this.#partBeside, { recursive: true, preserveTimestamps: true }).catch(err => {
      throw storeError('cannot copy the finished content', this.#partBeside, err)
    })
    const away = this.#part
    this.#part = this.#partBeside
    await forEachWide(this.#layout.files, 2, async (_, file) => {
      if (!this.#selection.isWantedFile[file] || this.#moved.has(file)) return
      await this.#pool.use(file, fd => dataSync(fd, this.#stagedPath(file))).catch(err => this.#fail(file, err))
    })
    await this.#pool.closeAll()
    await removePath(away)
  }

  async #move(): Promise<void> {
    await this.#bringHome()
    if (!this.#layout.isFolder) {
      await renamePath(this.#part, this.path)
    } else if (!this.#hasUnwantedStaged && this.#moved.size === 0 && (await statPath(this.path)) === undefined) {
      await this.#syncFolders(this.#part)
      await renamePath(this.#part, this.path)
    } else {
      await this.#saveState('moving')
      await makeFolder(this.path)
      await forEachWide(this.#layout.files, SLICE_WIDTH, async (_, file) => {
        if (!this.#selection.isWantedFile[file] || this.#moved.has(file)) return
        await makeFolder(dirname(this.#finalPath(file)))
        await renamePath(this.#stagedPath(file), this.#finalPath(file))
        this.#moved.add(file)
      })
      await this.#syncFolders(this.path)
      await removePath(this.#part)
    }
    await syncFolder(dirname(this.path))
  }

  /** Syncs every folder below `base` that holds a wanted file. */
  async #syncFolders(base: string): Promise<void> {
    const folders = new Set([base])
    for (const file of this.#layout.files.keys()) {
      if (!this.#selection.isWantedFile[file]) continue
      for (let folder = dirname(this.#layout.pathOf(file, base)); !folders.has(folder); folder = dirname(folder))
        folders.add(folder)
    }
    await forEachWide([...folders], 2, syncFolder)
  }

  #serveFinal(stamps: readonly (Stamp | undefined)[]): void {
    const nowMs = Date.now()
    this.#reader = new GuardedReader({
      manifest: this.#manifest,
      layout: this.#layout,
      hash: this.#hash,
      have: this.#have,
      pathOf: file => this.#finalPath(file),
      slicesOf: piece => this.#selection.slicesOf(piece),
      // The rename just changed the change time; the bytes are as old as the modification time.
      stamps: stamps.map(stamp => (stamp !== undefined && isSettled(stamp.mtimeNs, nowMs) ? stamp : undefined)),
      maxOpenFiles: this.#maxOpenFiles
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#finishing?.catch(() => {})
    await this.#withGate(async () => {
      this.#isClosed = true
      clearTimeout(this.#flushTimer)
      if (this.#reader === undefined) {
        await this.#flushing?.catch(() => {})
        // Without a state (disk full, say) the next run hashes what is there; nothing is lost, so closing does not fail.
        await this.#flushAndSave().catch(() => removePath(statePath(this.#folder)).catch(() => {}))
        await this.#pool.closeAll()
      }
      await this.#reader?.close()
      await this.#lock?.release()
    })
  }

  // -- files --------------------------------------------------------------------------------------------------------------

  #isComplete(): boolean {
    for (const piece of this.wanted.ones()) if (!this.#have.get(piece)) return false
    return true
  }

  #stagedPath(file: number): string {
    return file === this.#selection.restFile ? this.#restPath() : this.#layout.pathOf(file, this.#part)
  }

  #finalPath(file: number): string {
    return file === this.#selection.restFile ? this.#restPath() : this.#layout.pathOf(file, this.path)
  }

  #restPath(): string {
    return join(this.#folder, 'rest')
  }

  async #openStaged(file: number): Promise<number> {
    const path = this.#stagedPath(file)
    if (this.#staged.has(file)) return openRaw(path, READ_WRITE)
    const create = (): Promise<number> => openRaw(path, READ_WRITE | fs.constants.O_CREAT)
    const fd = await create().catch(async err => {
      if (errnoOf(err) !== 'ENOENT') throw err
      await makeFolder(dirname(path))
      return create()
    })
    this.#staged.add(file)
    return fd
  }

  #fail(file: number, err: unknown): never {
    throw storeError('cannot open', this.#stagedPath(file), err)
  }
}
