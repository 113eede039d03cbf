/**
 * A piece store without a disk: the twin of the file store for tests and for nodes that only pass on.
 */

import { Bitfield } from '../content/bitfield.ts'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { StoreError } from '../errors.ts'
import { isPieceHash, Layout } from './layout.ts'
import type { PieceStore } from './piece-store.ts'

export interface MemoryStoreInit {
  manifest: Manifest
  hash: HashFunction
}

export function openMemoryStore({ manifest, hash }: MemoryStoreInit): PieceStore {
  const { geometry } = new Layout(manifest)
  const have = new Bitfield(geometry.pieceCount)
  const pieces = new Map<number, Uint8Array>()
  let isClosed = false
  const assertOpen = (): void => {
    if (isClosed) throw new StoreError('the store is closed', 'memory')
  }
  return {
    have,
    wanted: Bitfield.full(geometry.pieceCount),
    isWritable: true,
    path: undefined,
    async write(piece, data) {
      assertOpen()
      if (!geometry.hasPiece(piece)) throw new RangeError(`piece ${piece} of ${geometry.pieceCount}`)
      if (data.byteLength !== geometry.pieceBytes(piece) || !isPieceHash(manifest, piece, hash(data))) return false
      if (have.get(piece)) return true
      pieces.set(piece, data.slice())
      have.set(piece)
      return true
    },
    async read(piece) {
      assertOpen()
      const data = geometry.hasPiece(piece) ? pieces.get(piece) : undefined
      if (data === undefined) throw new RangeError(`piece ${piece} is not here`)
      return data.slice()
    },
    async finish() {
      assertOpen()
      if (!have.isFull) throw new RangeError(`${geometry.pieceCount - have.count} wanted pieces are missing`)
    },
    async close() {
      isClosed = true
    }
  }
}
