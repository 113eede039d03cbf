import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodePieceList, parsePieceList, rootOf } from '../../src/content/piece-list.ts'
import { InvalidManifestError } from '../../src/errors.ts'
import { encodeHex } from '../../src/util/bytes.ts'
import { fileManifest, folderManifest, hash } from './samples.ts'

function assertRefused(bytes: Uint8Array, what: RegExp): void {
  assert.throws(
    () => parsePieceList(bytes),
    (err: unknown) => err instanceof InvalidManifestError && what.test(err.what)
  )
}

/** A copy with the big-endian u32 at `offset` replaced. */
function withU32(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = bytes.slice()
  new DataView(copy.buffer).setUint32(offset, value)
  return copy
}

const KIND = 19
const LENGTH = 20
const PIECE_LENGTH = 28
const PIECE_COUNT = 32
const HASHES = 36

test('a list reads back to what was encoded, and hashes to the root of its manifest', () => {
  for (const manifest of [fileManifest(), fileManifest(0), folderManifest(), folderManifest([])]) {
    const { length, pieceLength, hashes, files, root } = manifest
    const encoded = encodePieceList(manifest)
    assert.deepEqual(parsePieceList(encoded), { length, pieceLength, hashes, ...(files === undefined ? {} : { files }) })
    assert.equal(encodeHex(rootOf(encoded, hash)), root)
  }
})

test('the root covers a folder and its names, but not the name of a single file', () => {
  const roots = new Set([fileManifest().root, folderManifest([{ path: 'notes.txt', length: 20_000, executable: false }]).root])
  roots.add(folderManifest([{ path: 'other.txt', length: 20_000, executable: false }]).root)
  roots.add(folderManifest([{ path: 'notes.txt', length: 20_000, executable: true }]).root)
  assert.equal(roots.size, 4)
})

test('every truncation and every byte too many is refused', () => {
  for (const manifest of [fileManifest(), folderManifest()]) {
    const encoded = encodePieceList(manifest)
    for (let end = 0; end < encoded.byteLength; end++) assertRefused(encoded.subarray(0, end), /truncated|cannot be here/)
    assertRefused(Uint8Array.of(...encoded, 0), /behind the end/)
  }
})

test('a list whose counts or sizes cannot be is refused before anything is allocated for them', () => {
  const encoded = encodePieceList(fileManifest())
  assertRefused(withU32(encoded, 0, 0), /not a piece list/)
  assertRefused(withU32(encoded, LENGTH, 0xffffffff), /is more than/)
  assertRefused(withU32(encoded, PIECE_LENGTH, 12_345), /power of two/)
  assertRefused(withU32(encoded, PIECE_COUNT, 0xffffffff), /more than 1048576/)
  assertRefused(withU32(encoded, PIECE_COUNT, 1 << 20), /truncated/)
  assertRefused(withU32(encoded, PIECE_COUNT, 1), /behind the end/)
  const unknownKind = encoded.slice()
  unknownKind[KIND] = 2
  assertRefused(unknownKind, /unknown kind/)
  const folder = encodePieceList(folderManifest())
  assertRefused(withU32(folder, HASHES + 64, 0xffffffff), /cannot be here/)
  assertRefused(withU32(folder, HASHES + 64, 2), /behind the end/)
})

test('unknown flags and paths that are not UTF-8 or not safe are refused', () => {
  const folder = encodePieceList(folderManifest())
  const flagged = folder.slice()
  flagged[flagged.byteLength - 1] = 2
  assertRefused(flagged, /unknown flags/)
  const path = HASHES + 64 + 4 + 2
  const broken = folder.slice()
  broken[path] = 0xff
  assertRefused(broken, /not UTF-8/)
  const escaping = folder.slice()
  escaping.set([0x2e, 0x2e, 0x2f], path)
  assertRefused(escaping, /leads out/)
})
