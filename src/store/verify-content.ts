/**
 * Checks a file or folder on disk against a manifest: which pieces are bad and which files they belong to.
 *
 * Reads only. Called by `swarm verify`, by the seed store and before a download decides whether its output is
 * there already.
 */

import fs from 'node:fs'
import { resolve } from 'node:path'
import type { Bitfield } from '../content/bitfield.ts'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { forEachWide, isNoFile, openRaw, readAt, statPath, storeError } from './disk.ts'
import { isSameStamp, isSettled, type Stamp, stampOf } from './file-stamp.ts'
import { HandlePool } from './handle-pool.ts'
import { isPieceHash, Layout, type Slice } from './layout.ts'
import { streamPieces } from './read-ahead.ts'
import type { Selection } from './selection.ts'

export interface VerifyOptions {
  hash: HashFunction
  signal?: AbortSignal
  /** Bytes checked of the total, ascending. */
  onProgress?: (bytes: number, total: number) => void
}

export interface VerifyResult {
  isIntact: boolean
  /** Ascending. */
  badPieces: number[]
  /**
   * Files with a bad piece, a wrong length, or missing; in manifest order, each with its path in the manifest
   * (the name for a single file).
   */
  badFiles: BadFile[]
  /** What each file looked like while it was checked; undefined where that cannot vouch for its bytes. */
  stamps: (Stamp | undefined)[]
}

export interface BadFile {
  path: string
  fault: 'missing' | 'wrong length' | 'bad pieces'
  badPieces: number[]
}

/** Throws `StoreError` when a file is there but cannot be read, and the signal's reason when aborted. */
export async function verifyContent(manifest: Manifest, path: string, options: VerifyOptions): Promise<VerifyResult> {
  const layout = new Layout(manifest)
  const base = resolve(path)
  const pathOf = (file: number): string => layout.pathOf(file, base)
  const before = await stampFiles(layout, pathOf)
  const bad = await verifyPieces({ manifest, layout, pathOf, ...options })
  const after = await stampFiles(layout, pathOf)
  const nowMs = Date.now()

  const badFiles: BadFile[] = []
  for (const [index, file] of layout.files.entries()) {
    const stamp = before[index]
    const range = layout.piecesOfFile(index)
    const pieces = range === undefined ? [] : piecesBetween(bad, range.first, range.last)
    const wrongLength = stamp !== undefined && stamp.size !== BigInt(file.length)
    if (stamp === undefined || wrongLength || pieces.length > 0) {
      const fault = stamp === undefined ? 'missing' : wrongLength ? 'wrong length' : 'bad pieces'
      badFiles.push({ path: layout.isFolder ? file.path : manifest.name, fault, badPieces: pieces })
    }
  }
  return {
    isIntact: badFiles.length === 0,
    badPieces: bad,
    badFiles,
    stamps: before.map((stamp, index) => {
      const again = after[index]
      if (stamp === undefined || again === undefined || !isSameStamp(stamp, again)) return undefined
      return isSettled(stamp.ctimeNs, nowMs) ? stamp : undefined
    })
  }
}

/** Stamps of regular files; undefined for what is missing or no regular file. */
export async function stampFiles(layout: Layout, pathOf: (file: number) => string): Promise<(Stamp | undefined)[]> {
  const stamps: (Stamp | undefined)[] = new Array(layout.files.length).fill(undefined)
  await forEachWide(layout.files, 8, async (_, file) => {
    const stats = await statPath(pathOf(file))
    if (stats?.isFile()) stamps[file] = stampOf(stats)
  })
  return stamps
}

export interface VerifyPiecesInit extends VerifyOptions {
  manifest: Manifest
  layout: Layout
  pathOf: (file: number) => string
  slicesOf?: (piece: number) => Slice[]
  /** Pieces that need no look; they count as bad. */
  skip?: (piece: number) => boolean
}

/** The pieces whose bytes are not what the manifest says, ascending. */
export async function verifyPieces(init: VerifyPiecesInit): Promise<number[]> {
  const { manifest, layout, hash, onProgress } = init
  const { geometry } = layout
  const bad: number[] = []
  let checked = 0
  const pool = new HandlePool(file => openRaw(init.pathOf(file), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK), 64)
  const missing = new Set<number>()
  try {
    await streamPieces(
      geometry,
      async (buffer, first, last) => {
        const absent = new Set<number>()
        for (let piece = first; piece <= last; piece++) {
          if (init.skip?.(piece)) {
            absent.add(piece)
            continue
          }
          const offset = (piece - first) * geometry.pieceLength
          await forEachWide(init.slicesOf?.(piece) ?? layout.slicesOf(piece), 4, async slice => {
            const path = init.pathOf(slice.file)
            if (missing.has(slice.file)) return void absent.add(piece)
            try {
              await pool.use(slice.file, async fd => {
                const bytes = await readAt(fd, buffer, offset + slice.pieceOffset, slice.bytes, slice.fileOffset, path)
                if (bytes < slice.bytes) absent.add(piece)
              })
            } catch (err) {
              if (!isNoFile(err)) throw storeError('cannot open', path, err)
              missing.add(slice.file)
              absent.add(piece)
            }
          })
        }
        return absent
      },
      (piece, data, absent) => {
        if (absent.has(piece) || !isPieceHash(manifest, piece, hash(data))) bad.push(piece)
        checked += data.byteLength
        onProgress?.(checked, manifest.length)
      },
      init.signal
    )
  } finally {
    await pool.closeAll()
  }
  return bad
}

/** The wanted pieces whose bytes, as the selection keeps them, are what the manifest says. */
export async function intactPieces(
  manifest: Manifest,
  selection: Selection,
  pathOf: (file: number) => string,
  options: VerifyOptions
): Promise<Bitfield> {
  const { wanted, layout } = selection
  const bad = await verifyPieces({
    manifest,
    layout,
    pathOf,
    slicesOf: piece => selection.slicesOf(piece),
    skip: piece => !wanted.get(piece),
    ...options
  })
  const intact = wanted.clone()
  for (const piece of bad) intact.clear(piece)
  return intact
}

/** Those of the ascending `pieces` within [first, last]. */
function piecesBetween(pieces: readonly number[], first: number, last: number): number[] {
  let low = 0
  let high = pieces.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((pieces[middle] as number) < first) low = middle + 1
    else high = middle
  }
  const found: number[] = []
  for (let i = low; i < pieces.length && (pieces[i] as number) <= last; i++) found.push(pieces[i] as number)
  return found
}
