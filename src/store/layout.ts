/**
 * Where the pieces of a content lie in its files: the arithmetic between pieces and slices of files, and file
 * paths.
 *
 * A single file is one entry with an empty path. Files lie one behind the other in the content. Called by
 * every store here.
 */

import { join } from 'node:path'
import { Geometry } from '../content/geometry.ts'
import { HASH_BYTES, type Manifest, type ManifestFile } from '../content/manifest.ts'

/** A run of bytes that lies in one file and in one piece. */
export interface Slice {
  /** Index into {@link Layout.files}. */
  file: number
  /** Where it starts in the file and in the piece, in bytes. */
  fileOffset: number
  pieceOffset: number
  bytes: number
}

export class Layout {
  readonly geometry: Geometry
  readonly isFolder: boolean
  readonly files: readonly ManifestFile[]
  /** Where each file starts in the content, in bytes. */
  readonly offsets: readonly number[]

  constructor(manifest: Manifest) {
    this.geometry = new Geometry(manifest.length, manifest.pieceLength)
    this.isFolder = manifest.files !== undefined
    this.files = manifest.files ?? [{ path: '', length: manifest.length, executable: false }]
    let offset = 0
    this.offsets = this.files.map(file => {
      const start = offset
      offset += file.length
      return start
    })
    if (offset !== manifest.length) throw new RangeError(`files of ${offset} bytes in a content of ${manifest.length}`)
  }

  /** Where the file is when the content is at `base`. */
  pathOf(file: number, base: string): string {
    const path = (this.files[file] as ManifestFile).path
    return this.isFolder ? join(base, ...path.split('/')) : base
  }

  /** The file's path by its names; none for a single file. */
  namesOf(file: number): string[] {
    return this.isFolder ? (this.files[file] as ManifestFile).path.split('/') : []
  }

  /** The slices that make up the piece, in order. Empty files have none. */
  slicesOf(piece: number): Slice[] {
    const start = this.geometry.pieceOffset(piece)
    const end = start + this.geometry.pieceBytes(piece)
    const slices: Slice[] = []
    for (let file = this.#fileAt(start); file < this.files.length; file++) {
      const fileStart = this.offsets[file] as number
      if (fileStart >= end) break
      const from = Math.max(start, fileStart)
      const to = Math.min(end, fileStart + (this.files[file] as ManifestFile).length)
      if (to > from) slices.push({ file, fileOffset: from - fileStart, pieceOffset: from - start, bytes: to - from })
    }
    return slices
  }

  /** First and last piece (inclusive) with bytes of the file, or undefined for an empty one. */
  piecesOfFile(file: number): { first: number; last: number } | undefined {
    const start = this.offsets[file] as number
    return this.geometry.piecesOfRange(start, start + (this.files[file] as ManifestFile).length)
  }

  /** The last file that starts at or before `offset`. */
  #fileAt(offset: number): number {
    let low = 0
    let high = this.files.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.offsets[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    // Empty files at the same offset come before the one that holds the byte, so the last is right; but a
    // file that starts exactly there may also be an empty one at the end of a longer row, which the loop in
    // slicesOf passes over.
    return low
  }
}

/** Whether `digest` is what the manifest says of the piece. */
export function isPieceHash(manifest: Manifest, piece: number, digest: Uint8Array): boolean {
  const start = piece * HASH_BYTES
  if (digest.byteLength !== HASH_BYTES) return false
  for (let i = 0; i < HASH_BYTES; i++) if (digest[i] !== manifest.hashes[start + i]) return false
  return true
}
