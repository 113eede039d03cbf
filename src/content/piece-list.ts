/**
 * The piece list: the canonical bytes whose BLAKE3 is the root of a content, and what a link fetches from
 * peers.
 *
 * Layout (integers big-endian):
 *   "swarm/piece-list/1\n" | u8 kind (0 file, 1 folder) | u64 length | u32 piece length | u32 piece count |
 *   32 bytes per piece
 *   folder only: u32 file count | per file: u16 path bytes | path (UTF-8) | u64 length | u8 flags (bit 0:
 *   executable)
 *
 * There is exactly one encoding of a list and the parser takes no other. The root covers a folder's paths,
 * lengths and modes; a single file's name is not covered, so that equal bytes are one swarm whatever they are
 * called.
 */

import { InvalidManifestError } from '../errors.ts'
import { concatBytes, decodeUtf8, encodeUtf8 } from '../util/bytes.ts'
import { checkFilePaths, MAX_PATH_BYTES } from './file-names.ts'
import { Geometry, isPieceLength, MAX_CONTENT_LENGTH, MAX_PIECE_COUNT } from './geometry.ts'
import { HASH_BYTES, type HashFunction } from './hash.ts'

/** Most files in a folder. */
export const MAX_FILES = 1_000_000
/**
 * Longest encoded list, in bytes: 32 MiB of hashes and 64 MiB of file table. A folder that needs more is
 * refused when it is shared.
 */
export const MAX_PIECE_LIST_BYTES = 96 * 1024 * 1024

/**
 * One file of a folder. `path` is relative, `/`-separated and cannot escape the target folder; its Unicode
 * form is kept as it was given.
 */
export interface ManifestFile {
  path: string
  /** Bytes; files lie one behind the other in the content, in manifest order. */
  length: number
  /** Whether the owner may execute it. */
  executable: boolean
}

/** What the root vouches for. */
export interface PieceList {
  /** Bytes in all. */
  length: number
  pieceLength: number
  /** The pieces' hashes, one behind the other, 32 bytes each. */
  hashes: Uint8Array
  /** Present for a folder, absent for a single file. */
  files?: ManifestFile[]
}

const PREFIX = encodeUtf8('swarm/piece-list/1\n')
const FIXED_BYTES = PREFIX.byteLength + 1 + 8 + 4 + 4
const KIND_FILE = 0
const KIND_FOLDER = 1
const EXECUTABLE = 1
const SMALLEST_FILE_BYTES = 2 + 1 + 8 + 1

/** The canonical bytes of a list. Throws `InvalidManifestError` for values that no valid list has. */
export function encodePieceList(list: PieceList): Uint8Array {
  checkPieceList(list)
  const head = new Uint8Array(FIXED_BYTES)
  head.set(PREFIX)
  const view = new DataView(head.buffer, PREFIX.byteLength)
  view.setUint8(0, list.files === undefined ? KIND_FILE : KIND_FOLDER)
  view.setBigUint64(1, BigInt(list.length))
  view.setUint32(9, list.pieceLength)
  view.setUint32(13, list.hashes.byteLength / HASH_BYTES)
  const encoded = concatBytes([head, list.hashes, ...(list.files === undefined ? [] : [encodeFiles(list.files)])])
  if (encoded.byteLength > MAX_PIECE_LIST_BYTES) {
    throw new InvalidManifestError(`the piece list is longer than ${MAX_PIECE_LIST_BYTES} bytes`, 'files')
  }
  return encoded
}

function encodeFiles(files: readonly ManifestFile[]): Uint8Array {
  const paths = files.map(file => encodeUtf8(file.path))
  const table = new Uint8Array(paths.reduce((total, path) => total + path.byteLength + SMALLEST_FILE_BYTES - 1, 4))
  const view = new DataView(table.buffer)
  view.setUint32(0, files.length)
  let offset = 4
  for (const [index, file] of files.entries()) {
    const path = paths[index] as Uint8Array
    view.setUint16(offset, path.byteLength)
    table.set(path, offset + 2)
    offset += 2 + path.byteLength
    view.setBigUint64(offset, BigInt(file.length))
    view.setUint8(offset + 8, file.executable ? EXECUTABLE : 0)
    offset += 9
  }
  return table
}

/**
 * Reads a list that somebody else wrote. Throws `InvalidManifestError`; the caller compares {@link rootOf}
 * with the root.
 */
export function parsePieceList(bytes: Uint8Array): PieceList {
  if (bytes.byteLength > MAX_PIECE_LIST_BYTES) throw fault(`longer than ${MAX_PIECE_LIST_BYTES} bytes`, 0)
  if (bytes.byteLength < FIXED_BYTES) throw fault('truncated', bytes.byteLength)
  for (let i = 0; i < PREFIX.byteLength; i++) if (bytes[i] !== PREFIX[i]) throw fault('not a piece list', i)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const start = PREFIX.byteLength
  const kind = view.getUint8(start)
  if (kind !== KIND_FILE && kind !== KIND_FOLDER) throw fault(`unknown kind ${kind}`, start)
  const length = readLength(view, start + 1)
  const pieceLength = view.getUint32(start + 9)
  const pieceCount = view.getUint32(start + 13)
  const end = FIXED_BYTES + pieceCount * HASH_BYTES
  if (pieceCount > MAX_PIECE_COUNT) throw fault(`${pieceCount} pieces are more than ${MAX_PIECE_COUNT}`, start + 13)
  if (bytes.byteLength < end) throw fault('truncated', bytes.byteLength)
  const list: PieceList = { length, pieceLength, hashes: bytes.slice(FIXED_BYTES, end) }
  if (kind === KIND_FOLDER) list.files = parseFiles(bytes, view, end)
  else if (bytes.byteLength > end) throw fault('bytes behind the end', end)
  checkPieceList(list)
  return list
}

function parseFiles(bytes: Uint8Array, view: DataView, start: number): ManifestFile[] {
  if (bytes.byteLength < start + 4) throw fault('truncated', bytes.byteLength)
  const count = view.getUint32(start)
  let offset = start + 4
  // The count must be believable from the bytes there are, before anything is allocated for it.
  if (count > MAX_FILES || count * SMALLEST_FILE_BYTES > bytes.byteLength - offset)
    throw fault(`${count} files cannot be here`, start)
  const files: ManifestFile[] = []
  for (let i = 0; i < count; i++) {
    if (bytes.byteLength < offset + 2) throw fault('truncated', bytes.byteLength)
    const pathBytes = view.getUint16(offset)
    if (pathBytes > MAX_PATH_BYTES) throw fault(`path is longer than ${MAX_PATH_BYTES} bytes`, offset)
    const pathStart = offset + 2
    offset = pathStart + pathBytes
    if (bytes.byteLength < offset + 9) throw fault('truncated', bytes.byteLength)
    const path = decodeUtf8(bytes.subarray(pathStart, offset))
    if (path === undefined) throw fault('path is not UTF-8', pathStart)
    const flags = view.getUint8(offset + 8)
    if ((flags & ~EXECUTABLE) !== 0) throw fault(`unknown flags ${flags}`, offset + 8)
    files.push({ path, length: readLength(view, offset), executable: flags === EXECUTABLE })
    offset += 9
  }
  if (bytes.byteLength > offset) throw fault('bytes behind the end', offset)
  return files
}

function readLength(view: DataView, offset: number): number {
  const length = view.getBigUint64(offset)
  if (length > BigInt(MAX_CONTENT_LENGTH)) throw fault(`length ${length} is more than ${MAX_CONTENT_LENGTH}`, offset)
  return Number(length)
}

/**
 * Throws `InvalidManifestError` when sizes, counts, file lengths or names do not agree or are out of bounds.
 */
export function checkPieceList(list: PieceList): void {
  const { length, pieceLength, hashes, files } = list
  if (!Number.isSafeInteger(length) || length < 0 || length > MAX_CONTENT_LENGTH) {
    throw new InvalidManifestError(`${length} is not a length of 0 to ${MAX_CONTENT_LENGTH} bytes`, 'length')
  }
  if (!isPieceLength(pieceLength)) {
    throw new InvalidManifestError(`${pieceLength} is not a power of two of 16 KiB to 16 MiB`, 'pieceLength')
  }
  const expected = Math.ceil(length / pieceLength)
  if (expected > MAX_PIECE_COUNT) {
    throw new InvalidManifestError(`${expected} pieces are more than ${MAX_PIECE_COUNT}; make pieces longer`, 'pieceLength')
  }
  if (hashes.byteLength !== expected * HASH_BYTES) {
    throw new InvalidManifestError(`${hashes.byteLength / HASH_BYTES} piece hashes, ${expected} expected`, 'pieces')
  }
  if (files === undefined) return
  if (files.length > MAX_FILES) throw new InvalidManifestError(`more than ${MAX_FILES} files`, 'files')
  let total = 0
  for (const [index, file] of files.entries()) {
    if (!Number.isSafeInteger(file.length) || file.length < 0 || file.length > length - total) {
      throw new InvalidManifestError(`${file.length} bytes do not fit a content of ${length}`, `files[${index}].length`)
    }
    total += file.length
  }
  if (total !== length) throw new InvalidManifestError(`files sum up to ${total} bytes, length is ${length}`, 'files')
  checkFilePaths(
    files.map(file => file.path),
    index => `files[${index}].path`
  )
}

/** The root: BLAKE3 of the encoded list, 32 bytes. */
export function rootOf(encoded: Uint8Array, hash: HashFunction): Uint8Array {
  return hash(encoded)
}

/** The geometry of a list that was checked. */
export function geometryOf(list: Pick<PieceList, 'length' | 'pieceLength'>): Geometry {
  return new Geometry(list.length, list.pieceLength)
}

function fault(what: string, offset: number): InvalidManifestError {
  return new InvalidManifestError(`piece list: ${what}`, `byte ${offset}`)
}
