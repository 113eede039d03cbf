/**
 * Temporary folders, contents with known bytes and their manifests for the tests of this folder.
 */

import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { createManifest, type Manifest, type ManifestFile } from '../../src/content/manifest.ts'
import { loadHasher } from '../../src/store/hasher.ts'
import type { PieceStore } from '../../src/store/piece-store.ts'

export const { hash } = await loadHasher()
export const PIECE = 16 * 1024

const openStores = new WeakMap<TestContext, PieceStore[]>()

/** A folder that is gone after the test, once the stores in it are closed. */
export async function tempFolder(t: TestContext): Promise<string> {
  const folder = await fs.mkdtemp(join(tmpdir(), 'swarm-store-'))
  t.after(async () => {
    for (const store of openStores.get(t) ?? []) await store.close()
    await fs.rm(folder, { recursive: true, force: true })
  })
  return folder
}

/**
 * Closes the store after the test, before its folder goes: hooks of one test run in the order in which they
 * were added.
 */
export function closeAfter(t: TestContext, store: PieceStore): void {
  openStores.set(t, [...(openStores.get(t) ?? []), store])
}

/** Bytes that differ from place to place and from seed to seed (a linear congruential generator). */
export function bytesOf(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = (seed * 2654435761) >>> 0
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    words[i] = state ^ (state >>> 13)
  }
  return new Uint8Array(words.buffer).subarray(0, length)
}

export interface Content {
  manifest: Manifest
  bytes: Uint8Array
  piece: (piece: number) => Uint8Array
  /** Path in the folder (or '' for a single file) and its bytes. */
  files: { path: string; bytes: Uint8Array; executable: boolean }[]
}

function describeContent(bytes: Uint8Array, files: ManifestFile[] | undefined, pieceLength: number): Manifest {
  const count = Math.ceil(bytes.byteLength / pieceLength)
  const hashes = new Uint8Array(count * 32)
  for (let n = 0; n < count; n++) hashes.set(hash(bytes.subarray(n * pieceLength, (n + 1) * pieceLength)), n * 32)
  const name = files === undefined ? 'content.bin' : 'content'
  return createManifest({ name, length: bytes.byteLength, pieceLength, hashes, ...(files === undefined ? {} : { files }) }, hash)
}

export function fileContent(length: number, seed = 1, pieceLength = PIECE): Content {
  const bytes = bytesOf(length, seed)
  const manifest = describeContent(bytes, undefined, pieceLength)
  const piece = (n: number): Uint8Array => bytes.subarray(n * pieceLength, (n + 1) * pieceLength)
  return { manifest, bytes, piece, files: [{ path: '', bytes, executable: false }] }
}

/** A folder of the given paths and lengths; a path that ends in `*` is executable. */
export function folderContent(lengths: Record<string, number>, seed = 1, pieceLength = PIECE): Content {
  const entries = Object.entries(lengths)
  const bytes = bytesOf(
    entries.reduce((total, [, length]) => total + length, 0),
    seed
  )
  let offset = 0
  const files = entries.map(([path, length]) => {
    const file = { path: path.replace(/\*$/, ''), bytes: bytes.subarray(offset, offset + length), executable: path.endsWith('*') }
    offset += length
    return file
  })
  const listed = files.map(({ path, bytes, executable }) => ({ path, length: bytes.byteLength, executable }))
  const manifest = describeContent(bytes, listed, pieceLength)
  const piece = (n: number): Uint8Array => bytes.subarray(n * pieceLength, (n + 1) * pieceLength)
  return { manifest, bytes, piece, files }
}

/** Puts the content on disk at `path`. */
export async function place(content: Content, path: string): Promise<void> {
  if (content.manifest.files !== undefined) await fs.mkdir(path, { recursive: true })
  for (const file of content.files) {
    const target = join(path, file.path)
    await fs.mkdir(dirname(target), { recursive: true })
    await fs.writeFile(target, file.bytes, { mode: file.executable ? 0o755 : 0o644 })
  }
}

/** Writes every wanted piece that is missing; returns how many. */
export async function fill(store: PieceStore, content: Content): Promise<number> {
  const missing = [...store.wanted.ones()].filter(piece => !store.have.get(piece))
  for (const piece of missing) await store.write(piece, content.piece(piece))
  return missing.length
}
