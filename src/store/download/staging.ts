/**
 * Where the pieces of a running download wait, and which of the files there are ours.
 *
 * Invariants: everything is reached without following a link (tree.ts); a file that vanished is not made
 * again empty; what lies in the way and is not ours is left as it is and reported. Called by the file store.
 */

import fs from 'node:fs'
import { basename, dirname } from 'node:path'
import { StoreError } from '../../errors.ts'
import { errnoOf, makeFolder, openRaw, statPath, storeError, syncFileSystem } from '../disk.ts'
import type { Stamp } from '../file-stamp.ts'
import { type FileLook, type FileThread, sharedWriter } from '../file-thread.ts'
import type { Slice } from '../layout.ts'
import type { Selection } from '../selection.ts'
import { lookAtEach, stampsOf } from './looks.ts'
import { isMarkedStaging, markStaging } from './receipt.ts'
import { type Names, Tree } from './tree.ts'

const READ_WRITE = fs.constants.O_RDWR | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0)

/** Files of a folder from which on a thread that works on many at once is worth its start, 30 ms. */
const MANY_FILES = 1000

export interface StagingInit {
  selection: Selection
  /** Where the pieces wait: a file, or a folder for a folder. */
  path: string
  /** The download's folder in the state folder. */
  folder: string
  /** Where bytes of unwanted files are kept. */
  restPath: string
}

export class Staging {
  /** Files that are here, or the rest file in its folder. */
  readonly staged = new Set<number>()
  readonly path: string
  readonly tree: Tree
  /** From the tree's base to {@link path}. */
  readonly names: Names
  /** An earlier run with another selection left files that this one must not put in place. */
  hasUnwanted = false
  /** An earlier run, or somebody else, left bytes that may be pieces. */
  hasBytes = false
  /** Whether what lies here is known to be ours. */
  #isOurs = false
  readonly #init: StagingInit
  readonly #selection: Selection
  /** For folders of many files, where such a thread can reach them; none once it is closed. */
  #thread: FileThread | undefined
  /** File number of each path in the manifest. */
  #fileAt: Map<string, number> | undefined

  private constructor(init: StagingInit, tree: Tree) {
    this.#init = init
    this.#selection = init.selection
    this.path = init.path
    this.tree = tree
    this.names = [basename(init.path)]
    const isLarge = init.selection.layout.files.length >= MANY_FILES
    this.#thread = isLarge && tree.handle !== undefined ? sharedWriter() : undefined
  }

  /** Makes the folder around it. Throws `StoreError`. */
  static async open(init: StagingInit): Promise<Staging> {
    await makeFolder(dirname(init.path))
    return new Staging(init, await Tree.open(dirname(init.path)))
  }

  async close(): Promise<void> {
    const thread = this.#thread
    this.#thread = undefined
    if (this.tree.handle !== undefined) await thread?.release(this.tree.handle)
    await this.tree.close()
  }

  get #layout() {
    return this.#selection.layout
  }

  namesOf(file: number): Names {
    return this.#layout.isFolder ? [...this.names, ...this.#layout.namesOf(file)] : this.names
  }

  pathOf(file: number): string {
    return file === this.#selection.restFile ? this.#init.restPath : this.#layout.pathOf(file, this.path)
  }

  /** What lies where the file is staged, links not followed. */
  look(file: number): Promise<fs.BigIntStats | undefined> {
    return file === this.#selection.restFile ? statPath(this.#init.restPath) : this.tree.look(this.namesOf(file))
  }

  /** Opens a staged file; one that was never here is made. Rejects with Node's own error or `StoreError`. */
  async openFile(file: number): Promise<number> {
    const isNew = !this.staged.has(file)
    const flags = READ_WRITE | (isNew ? fs.constants.O_CREAT : 0)
    const fd = await this.#open(file, flags).catch(async err => {
      if (!isNew || errnoOf(err) !== 'ENOENT') throw err
      await this.#makeFolderOf(file)
      return this.#open(file, flags)
    })
    this.staged.add(file)
    return fd
  }

  /**
   * Writes those slices that are whole new files, many at once. Gives the others, which are still to be
   * written.
   */
  async writeWhole(slices: readonly Slice[], data: Uint8Array): Promise<Slice[]> {
    const base = this.tree.handle
    const isWhole = ({ file, bytes }: Slice): boolean => !this.staged.has(file) && this.#layout.files[file]?.length === bytes
    const whole = this.#thread === undefined ? [] : slices.filter(isWhole)
    if (whole.length < 2 || base === undefined) return [...slices]
    const left = await this.#thread?.write({
      base,
      paths: whole.map(({ file }) => this.namesOf(file).join('/')),
      data,
      offsets: whole.map(({ pieceOffset }) => pieceOffset),
      lengths: whole.map(({ bytes }) => bytes)
    })
    const written = new Set(whole)
    for (const index of left ?? []) written.delete(whole[index] as Slice)
    for (const { file } of written) this.staged.add(file)
    return slices.filter(slice => !written.has(slice))
  }

  /** Forces all files to disk that are staged here with one call. Gives those that were not. */
  async syncTogether(files: readonly number[]): Promise<number[]> {
    if (this.#thread === undefined || !(await syncFileSystem(this.path))) return [...files]
    return files.filter(file => file === this.#selection.restFile)
  }

  /** The regular ones among the files where they are staged. Throws `StoreError`. */
  lookAtEach(files: readonly number[]): Promise<Map<number, FileLook>> {
    const paths = (some: readonly number[]): string[] => some.map(file => this.namesOf(file).join('/'))
    return lookAtEach(
      files,
      async some => this.#thread?.look(this.tree.handle, paths(some)),
      file => this.look(file)
    )
  }

  /** The same of files at other places. */
  lookElsewhere(files: readonly number[], pathOf: (file: number) => string): Promise<Map<number, FileLook>> {
    return lookAtEach(
      files,
      async some => this.#thread?.look(undefined, some.map(pathOf)),
      file => statPath(pathOf(file))
    )
  }

  #open(file: number, flags: number): Promise<number> {
    return file === this.#selection.restFile ? openRaw(this.#init.restPath, flags) : this.tree.openFile(this.namesOf(file), flags)
  }

  async #makeFolderOf(file: number): Promise<void> {
    if (file === this.#selection.restFile) await makeFolder(dirname(this.#init.restPath))
    else await this.tree.makeFolder(this.namesOf(file).slice(0, -1))
  }

  /**
   * Looks at what is here. Throws when something is in the way that no download of this content put there.
   */
  async find(): Promise<void> {
    const { isFolder } = this.#layout
    const found = await this.tree.look(this.names)
    if (found !== undefined && !(isFolder ? found.isDirectory() : found.isFile())) throw this.#foreign()
    if (found !== undefined) this.#isOurs = await isMarkedStaging(this.#init.folder, found)
    let listed: Set<number> | undefined
    if (isFolder) {
      await this.tree.makeFolder(this.names)
      listed = await this.#list()
    }
    for (const [file, stamp] of (await this.stamps(listed)).entries()) {
      if (stamp === undefined) continue
      this.staged.add(file)
      if (stamp.size > 0n) this.hasBytes = true
    }
    if (found === undefined || !this.hasBytes) await this.claim()
  }

  /**
   * What is here is ours: it is new, its state vouches for it, or its bytes are pieces. Cuts what is too long
   * and leaves our mark.
   */
  async claim(): Promise<void> {
    // The single file is made at once: missing rights and a read-only disk show now and not after the first
    // piece.
    if (!this.#layout.isFolder && !this.staged.has(0)) await this.#make()
    for (const file of this.staged) {
      const length = this.#layout.files[file]?.length
      if (length !== undefined && ((await this.look(file))?.size ?? 0n) > BigInt(length)) await this.#truncate(file, length)
    }
    if (this.#isOurs) return
    const stats = await this.tree.look(this.names)
    // Without a mark the bytes themselves have to show whose they are.
    if (stats !== undefined) await markStaging(this.#init.folder, stats).catch(() => {})
    this.#isOurs = true
  }

  /**
   * Throws when something of somebody else lies here: bytes of which none is a piece, and no mark of ours.
   */
  requireOurs(): void {
    if (!this.#isOurs) throw this.#foreign()
  }

  async #make(): Promise<void> {
    const fd = await this.openFile(0).catch(err => {
      throw storeError('cannot open', this.path, err)
    })
    await new Promise<void>(resolve => fs.close(fd, () => resolve()))
  }

  /**
   * The wanted files in the staging folder. What is moved or removed with that folder must be this content's:
   * a file of somebody else there stops us.
   */
  async #list(): Promise<Set<number>> {
    const listed = new Set([this.#selection.restFile])
    const folders: Names[] = [[]]
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      for (const entry of await this.tree.list([...this.names, ...folder])) {
        const names = [...folder, entry.name]
        if (entry.isDirectory()) {
          folders.push(names)
          continue
        }
        const file = this.#fileOf(names)
        if (file === undefined || !entry.isFile()) {
          throw new StoreError(
            `the staging folder holds what is no part of this content, remove it: ${this.path}`,
            this.tree.pathOf([...this.names, ...names])
          )
        }
        if (this.#selection.isWantedFile[file]) listed.add(file)
        else this.hasUnwanted = true
      }
    }
    return listed
  }

  /** Whether the names are those of a file of this content. */
  holds(names: Names): boolean {
    return this.#fileOf(names) !== undefined
  }

  #fileOf(names: Names): number | undefined {
    this.#fileAt ??= new Map(this.#layout.files.map(({ path }, file) => [path, file]))
    return this.#fileAt.get(names.join('/'))
  }

  async #truncate(file: number, length: number): Promise<void> {
    const fd = await this.openFile(file).catch(err => {
      throw storeError('cannot open', this.pathOf(file), err)
    })
    try {
      await new Promise<void>((resolve, reject) =>
        fs.ftruncate(fd, length, err => (err ? reject(storeError('cannot truncate', this.pathOf(file), err)) : resolve()))
      )
    } finally {
      await new Promise<void>(resolve => fs.close(fd, () => resolve()))
    }
  }

  /**
   * Stamps of the wanted files and of the rest file (of those in `among`, if given); undefined for what is
   * not there.
   */
  async stamps(among?: ReadonlySet<number>): Promise<(Stamp | undefined)[]> {
    return stampsOf(this.#selection, files => this.lookAtEach(files), among)
  }

  #foreign(): StoreError {
    return new StoreError('something else is in the way, move it away', this.path)
  }
}
