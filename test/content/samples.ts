/** Small contents for tests: a file of two pieces, a folder, an empty file. */

import { createManifest, type Manifest, type ManifestFile } from '../../src/content/manifest.ts'
import { loadHasher } from '../../src/store/hasher.ts'

export const { hash } = await loadHasher()

export const PIECE_LENGTH = 16_384
export const PEER_HINT = '/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWGzBGAaXDyAGvLp7pPbmkQPJ3KwJSWcMJDWqWrKfLbhuk'

/** Bytes that repeat nowhere near: a counting pattern. */
export function sampleBytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
}

export function hashesOf(data: Uint8Array, pieceLength = PIECE_LENGTH): Uint8Array {
  const hashes = new Uint8Array(Math.ceil(data.byteLength / pieceLength) * 32)
  for (let piece = 0; piece * pieceLength < data.byteLength; piece++) {
    hashes.set(hash(data.subarray(piece * pieceLength, (piece + 1) * pieceLength)), piece * 32)
  }
  return hashes
}

export function fileManifest(length = 20_000): Manifest {
  const hashes = hashesOf(sampleBytes(length))
  return createManifest({ name: 'notes.txt', length, pieceLength: PIECE_LENGTH, hashes, peers: [PEER_HINT] }, hash)
}

export const FOLDER_FILES: readonly ManifestFile[] = [
  { path: 'bin/run me', length: 17_000, executable: true },
  { path: 'docs/empty', length: 0, executable: false },
  { path: 'docs/naïve 日本.md', length: 3_000, executable: false }
]

export function folderManifest(files: readonly ManifestFile[] = FOLDER_FILES): Manifest {
  const length = files.reduce((total, file) => total + file.length, 0)
  const hashes = hashesOf(sampleBytes(length))
  const origins = ['https://example.com/tree.bin?part=1']
  return createManifest({ name: 'tree', length, pieceLength: PIECE_LENGTH, hashes, files: [...files], origins }, hash)
}
