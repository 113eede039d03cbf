/**
 * Which names a manifest may carry: relative, `/`-separated, harmless on every system that we write to.
 *
 * Names are kept byte for byte as they were given (NFC or NFD alike). Two names that some file system would
 * take for one (they differ only in case, in Unicode normalisation, or in dots and spaces at the end) cannot
 * stand in one manifest. Called by the manifest, link and piece-list parsers on what others wrote, and by
 * import on what we are about to share.
 */

import { InvalidManifestError } from '../errors.ts'
import { encodeUtf8 } from '../util/bytes.ts'

/** Longest component of a path, in UTF-8 bytes; what common file systems allow. */
export const MAX_NAME_BYTES = 255
/** Longest path, in UTF-8 bytes. */
export const MAX_PATH_BYTES = 4096

/** Most folders in a tree; bounds memory for hostile lists of deep paths. */
export const MAX_FOLDERS = 500_000

/** Device names that Windows resolves in every folder, with any extension. */
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *([.:].*)?$/i
const DRIVE = /^[a-z]:/i

/** Control characters (C0, DEL, C1): they steer terminals, and NUL ends names. */
function hasControlCharacter(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true
  }
  return false
}

/**
 * Names that nothing below but their length and the list of devices could object to: nearly all there are.
 */
const PLAIN = /^[\w-](?:[\w .-]*[\w-])?$/

/**
 * What file systems that ignore case, normalisation, and dots and spaces at the end make of one component.
 */
function foldName(name: string): string {
  if (PLAIN.test(name)) return name.toUpperCase()
  return name.normalize('NFC').toLowerCase().toUpperCase().normalize('NFC').replace(TRAILING_DOTS_AND_SPACES, '')
}
const TRAILING_DOTS_AND_SPACES = /(?<![. ])[. ]+$/

/** Why `name` cannot be one component of a path, or undefined when it can. */
function nameFault(name: string): string | undefined {
  if (PLAIN.test(name) && name.length <= MAX_NAME_BYTES) return deviceFault(name)
  if (name === '') return 'empty name'
  if (name === '.' || name === '..') return `name ${JSON.stringify(name)} leads out of its folder`
  if (/\p{Cs}/u.test(name)) return 'name is not well-formed Unicode'
  if (hasControlCharacter(name)) return 'name has a control character'
  if (name.includes('\\')) return 'name has a backslash'
  if (name.includes('/')) return 'name has a slash'
  if (DRIVE.test(name)) return 'name begins with a drive letter'
  if (encodeUtf8(name).byteLength > MAX_NAME_BYTES) return `name is longer than ${MAX_NAME_BYTES} bytes`
  if (/^[. ]+$/.test(name)) return 'name is made of dots and spaces'
  return deviceFault(foldName(name))
}

function deviceFault(name: string): string | undefined {
  return WINDOWS_DEVICE.test(name) ? `name ${JSON.stringify(name)} is reserved on Windows` : undefined
}

/**
 * Throws `InvalidManifestError` unless `name` is a single safe path component. `where` names the field in the
 * error.
 */
export function checkFileName(name: string, where: string): void {
  // Long garbage is refused before the finer rules look at it, and never repeated in a message.
  const fault = name.length > MAX_NAME_BYTES ? `name is longer than ${MAX_NAME_BYTES} bytes` : nameFault(name)
  if (fault !== undefined) throw new InvalidManifestError(fault, where)
}

/**
 * Throws `InvalidManifestError` when a path is absolute, too long or has an unsafe component, when two paths
 * are the same to some file system, when one path is both a file and a folder, or when there are too many
 * folders. `where(i)` names the i-th path in the error.
 */
export function checkFilePaths(paths: readonly string[], where: (index: number) => string): void {
  const tree = new NameTree()
  for (const [index, path] of paths.entries()) {
    const fault = pathFault(path) ?? tree.add(path)
    if (fault !== undefined) throw new InvalidManifestError(fault, where(index))
  }
}

function pathFault(path: string): string | undefined {
  // A character takes at most three bytes, so that short paths need no encoding.
  if (path.length > MAX_PATH_BYTES || (path.length > MAX_PATH_BYTES / 3 && encodeUtf8(path).byteLength > MAX_PATH_BYTES)) {
    return `path is longer than ${MAX_PATH_BYTES} bytes`
  }
  return path.startsWith('/') ? 'path is absolute' : undefined
}

const ROOT = 0
/** Stands where a folder's number would. */
const FILE = -1

interface Entry {
  /** As first given. */
  name: string
  folder: number
}

/**
 * The names of a tree, to find those that clash. Folders are numbers and entries one map, so that a million
 * files cost a second or two and a hostile list of long paths no more than its bytes.
 */
class NameTree {
  /** By number of the folder and folded name. */
  readonly #entries = new Map<string, Entry>()
  #folders = 0
  /** Files of one folder mostly stand together. */
  #lastPath = ''
  #lastFolder = ROOT

  /** Why the path cannot be in this tree, or undefined when it now is. */
  add(path: string): string | undefined {
    const slash = path.lastIndexOf('/')
    const folderPath = path.slice(0, Math.max(0, slash))
    if (folderPath !== this.#lastPath) {
      let folder = ROOT
      for (const name of folderPath === '' ? [] : folderPath.split('/')) {
        const next = this.#enter(folder, name)
        if (typeof next === 'string') return next
        folder = next
      }
      this.#lastPath = folderPath
      this.#lastFolder = folder
    }
    return this.#addFile(this.#lastFolder, path.slice(slash + 1))
  }

  /** The number of a folder's subfolder, or why there cannot be one of this name. */
  #enter(folder: number, name: string): number | string {
    const key = `${folder}/${foldName(name)}`
    const known = this.#entries.get(key)
    if (known !== undefined) {
      if (known.folder === FILE) return clash('a file and a folder', known.name, name)
      return known.name === name ? known.folder : clash('two folders', known.name, name)
    }
    const fault = nameFault(name)
    if (fault !== undefined) return fault
    if (this.#folders === MAX_FOLDERS) return `more than ${MAX_FOLDERS} folders`
    this.#entries.set(key, { name, folder: ++this.#folders })
    return this.#folders
  }

  #addFile(folder: number, name: string): string | undefined {
    const fault = nameFault(name)
    if (fault !== undefined) return fault
    const key = `${folder}/${foldName(name)}`
    const known = this.#entries.get(key)
    if (known !== undefined) return clash(known.folder === FILE ? 'two files' : 'a file and a folder', known.name, name)
    this.#entries.set(key, { name, folder: FILE })
    return undefined
  }
}

function clash(kinds: string, first: string, second: string): string {
  return first === second
    ? `${kinds} are named ${JSON.stringify(first)}`
    : `${kinds} are the same name to some file systems: ${JSON.stringify(first)} and ${JSON.stringify(second)}`
}
