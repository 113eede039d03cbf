/**
 * What a manifest says: reading it from untrusted text, writing it, and agreeing with its root.
 *
 * A manifest is self-contained: with it and one peer's address the content can be fetched and every byte of
 * it checked. A parsed manifest holds what its root vouches for; only `name`, `peers` and `origins` are hints
 * that anyone could have changed.
 */

import { InvalidManifestError } from '../errors.ts'
import { decodeHexInto, decodeUtf8, encodeHex } from '../util/bytes.ts'
import { checkFileName } from './file-names.ts'
import { MAX_PIECE_COUNT } from './geometry.ts'
import { HASH_BYTES, type HashFunction } from './hash.ts'
import { checkOrigin, checkPeerHint, MAX_ORIGINS, MAX_PEER_HINTS } from './hints.ts'
import { encodePieceList, MAX_FILES, type ManifestFile, type PieceList, rootOf } from './piece-list.ts'

export { HASH_BYTES, type ManifestFile }
/** Longest manifest, in bytes of UTF-8. */
export const MAX_MANIFEST_BYTES = 128 * 1024 * 1024

/** Where a peer can be reached: a multiaddr that ends in /p2p/<peer id>. */
export type PeerHint = string

export interface Manifest {
  /** A single path component: the file's or folder's name. */
  name: string
  /** Bytes in all. */
  length: number
  pieceLength: number
  /** 64 lower-case hex digits: BLAKE3 of the encoded piece list. */
  root: string
  /** The pieces' hashes, one behind the other, 32 bytes each. */
  hashes: Uint8Array
  /** Present for a folder, absent for a single file. */
  files?: ManifestFile[]
  /** Where peers were when the manifest was written. */
  peers?: PeerHint[]
  /** HTTP(S) URLs that hold the whole content. */
  origins?: string[]
}

/**
 * The manifest of a content whose pieces are hashed; computes the root. Throws `InvalidManifestError` for a
 * tree that cannot be shared.
 */
export function createManifest(content: PieceList & Pick<Manifest, 'name' | 'peers' | 'origins'>, hash: HashFunction): Manifest {
  checkFileName(content.name, 'name')
  const { length, pieceLength, hashes, files } = content
  const list: PieceList = { length, pieceLength, hashes, ...(files === undefined ? {} : { files }) }
  const root = encodeHex(rootOf(encodePieceList(list), hash))
  return {
    name: content.name,
    root,
    ...list,
    ...(content.peers === undefined ? {} : { peers: content.peers }),
    ...(content.origins === undefined ? {} : { origins: content.origins })
  }
}

/**
 * Reads a manifest that somebody else wrote. Unknown fields are ignored, so that later versions can add
 * hints. Throws `InvalidManifestError` saying what is wrong and where, and nothing else.
 */
export function parseManifest(source: string | Uint8Array, hash: HashFunction): Manifest {
  if ((typeof source === 'string' ? source.length : source.byteLength) > MAX_MANIFEST_BYTES) {
    throw new InvalidManifestError(`longer than ${MAX_MANIFEST_BYTES} bytes`, 'byte 0')
  }
  const text = typeof source === 'string' ? source : decodeUtf8(source)
  if (text === undefined) throw new InvalidManifestError('not UTF-8', 'byte 0')
  const json = parseJson(text)
  if (json.swarm !== 1) throw new InvalidManifestError('not a manifest of version 1', 'swarm')
  if (json.hash !== 'blake3') throw new InvalidManifestError('the hash is not "blake3"', 'hash')
  const name = stringAt(json.name, 'name')
  const root = stringAt(json.root, 'root')
  const files = json.files === undefined ? undefined : parseFiles(arrayAt(json.files, 'files', MAX_FILES))
  const peers = json.peers === undefined ? undefined : parseHints(json.peers, 'peers', MAX_PEER_HINTS, checkPeerHint)
  const origins = json.origins === undefined ? undefined : parseHints(json.origins, 'origins', MAX_ORIGINS, checkOrigin)
  const manifest = createManifest(
    {
      name,
      length: numberAt(json.length, 'length'),
      pieceLength: numberAt(json.pieceLength, 'pieceLength'),
      hashes: parseHashes(arrayAt(json.pieces, 'pieces', MAX_PIECE_COUNT)),
      ...(files === undefined ? {} : { files }),
      ...(peers === undefined ? {} : { peers }),
      ...(origins === undefined ? {} : { origins })
    },
    hash
  )
  if (manifest.root !== root) throw new InvalidManifestError('the root does not match the rest of the manifest', 'root')
  return manifest
}

/**
 * The manifest as readable JSON, one piece and one file a line. {@link parseManifest} reads it back to an
 * equal value.
 */
export function formatManifest(manifest: Manifest): string {
  const fields = [
    '"swarm": 1',
    `"name": ${JSON.stringify(manifest.name)}`,
    `"length": ${manifest.length}`,
    `"pieceLength": ${manifest.pieceLength}`,
    '"hash": "blake3"',
    `"root": ${JSON.stringify(manifest.root)}`
  ]
  if (manifest.peers !== undefined) fields.push(`"peers": ${formatRows(manifest.peers.map(peer => JSON.stringify(peer)))}`)
  if (manifest.origins !== undefined)
    fields.push(`"origins": ${formatRows(manifest.origins.map(origin => JSON.stringify(origin)))}`)
  if (manifest.files !== undefined) fields.push(`"files": ${formatRows(manifest.files.map(formatFile))}`)
  const pieces: string[] = []
  for (let offset = 0; offset < manifest.hashes.byteLength; offset += HASH_BYTES) {
    pieces.push(`"${encodeHex(manifest.hashes.subarray(offset, offset + HASH_BYTES))}"`)
  }
  fields.push(`"pieces": ${formatRows(pieces)}`)
  return `{\n  ${fields.join(',\n  ')}\n}\n`
}

function formatRows(rows: readonly string[]): string {
  return rows.length === 0 ? '[]' : `[\n    ${rows.join(',\n    ')}\n  ]`
}

function formatFile(file: ManifestFile): string {
  const executable = file.executable ? ', "executable": true' : ''
  return `{ "path": ${JSON.stringify(file.path)}, "length": ${file.length}${executable} }`
}

/**
 * Most values that a manifest within our bounds can need: every piece, three fields per file, and some room
 * for hints and fields unknown to us.
 */
const MAX_JSON_VALUES = MAX_PIECE_COUNT + 3 * MAX_FILES + 10_000
const MAX_JSON_DEPTH = 16

/**
 * JSON of an object. Bounded before it is built, since a few MB of brackets can otherwise cost GBs of
 * objects.
 */
function parseJson(text: string): Record<string, unknown> {
  let values = 0
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) {
      i = endOfString(text, i)
      continue
    }
    if (code === 0x5b || code === 0x7b) {
      depth++
      values++
    } else if (code === 0x5d || code === 0x7d) depth--
    else if (code === 0x2c) values++
    else continue
    if (depth > MAX_JSON_DEPTH) throw new InvalidManifestError('nested too deeply', `character ${i}`)
    if (values > MAX_JSON_VALUES) throw new InvalidManifestError('too many values', `character ${i}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (err) {
    throw new InvalidManifestError('not JSON', 'character 0', err)
  }
  return objectAt(json, 'the top')
}

/** Index of the quote that closes the string opened at `start`, or the text's end. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x5c) i++
    else if (code === 0x22) return i
  }
  return text.length
}

function parseFiles(rows: unknown[]): ManifestFile[] {
  return rows.map((row, index) => {
    const where = `files[${index}]`
    const file = objectAt(row, where)
    const executable = file.executable ?? false
    if (typeof executable !== 'boolean') throw new InvalidManifestError('not true or false', `${where}.executable`)
    return { path: stringAt(file.path, `${where}.path`), length: numberAt(file.length, `${where}.length`), executable }
  })
}

function parseHashes(rows: unknown[]): Uint8Array {
  const hashes = new Uint8Array(rows.length * HASH_BYTES)
  for (const [index, row] of rows.entries()) {
    if (typeof row !== 'string' || row.length !== 2 * HASH_BYTES || !decodeHexInto(row, hashes, index * HASH_BYTES)) {
      throw new InvalidManifestError(`not ${2 * HASH_BYTES} lower-case hex digits`, `pieces[${index}]`)
    }
  }
  return hashes
}

function parseHints(value: unknown, where: string, most: number, check: (hint: string, where: string) => void): string[] {
  return arrayAt(value, where, most).map((row, index) => {
    const hint = stringAt(row, `${where}[${index}]`)
    check(hint, `${where}[${index}]`)
    return hint
  })
}

function objectAt(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidManifestError('not an object', where)
  return value as Record<string, unknown>
}

function arrayAt(value: unknown, where: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw new InvalidManifestError('not an array', where)
  if (value.length > most) throw new InvalidManifestError(`more than ${most} entries`, where)
  return value
}

function stringAt(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new InvalidManifestError('not a string', where)
  return value
}

function numberAt(value: unknown, where: string): number {
  if (typeof value !== 'number') throw new InvalidManifestError('not a number', where)
  // JSON can say -0, which is equal to 0 and yet not the same.
  return value + 0
}
