/**
 * Deletes what a download put on disk, and nothing else: staged pieces, resume state and, when it was
 * finished, the content itself.
 *
 * Invariants: only regular files go that are still what we wrote, by the receipt or by their hashes; each by
 * `unlink`, and none through a link; folders go when we made them and they are empty. All else stays, and is
 * named in the answer. Between the last look at a file and its removal lies one system call. Called by the
 * node for a download that no transfer holds open.
 */

import type { BigIntStats } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import type { HashFunction } from '../../content/hash.ts'
import type { Manifest } from '../../content/manifest.ts'
import { forEachWide, removePath, statPath } from '../disk.ts'
import { isSameStamp, type Stamp, stampOf } from '../file-stamp.ts'
import { Layout } from '../layout.ts'
import { type Only, Selection } from '../selection.ts'
import { intactPieces, verifyPieces } from '../verify-content.ts'
import { type LeftFile, removeStaged, unlinkOwn } from './own-files.ts'
import { restPath, stagingPath, transferFolder } from './paths.ts'
import { isMarked, isMarkedStaging, type Receipt, readReceipt } from './receipt.ts'
import { Staging } from './staging.ts'
import { type Names, SwappedFolderError, Tree } from './tree.ts'

export interface RemoveDownloadInit {
  manifest: Manifest
  output: string
  only?: Only
  stateDir: string
  incompleteDir?: string
  hash: HashFunction
  /** Whether it was complete, so that what lies at `output` is ours to delete. */
  finished: boolean
  /** Delete nothing when some file of it is no longer what we wrote. @default false */
  unlessChanged?: boolean
}

export interface RemovedDownload {
  /** What lies where our files were and is not what we wrote. */
  changed: LeftFile[]
  /** What others put among our files; the first hundred. */
  beside: LeftFile[]
}

const LOOK_WIDTH = 8
const MOST_BESIDE = 100

/** Idempotent. Throws `StoreError` when something of ours cannot be deleted. */
export async function removeDownload(init: RemoveDownloadInit): Promise<RemovedDownload> {
  const { manifest, stateDir, hash, incompleteDir } = init
  const output = resolve(init.output)
  const selection = new Selection(new Layout(manifest), init.only)
  const folder = transferFolder(stateDir, manifest, output, selection, hash)
  const removal = new Removal(init, selection, output, folder)
  const left = init.finished ? await removal.removeFinished() : { changed: [], beside: [] }
  if (left.changed.length > 0 && init.unlessChanged === true) return left
  for (const part of new Set([
    stagingPath(output, manifest.root, incompleteDir),
    stagingPath(output, manifest.root, undefined)
  ])) {
    left.beside.push(...(await removal.removeStaging(part)))
  }
  await removePath(folder)
  return left
}

class Removal {
  readonly #init: RemoveDownloadInit
  readonly #selection: Selection
  readonly #layout: Layout
  readonly #output: string
  readonly #folder: string

  constructor(init: RemoveDownloadInit, selection: Selection, output: string, folder: string) {
    this.#init = init
    this.#selection = selection
    this.#layout = selection.layout
    this.#output = output
    this.#folder = folder
  }

  async removeFinished(): Promise<RemovedDownload> {
    const left: RemovedDownload = { changed: [], beside: [] }
    if ((await statPath(dirname(this.#output))) === undefined) return left
    const receipt = await readReceipt(this.#folder, this.#init.hash)
    const tree = await Tree.open(dirname(this.#output))
    try {
      const own = new Map<number, Stamp>()
      await forEachWide(this.#layout.files, LOOK_WIDTH, async (_, file) => {
        if (!this.#selection.isWantedFile[file]) return
        const verdict = await this.#judge(tree, file, receipt)
        if (typeof verdict === 'string') left.changed.push({ path: tree.pathOf(this.#namesOf(file)), reason: verdict })
        else if (verdict !== undefined) own.set(file, verdict)
      })
      if (left.changed.length > 0 && this.#init.unlessChanged === true) return left
      await forEachWide([...own], LOOK_WIDTH, async ([file, stamp]) => {
        const names = this.#namesOf(file)
        const now = await tree.look(names)
        // Hashing may have taken a while.
        if (now !== undefined && isSameStamp(stampOf(now), stamp)) await unlinkOwn(tree, names)
        else if (now !== undefined) left.changed.push({ path: tree.pathOf(names), reason: CHANGED })
      })
      const ours = new Set(receipt?.folders)
      for (const folder of deepestFirst([...ours])) await this.#removeFolder(tree, folder, ours, left)
    } finally {
      await tree.close()
    }
    return left
  }

  #namesOf(file: number): Names {
    return [basename(this.#output), ...this.#layout.namesOf(file)]
  }

  /** The stamp of a file that is ours; why not, in words; undefined when nothing is there. */
  async #judge(tree: Tree, file: number, receipt: Receipt | undefined): Promise<Stamp | string | undefined> {
    const names = this.#namesOf(file)
    let stats: BigIntStats | undefined
    try {
      stats = await tree.look(names)
    } catch (err) {
      if (err instanceof SwappedFolderError) return 'it is reached through a link or a file that was put there'
      throw err
    }
    if (stats === undefined) return undefined
    if (stats.isSymbolicLink()) return 'a symbolic link that was put there'
    if (!stats.isFile()) return 'no regular file'
    if (receipt === undefined) return 'not known to be what this download wrote'
    if (isMarked(stats, receipt.files[file]) || (await this.#hasOurBytes(file, stats))) return stampOf(stats)
    return CHANGED
  }

  /**
   * Whether the file, touched or copied back from elsewhere, has the bytes that we wrote. Its neighbours in a
   * piece must be there as well.
   */
  async #hasOurBytes(file: number, stats: BigIntStats): Promise<boolean> {
    const range = this.#layout.piecesOfFile(file)
    if (stats.size !== BigInt(this.#layout.files[file]?.length ?? -1)) return false
    if (range === undefined) return true
    const bad = await verifyPieces({
      manifest: this.#init.manifest,
      layout: this.#layout,
      hash: this.#init.hash,
      pathOf: each => (each === this.#selection.restFile ? restPath(this.#folder) : this.#layout.pathOf(each, this.#output)),
      slicesOf: piece => this.#selection.slicesOf(piece),
      skip: piece => piece < range.first || piece > range.last
    })
    return !bad.some(piece => piece >= range.first && piece <= range.last)
  }

  async #removeFolder(tree: Tree, folder: string, ours: ReadonlySet<string>, left: RemovedDownload): Promise<void> {
    const names = [basename(this.#output), ...(folder === '' ? [] : folder.split('/'))]
    try {
      if (await tree.removeEmptyFolder(names)) return
      const changed = new Set(left.changed.map(({ path }) => path))
      for (const entry of await tree.list(names)) {
        const path = tree.pathOf([...names, entry.name])
        // A folder of ours that is not empty shows by what is in it.
        const isOurFolder = entry.isDirectory() && ours.has(folder === '' ? entry.name : `${folder}/${entry.name}`)
        if (isOurFolder || changed.has(path) || left.beside.length >= MOST_BESIDE) continue
        left.beside.push({ path, reason: 'no part of this download' })
      }
    } catch (err) {
      // A link in its place: what is behind it is none of ours.
      if (!(err instanceof SwappedFolderError)) throw err
    }
  }

  /** Deletes the staging area at `part` if it is ours. */
  async removeStaging(part: string): Promise<LeftFile[]> {
    if ((await statPath(dirname(part))) === undefined) return []
    const staging = await Staging.open({
      selection: this.#selection,
      path: part,
      folder: this.#folder,
      restPath: restPath(this.#folder)
    })
    try {
      const stats = await staging.tree.look(staging.names)
      if (stats === undefined) return []
      const isRightKind = this.#layout.isFolder ? stats.isDirectory() : stats.isFile()
      const isOurs = isRightKind && ((await isMarkedStaging(this.#folder, stats)) || (await this.#hasPieces(staging)))
      return isOurs ? await removeStaged(staging) : [{ path: part, reason: 'not known to be what this download wrote' }]
    } finally {
      await staging.close()
    }
  }

  /** Whether some piece of the content waits there: it is ours though its mark is lost. */
  async #hasPieces(staging: Staging): Promise<boolean> {
    const { manifest, hash } = this.#init
    return (await intactPieces(manifest, this.#selection, file => staging.pathOf(file), { hash })).count > 0
  }
}

const CHANGED = 'changed since it was downloaded'

function deepestFirst(folders: readonly string[]): string[] {
  const depth = (folder: string): number => (folder === '' ? 0 : folder.split('/').length)
  return [...folders].sort((a, b) => depth(b) - depth(a))
}
