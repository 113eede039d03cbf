/**
 * Serves a complete file or folder where it lies: read-only and without a second copy.
 *
 * Bytes that do not match their hash are never served: see guarded-reader.ts. Called by a node that seeds.
 */

import { resolve } from 'node:path'
import { Bitfield } from '../content/bitfield.ts'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { StoreError } from '../errors.ts'
import type { Stamp } from './file-stamp.ts'
import { GuardedReader } from './guarded-reader.ts'
import { isPieceHash, Layout } from './layout.ts'
import type { PieceStore } from './piece-store.ts'
import { verifyContent } from './verify-content.ts'

export interface SeedStoreInit {
  manifest: Manifest
  /** The file or folder that the manifest describes. */
  path: string
  hash: HashFunction
  /**
   * From {@link hashContent}: what each file looked like when it was hashed. Without it everything is
   * verified while opening.
   */
  stamps?: readonly Stamp[]
  signal?: AbortSignal
  /** Bytes verified of the total, while opening without stamps. */
  onChecked?: (bytes: number, total: number) => void
  /** Most files open at once. @default 256 */
  maxOpenFiles?: number
}

export interface SeedStore extends PieceStore {
  readonly path: string
}

/**
 * Opens a content to be served. `have` holds every piece when `stamps` are given (a change since is noticed
 * as pieces are read), else those pieces that match. Throws `StoreError` when the file cannot be read.
 */
export async function openSeedStore(init: SeedStoreInit): Promise<SeedStore> {
  const { manifest, hash } = init
  const path = resolve(init.path)
  const layout = new Layout(manifest)
  const have = Bitfield.full(layout.geometry.pieceCount)
  let stamps: readonly (Stamp | undefined)[] = layout.files.map(() => undefined)
  if (init.stamps?.length === layout.files.length) {
    stamps = init.stamps
  } else {
    const found = await verifyContent(manifest, path, {
      hash,
      ...(init.signal === undefined ? {} : { signal: init.signal }),
      ...(init.onChecked === undefined ? {} : { onProgress: init.onChecked })
    })
    for (const piece of found.badPieces) have.clear(piece)
    stamps = found.stamps
  }
  const reader = new GuardedReader({
    manifest,
    layout,
    hash,
    have,
    pathOf: file => layout.pathOf(file, path),
    stamps,
    maxOpenFiles: init.maxOpenFiles ?? 256
  })
  let isClosed = false
  return {
    have,
    wanted: Bitfield.full(layout.geometry.pieceCount),
    isWritable: false,
    path,
    read: (piece, into) => {
      if (isClosed) return Promise.reject(new StoreError('the store is closed', path))
      return reader.read(piece, into)
    },
    async write(piece, data) {
      if (!layout.geometry.hasPiece(piece)) throw new RangeError(`piece ${piece} of ${layout.geometry.pieceCount}`)
      if (data.byteLength !== layout.geometry.pieceBytes(piece) || !isPieceHash(manifest, piece, hash(data))) return false
      if (have.get(piece)) return true
      throw new StoreError('a file that is seeded in place is not written to', path)
    },
    async finish() {},
    async close() {
      if (isClosed) return
      isClosed = true
      await reader.close()
    }
  }
}
