/**
 * What lies below one folder, reached name by name, so that a symbolic link put there meanwhile leads nothing
 * of ours elsewhere.
 *
 * `O_NOFOLLOW` guards the last name of a path only. On Linux every folder on the way is opened without
 * following links, and what is done in it goes through its handle (`/proc/self/fd/<n>/<name>`): a folder that
 * is swapped after that changes nothing for us. Elsewhere the folders are looked at before and after, and an
 * opened file is compared with what the path names; what remains there: within that moment an empty file may
 * be made, or an entry moved or removed, in the place that a link was just put to.
 *
 * The base itself may be reached through links: it is the user's own choice. It is opened once, and stays the
 * folder that it was then. Called by downloads, which write, move and delete through it.
 */

import fs from 'node:fs'
import { join, sep } from 'node:path'
import { StoreError } from '../../errors.ts'
import { closeFile, errnoOf, isMissing, openRaw, statFile, storeError } from '../disk.ts'
import { HandlePool } from '../handle-pool.ts'

/** A link, or a file, lies where a folder belongs. */
export class SwappedFolderError extends StoreError {
  constructor(path: string) {
    super('a link or file lies where a folder of this content belongs, move it away', path)
  }
}

/** Names from the base to an entry, without separators. */
export type Names = readonly string[]

const { O_RDONLY, O_DIRECTORY = 0, O_NOFOLLOW = 0 } = fs.constants
/** Folders kept open: those of the files that are worked on now. */
const OPEN_FOLDERS = 64

export class Tree {
  readonly base: string
  /** Undefined where folders have no handles that could be named. */
  readonly #fd: number | undefined
  readonly #folders: HandlePool<string>

  private constructor(base: string, fd: number | undefined) {
    this.base = base
    this.#fd = fd
    this.#folders = new HandlePool(key => this.#walk(key.split(sep)), OPEN_FOLDERS)
  }

  /** `base` must exist. `usesHandles` false: the way of other platforms. Throws `StoreError`. */
  static async open(base: string, usesHandles = hasHandles()): Promise<Tree> {
    if (!usesHandles) return new Tree(base, undefined)
    const fd = await openRaw(base, O_RDONLY | O_DIRECTORY).catch(err => {
      throw storeError('cannot open the folder', base, err)
    })
    return new Tree(base, fd)
  }

  /**
   * The open base, for the thread that works on many files at once; undefined where folders have no handles
   * that could be named.
   */
  get handle(): number | undefined {
    return this.#fd
  }

  async close(): Promise<void> {
    await this.#folders.closeAll()
    if (this.#fd !== undefined) await closeFile(this.#fd)
  }

  pathOf(names: Names): string {
    return join(this.base, ...names)
  }

  /**
   * Opens a file, never through a link. Rejects with Node's own error for the file itself, `StoreError` for
   * the folders on the way.
   */
  async openFile(names: Names, flags: number, mode = 0o666): Promise<number> {
    return this.#within(names, async path => {
      const fd = await openRaw(path, flags | O_NOFOLLOW, mode)
      if (this.#fd === undefined && !(await this.#isAt(fd, path))) {
        await closeFile(fd)
        throw this.#swapped(names)
      }
      return fd
    })
  }

  /** What lies there, links not followed; undefined when nothing does. Throws `StoreError`. */
  async look(names: Names): Promise<fs.BigIntStats | undefined> {
    try {
      return await this.#within(names, path => fs.promises.lstat(path, { bigint: true }))
    } catch (err) {
      if (isMissing(err)) return undefined
      throw storeError('cannot stat', this.pathOf(names), err)
    }
  }

  /**
   * The names in a folder and whether each is a folder or a regular file (a link is neither). Throws
   * `StoreError`.
   */
  async list(names: Names): Promise<fs.Dirent[]> {
    try {
      return await this.#within([...names, '.'], path => fs.promises.readdir(path, { withFileTypes: true }))
    } catch (err) {
      if (isMissing(err)) return []
      throw storeError('cannot list', this.pathOf(names), err)
    }
  }

  /**
   * Makes the folder and those on the way; gives those that were not there before, outermost first. Throws
   * `StoreError`.
   */
  async makeFolder(names: Names): Promise<Names[]> {
    const made: Names[] = []
    for (let depth = 1; depth <= names.length; depth++) {
      const folder = names.slice(0, depth)
      const found = await this.look(folder)
      if (found?.isDirectory()) continue
      if (found !== undefined) throw this.#swapped(folder)
      this.#folders.forget(folder.join(sep))
      try {
        await this.#within(folder, path => fs.promises.mkdir(path))
        made.push(folder)
      } catch (err) {
        if (errnoOf(err) === 'EEXIST' && (await this.look(folder))?.isDirectory()) continue
        throw storeError('cannot create folder', this.pathOf(folder), err)
      }
    }
    return made
  }

  /** Removes one file. Rejects with Node's own error. */
  async unlink(names: Names): Promise<void> {
    await this.#within(names, path => fs.promises.unlink(path))
  }

  /** Removes the folder if it is empty; whether it is gone. */
  async removeEmptyFolder(names: Names): Promise<boolean> {
    this.#folders.forget(names.join(sep))
    return this.#within(names, path => fs.promises.rmdir(path)).then(
      () => true,
      err => isMissing(err)
    )
  }

  /** Moves an entry, over what is there. Rejects with Node's own error. */
  async rename(from: Names, to: Tree, toNames: Names): Promise<void> {
    this.#folders.forget(from.join(sep))
    await this.#within(from, source => to.#within(toNames, target => fs.promises.rename(source, target)))
  }

  /**
   * Moves a file to where nothing is; rejects with `EEXIST` when something is. Without hard links there is a
   * moment between look and move.
   */
  async renameNew(from: Names, to: Tree, toNames: Names): Promise<void> {
    try {
      await this.#within(from, source => to.#within(toNames, target => fs.promises.link(source, target)))
    } catch (err) {
      if (!NO_HARD_LINKS.has(errnoOf(err) ?? '')) throw err
      if ((await to.look(toNames)) !== undefined) throw Object.assign(new Error('taken'), { code: 'EEXIST' })
      return this.rename(from, to, toNames)
    }
    await this.unlink(from)
  }

  /**
   * Makes created and renamed entries of the folder survive a power cut. Platforms that cannot are passed
   * over.
   */
  async syncFolder(names: Names): Promise<void> {
    if (process.platform === 'win32') return
    const path = this.pathOf(names)
    const fd = await this.#within([...names, '.'], inside => openRaw(inside, O_RDONLY)).catch(err => {
      throw storeError('cannot open folder', path, err)
    })
    try {
      await new Promise<void>((resolve, reject) =>
        fs.fsync(fd, err => {
          // Some network and FUSE file systems have no fsync for folders; the rename itself was atomic.
          if (err && errnoOf(err) !== 'EINVAL' && errnoOf(err) !== 'ENOTSUP') reject(storeError('cannot flush', path, err))
          else resolve()
        })
      )
    } finally {
      await closeFile(fd)
    }
  }

  /** Runs `action` with a path whose folders were reached without following a link. */
  async #within<T>(names: Names, action: (path: string) => Promise<T>): Promise<T> {
    const folder = names.slice(0, -1)
    const name = names.at(-1) as string
    if (this.#fd === undefined) {
      await this.#check(folder)
      const result = await action(this.pathOf(names))
      await this.#check(folder)
      return result
    }
    if (folder.length === 0) return action(within(this.#fd, name))
    return this.#folders.use(folder.join(sep), fd => action(within(fd, name)))
  }

  /** A handle of the folder, opened name by name. */
  async #walk(names: Names): Promise<number> {
    const base = this.#fd as number
    let fd = base
    for (const [index, name] of names.entries()) {
      const next = await openRaw(within(fd, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(err => err as Error)
      if (fd !== base) await closeFile(fd)
      if (typeof next !== 'number') {
        const code = errnoOf(next)
        throw code === 'ELOOP' || code === 'ENOTDIR' ? this.#swapped(names.slice(0, index + 1)) : next
      }
      fd = next
    }
    return fd
  }

  /** The same without handles. */
  async #check(names: Names): Promise<void> {
    for (let depth = 1; depth <= names.length; depth++) {
      const folder = names.slice(0, depth)
      if (!(await fs.promises.lstat(this.pathOf(folder))).isDirectory()) throw this.#swapped(folder)
    }
  }

  async #isAt(fd: number, path: string): Promise<boolean> {
    const [opened, named] = await Promise.all([statFile(fd, path), fs.promises.lstat(path, { bigint: true })])
    return opened.dev === named.dev && opened.ino === named.ino
  }

  #swapped(names: Names): SwappedFolderError {
    return new SwappedFolderError(this.pathOf(names))
  }
}

const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS'])

function within(fd: number, name: string): string {
  return `/proc/self/fd/${fd}/${name}`
}

let handles: boolean | undefined
/** Linux with /proc mounted. */
function hasHandles(): boolean {
  handles ??= process.platform === 'linux' && fs.existsSync('/proc/self/fd')
  return handles
}
