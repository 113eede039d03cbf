/**
 * The way of finished files from the staging area to their final names, and back.
 *
 * Invariants: nothing that was not at the output when the download was opened is written over; what is placed
 * is in the receipt before it is placed; no link is followed on the way. Called by the file store.
 */

import fs from 'node:fs'
import { basename, dirname } from 'node:path'
import type { HashFunction } from '../../content/hash.ts'
import type { Manifest, ManifestFile } from '../../content/manifest.ts'
import { StoreError } from '../../errors.ts'
import { closeFile, dataSync, errnoOf, forEachWide, readAt, statFile, statPath, storeError, writeAt } from '../disk.ts'
import { isSameStamp, type Stamp, stampOf } from '../file-stamp.ts'
import type { Selection } from '../selection.ts'
import { removeStaged } from './own-files.ts'
import { type FileMark, isMarkedStaging, markOf, markStaging, readReceipt, receiptOf, writeReceipt } from './receipt.ts'
import { Staging } from './staging.ts'
import { type Names, Tree } from './tree.ts'

/** Files moved at once. */
const MOVE_WIDTH = 4
const COPY_BYTES = 1024 * 1024

export interface PlacingInit {
  manifest: Manifest
  selection: Selection
  output: string
  /** The download's folder in the state folder. */
  folder: string
  hash: HashFunction
}

export class Placing {
  readonly #init: PlacingInit
  readonly #tree: Tree
  readonly #names: Names
  /** What was at the final names when the download was opened. */
  readonly #before = new Map<number, Stamp>()
  readonly #moved = new Set<number>()

  private constructor(init: PlacingInit, tree: Tree) {
    this.#init = init
    this.#tree = tree
    this.#names = [basename(init.output)]
  }

  /** The folder of the output must exist. Throws `StoreError`. */
  static async open(init: PlacingInit): Promise<Placing> {
    return new Placing(init, await Tree.open(dirname(init.output)))
  }

  close(): Promise<void> {
    return this.#tree.close()
  }

  get #layout() {
    return this.#init.selection.layout
  }

  namesOf(file: number): Names {
    return [...this.#names, ...this.#layout.namesOf(file)]
  }

  /** What is at the final names now may be replaced by the move, as long as it stays as it is. */
  async noteBefore(): Promise<void> {
    if ((await this.#tree.look(this.#names)) === undefined) return
    await forEachWide(this.#layout.files, MOVE_WIDTH, async (_, file) => {
      if (!this.#init.selection.isWantedFile[file]) return
      const stats = await this.#tree.look(this.namesOf(file))
      if (stats !== undefined) this.#before.set(file, stampOf(stats))
    })
  }

  /**
   * Throws when a link leads from the output to a folder elsewhere: what we write there could not be told
   * from what others have there.
   */
  async requireNoLink(): Promise<void> {
    if (!this.#layout.isFolder || !(await this.#tree.look(this.#names))?.isSymbolicLink()) return
    throw new StoreError('the output is a symbolic link; give the folder that it leads to', this.#init.output)
  }

  /**
   * Moves files from their final names back to where they were staged: all that `isOurs` and are not there
   * yet. Undoes a move that was cut short, and begins a repair.
   */
  async takeBack(staging: Staging, isOurs: (stats: fs.BigIntStats, file: number) => boolean): Promise<void> {
    let isMarked = false
    await forEachWide(this.#layout.files, MOVE_WIDTH, async (_, file) => {
      if (!this.#init.selection.isWantedFile[file]) return
      const names = this.namesOf(file)
      const final = await this.#tree.look(names)
      if (final === undefined || !isOurs(final, file) || (await staging.look(file)) !== undefined) return
      if (!isMarked && this.#layout.isFolder) await markStaging(this.#init.folder, await this.#made(staging))
      isMarked = true
      await this.#moveToStaging(file, names, staging)
      if (!this.#layout.isFolder) await markStaging(this.#init.folder, (await staging.look(file)) as fs.BigIntStats)
    })
  }

  async #moveToStaging(file: number, names: Names, staging: Staging): Promise<void> {
    const target = staging.namesOf(file)
    try {
      await staging.tree.makeFolder(target.slice(0, -1))
      await this.#tree.renameNew(names, staging.tree, target)
    } catch (err) {
      throw storeError('cannot take back what was moved into place', this.#tree.pathOf(names), err)
    }
  }

  /**
   * Makes the wanted files that have no bytes, and sets the executable bits. Gives the files that are not
   * there whole any more: those that somebody removed or cut. Throws `StoreError`.
   */
  async prepare(staging: Staging): Promise<number[]> {
    const lost: number[] = []
    const unfinished: number[] = []
    const isMade = (file: number): boolean => this.#layout.files[file]?.length === 0 && !staging.staged.has(file)
    const looks = await staging.lookAtEach(this.#due().filter(file => !isMade(file)))
    for (const file of this.#due()) {
      const { length, executable } = this.#layout.files[file] as ManifestFile
      if (!isMade(file) && looks.get(file)?.size !== BigInt(length)) lost.push(file)
      else if (isMade(file) || executable) unfinished.push(file)
    }
    await forEachWide(unfinished, MOVE_WIDTH, file =>
      this.#finishFile(file, this.#layout.files[file]?.executable === true, staging)
    )
    return lost
  }

  /** Wanted files that are not in place yet, ascending. */
  #due(): number[] {
    return [...this.#layout.files.keys()].filter(file => this.#init.selection.isWantedFile[file] && !this.#moved.has(file))
  }

  async #finishFile(file: number, executable: boolean, staging: Staging): Promise<void> {
    const path = staging.pathOf(file)
    const fd = await staging.openFile(file).catch(err => {
      throw storeError('cannot open', path, err)
    })
    try {
      if (!executable || process.platform === 'win32') return
      const mode = Number((await statFile(fd, path)).mode)
      // Who may read may execute.
      await new Promise<void>((resolve, reject) =>
        fs.fchmod(fd, mode | ((mode & 0o444) >> 2), err =>
          err ? reject(storeError('cannot make executable', path, err)) : resolve()
        )
      )
    } finally {
      await closeFile(fd)
    }
  }

  /**
   * A staging area on another file system is copied beside the output, so that what follows are renames;
   * gives the one to move from.
   */
  async bringHome(staging: Staging): Promise<Staging> {
    const { output, selection, folder } = this.#init
    const beside = `${output}.part`
    if (staging.path === beside) return staging
    const [from, to] = await Promise.all([statPath(staging.path), statPath(dirname(output))])
    if (from?.dev === to?.dev) return staging
    const home = await Staging.open({ selection, path: beside, folder, restPath: staging.pathOf(selection.restFile) })
    try {
      const left = await home.tree.look(home.names)
      if (left !== undefined && !(await isMarkedStaging(folder, left)))
        throw new StoreError('something else is in the way, move it away', beside)
      await removeStaged(home)
      if (this.#layout.isFolder) await markStaging(folder, await this.#made(home))
      await forEachWide(this.#layout.files, MOVE_WIDTH, async (_, file) => {
        if (!selection.isWantedFile[file] || this.#moved.has(file)) return
        await copyStaged(file, staging, home)
        if (!this.#layout.isFolder) await markStaging(folder, (await home.look(file)) as fs.BigIntStats)
      })
      home.staged.add(selection.restFile)
      home.hasUnwanted = staging.hasUnwanted
      await removeStaged(staging)
      await staging.close()
      return home
    } catch (err) {
      await home.close()
      throw storeError('cannot copy the finished content', beside, err)
    }
  }

  async #made(home: Staging): Promise<fs.BigIntStats> {
    await home.tree.makeFolder(home.names)
    return (await home.tree.look(home.names)) as fs.BigIntStats
  }

  /**
   * Gives every wanted file its final name. `onMoving` is called before files go one by one. Throws
   * `StoreError`; can be called again.
   */
  async move(staging: Staging, onMoving: () => Promise<void>): Promise<void> {
    const there = await this.#tree.look(this.#names)
    const isWhole = this.#layout.isFolder && !staging.hasUnwanted && this.#moved.size === 0 && there === undefined
    await this.#writeReceipt(staging, isWhole)
    if (!this.#layout.isFolder) {
      await this.#placeFile(0, staging)
    } else if (isWhole) {
      await this.#syncFolders(staging.tree, staging.names)
      await staging.tree.rename(staging.names, this.#tree, this.#names).catch(err => this.#failMove(this.#names, err))
    } else {
      await onMoving()
      await this.#tree.makeFolder(this.#names)
      await forEachWide(this.#layout.files, MOVE_WIDTH, async (_, file) => {
        if (!this.#init.selection.isWantedFile[file] || this.#moved.has(file)) return
        await this.#tree.makeFolder(this.namesOf(file).slice(0, -1))
        await this.#placeFile(file, staging)
        this.#moved.add(file)
      })
      await this.#syncFolders(this.#tree, this.#names)
      await removeStaged(staging)
    }
    await this.#tree.syncFolder(['.'])
  }

  async #placeFile(file: number, staging: Staging): Promise<void> {
    const names = this.namesOf(file)
    const source = staging.namesOf(file)
    const before = this.#before.get(file)
    const there = before === undefined ? undefined : await this.#tree.look(names)
    try {
      if (before !== undefined && there !== undefined) {
        if (!isSameStamp(before, stampOf(there))) throw Object.assign(new Error('changed'), { code: 'EEXIST' })
        await staging.tree.rename(source, this.#tree, names)
      } else await staging.tree.renameNew(source, this.#tree, names)
    } catch (err) {
      this.#failMove(names, err)
    }
  }

  #failMove(names: Names, err: unknown): never {
    const path = this.#tree.pathOf(names)
    if (errnoOf(err) === 'EEXIST' || errnoOf(err) === 'ENOTEMPTY')
      throw new StoreError('somebody put something there while it was downloaded; move it away', path, err)
    throw storeError('cannot move the finished content into place', path, err)
  }

  async #writeReceipt(staging: Staging, isWhole: boolean): Promise<void> {
    const { selection, manifest, output, folder, hash } = this.#init
    const former = await readReceipt(folder, hash)
    const marks: (FileMark | undefined)[] = this.#layout.files.map((_, file) => former?.files[file])
    for (const [file, stats] of await staging.lookAtEach(this.#due())) marks[file] = markOf(stats)
    const made = new Set(former?.folders ?? [])
    for (const names of this.#folders()) {
      if (isWhole || (await this.#tree.look([...this.#names, ...names])) === undefined) made.add(names.join('/'))
    }
    await writeReceipt(folder, receiptOf(manifest, output, selection, marks, [...made]), hash)
  }

  /** Every folder that holds a wanted file, from the output (no names) on. */
  #folders(): Names[] {
    if (!this.#layout.isFolder) return []
    const folders = new Map<string, Names>([['', []]])
    for (const file of this.#layout.files.keys()) {
      if (!this.#init.selection.isWantedFile[file]) continue
      for (let names = this.#layout.namesOf(file).slice(0, -1); !folders.has(names.join('/')); names = names.slice(0, -1))
        folders.set(names.join('/'), names)
    }
    return [...folders.values()]
  }

  async #syncFolders(tree: Tree, base: Names): Promise<void> {
    await forEachWide(this.#folders(), 2, names => tree.syncFolder([...base, ...names]))
  }
}

/** Copies one staged file from one staging area to another, durable. */
async function copyStaged(file: number, from: Staging, to: Staging): Promise<void> {
  const path = to.pathOf(file)
  const source = await from.openFile(file)
  try {
    const target = await to.openFile(file)
    try {
      const buffer = Buffer.allocUnsafeSlow(COPY_BYTES)
      for (let position = 0; ; ) {
        const bytes = await readAt(source, buffer, 0, COPY_BYTES, position, from.pathOf(file))
        if (bytes === 0) break
        await writeAt(target, buffer, 0, bytes, position, path)
        position += bytes
      }
      const mode = Number((await statFile(source, path)).mode) & 0o777
      await new Promise<void>((resolve, reject) => fs.fchmod(target, mode, err => (err ? reject(err) : resolve())))
      await dataSync(target, path)
    } finally {
      await closeFile(target)
    }
  } finally {
    await closeFile(source)
  }
}
