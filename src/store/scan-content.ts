/**
 * Lists what is shared: one file, or the regular files of a folder tree, in an order that depends on nothing
 * but their names.
 *
 * Symbolic links are never followed and, like sockets, devices and pipes, left out and reported; so are empty
 * folders, which a manifest cannot carry. Our own staging files are left out. Called by hashing.
 */

import fs from 'node:fs'
import { basename, resolve } from 'node:path'
import { checkFilePaths } from '../content/file-names.ts'
import { MAX_FILES } from '../content/piece-list.ts'
import { InvalidManifestError, InvalidOptionsError, StoreError } from '../errors.ts'
import { decodeUtf8 } from '../util/bytes.ts'
import { forEachWide, storeError } from './disk.ts'
import { type Stamp, stampOf } from './file-stamp.ts'

export interface SkippedEntry {
  /** Relative to the folder, `/`-separated. */
  path: string
  reason: 'symbolic link' | 'special file' | 'empty folder' | 'unfinished download'
}

export interface ScannedFile {
  /** In the manifest; empty for a single file. */
  path: string
  length: number
  executable: boolean
  stamp: Stamp
}

export interface ScannedContent {
  /** Absolute. */
  path: string
  /** Last component of the path. */
  name: string
  isFolder: boolean
  /** By the bytes of their UTF-8 paths. */
  files: ScannedFile[]
  skipped: SkippedEntry[]
}

/** Files that belong to a download under way: its staged data, lock, and temporary files of either. */
const OWN_FILE = /\.part(\.lock.*)?$/

/**
 * Throws `StoreError` when something cannot be read, `InvalidOptionsError` naming the path for a name that a
 * manifest cannot carry and for a path that is neither file nor folder. A symbolic link given as `path`
 * itself is followed: the user named it.
 */
export async function scanContent(path: string, signal?: AbortSignal): Promise<ScannedContent> {
  const absolute = resolve(path)
  const stats = await fs.promises.stat(absolute, { bigint: true }).catch(err => {
    throw storeError('cannot open', absolute, err)
  })
  const content = { path: absolute, name: basename(absolute), isFolder: stats.isDirectory() }
  if (stats.isFile()) return { ...content, files: [scannedFile('', stats)], skipped: [] }
  if (!stats.isDirectory()) throw new InvalidOptionsError(`neither a file nor a folder: ${absolute}`, { path: absolute })

  const paths: string[] = []
  const skipped: SkippedEntry[] = []
  await walk(absolute, '', paths, skipped, signal)
  const encoded = new Map(paths.map(path => [path, Buffer.from(path)]))
  paths.sort((a, b) => Buffer.compare(encoded.get(a) as Buffer, encoded.get(b) as Buffer))
  skipped.sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
  try {
    checkFilePaths(paths, index => paths[index] as string)
  } catch (err) {
    if (!(err instanceof InvalidManifestError)) throw err
    const path = resolve(absolute, err.where)
    throw new InvalidOptionsError(`cannot be shared: ${err.what}: ${JSON.stringify(path)}`, { path }, err)
  }
  const files: ScannedFile[] = new Array(paths.length)
  await forEachWide(paths, 8, async (path, index) => {
    signal?.throwIfAborted()
    const full = resolve(absolute, path)
    const stats = await fs.promises.lstat(full, { bigint: true }).catch(err => {
      throw storeError('cannot stat', full, err)
    })
    if (!stats.isFile()) throw new StoreError('changed while it was listed', full)
    files[index] = scannedFile(path, stats)
  })
  return { ...content, files, skipped }
}

function scannedFile(path: string, stats: fs.BigIntStats): ScannedFile {
  const executable = process.platform !== 'win32' && (stats.mode & 0o100n) !== 0n
  return { path, length: Number(stats.size), executable, stamp: stampOf(stats) }
}

async function walk(
  folder: string,
  prefix: string,
  paths: string[],
  skipped: SkippedEntry[],
  signal: AbortSignal | undefined
): Promise<void> {
  signal?.throwIfAborted()
  const entries = await fs.promises.readdir(folder, { withFileTypes: true, encoding: 'buffer' }).catch(err => {
    throw storeError('cannot list', folder, err)
  })
  if (entries.length === 0 && prefix !== '') skipped.push({ path: prefix.slice(0, -1), reason: 'empty folder' })
  for (const entry of entries) {
    const name = decodeUtf8(entry.name)
    if (name === undefined) {
      const shown = `${prefix}${Buffer.from(entry.name).toString('latin1')}`
      throw new InvalidOptionsError(`cannot be shared: name is not UTF-8: ${JSON.stringify(shown)} in ${folder}`, {
        path: folder
      })
    }
    const path = prefix + name
    if (OWN_FILE.test(name)) skipped.push({ path, reason: 'unfinished download' })
    else if (entry.isDirectory()) await walk(resolve(folder, name), `${path}/`, paths, skipped, signal)
    else if (entry.isSymbolicLink()) skipped.push({ path, reason: 'symbolic link' })
    else if (!entry.isFile()) skipped.push({ path, reason: 'special file' })
    else if (paths.push(path) > MAX_FILES)
      throw new InvalidOptionsError(`more than ${MAX_FILES} files in one folder`, { path: folder })
  }
}
