/**
 * Makes the manifest of a file, a folder or a stream by hashing it where it lies.
 *
 * A file that changes while it is hashed is an error, never a manifest that fits nothing. Called by `seed`
 * and `create`.
 */

import fs from 'node:fs'
import { resolve } from 'node:path'
import { defaultPieceLength, Geometry, isPieceLength, MAX_PIECE_COUNT } from '../content/geometry.ts'
import { HASH_BYTES, type HashFunction } from '../content/hash.ts'
import { createManifest, type Manifest } from '../content/manifest.ts'
import { InvalidManifestError, InvalidOptionsError, StoreError } from '../errors.ts'
import { closeFile, dataSync, forEachWide, openRaw, readAt, statFile, statPath, storeError, writeAt } from './disk.ts'
import { isSameStamp, isSettled, type Stamp, settleMs, stampOf } from './file-stamp.ts'
import { HandlePool } from './handle-pool.ts'
import type { HashCache } from './hash-cache.ts'
import { HashThreads } from './hash-threads.ts'
import { Layout } from './layout.ts'
import { streamPieces } from './read-ahead.ts'
import { type ScannedContent, type SkippedEntry, scanContent } from './scan-content.ts'

/**
 * A single file from this length on is hashed by threads; below they would not have started before the end.
 */
const THREADS_FROM_BYTES = 128 * 1024 * 1024
/**
 * What a thread is given at a time: long enough that handing over costs nothing, short enough that progress
 * and aborting show.
 */
const RUN_BYTES = 4 * 1024 * 1024

export interface HashOptions {
  hash: HashFunction
  /** @default {@link defaultPieceLength} of the content's length */
  pieceLength?: number
  /** Name in the manifest. @default the path's last component */
  name?: string
  signal?: AbortSignal
  /** Bytes hashed so far of the total. */
  onProgress?: (bytes: number, total: number) => void
  /** Spares hashing what is unchanged since it was hashed before. */
  cache?: HashCache
  /** Hash although the cache knows it; the cache learns the result. */
  rehash?: boolean
}

export interface HashedContent {
  manifest: Manifest
  /** Absolute path of what was hashed. */
  path: string
  /** What each file looked like, in manifest order; for {@link openSeedStore}. */
  stamps: Stamp[]
  /** What was left out of a folder and why; a person should be told. */
  skipped: SkippedEntry[]
  /** Whether the cache knew it and nothing was hashed. */
  isFromCache: boolean
}

/**
 * Hashes a file or folder. Throws `StoreError` when it cannot be read or changes meanwhile,
 * `InvalidOptionsError` for what a manifest cannot carry (naming the path) and for a wrong piece length, and
 * the signal's reason.
 */
export async function hashContent(path: string, options: HashOptions): Promise<HashedContent> {
  checkPieceLength(options.pieceLength)
  const content = await settle(path, options.signal)
  const length = content.files.reduce((total, file) => total + file.length, 0)
  const pieceLength = options.pieceLength ?? defaultPieceLength(length)
  const stamps = content.files.map(file => file.stamp)
  const name = options.name ?? content.name
  const cached = options.rehash === true ? undefined : await options.cache?.find(content, pieceLength)
  if (cached !== undefined) {
    return { manifest: { ...cached, name }, path: content.path, stamps, skipped: content.skipped, isFromCache: true }
  }
  const geometry = geometryFor(length, pieceLength)
  const files = content.files.map(({ path, length, executable }) => ({ path, length, executable }))
  const described = { length, pieceLength, ...(content.isFolder ? { files } : {}) }
  // Names that cannot be shared show before hours of hashing, not after.
  const hashes = new Uint8Array(geometry.pieceCount * HASH_BYTES)
  sharedManifest({ ...described, name, hashes }, content.path, options.hash)

  await hashFiles(content, new Layout({ ...described, name, root: '', hashes }), hashes, options)
  const manifest = sharedManifest({ ...described, name, hashes }, content.path, options.hash)
  // A change within the clock's tick before its stamp was waited for; one from a clock in the future cannot
  // be, and is not cached.
  const nowMs = Date.now()
  if (stamps.every(stamp => isSettled(stamp.ctimeNs, nowMs))) await options.cache?.keep(content, manifest)
  return { manifest, path: content.path, stamps, skipped: content.skipped, isFromCache: false }
}

/** Scans; when something changed a moment ago, waits until a later change would show, and scans again. */
async function settle(path: string, signal: AbortSignal | undefined): Promise<ScannedContent> {
  const content = await scanContent(path, signal)
  const waitMs = content.files.reduce((most, file) => Math.max(most, settleMs(file.stamp.ctimeNs, Date.now())), 0)
  if (waitMs === 0) return content
  await new Promise(resolve => setTimeout(resolve, waitMs))
  return scanContent(path, signal)
}

/** Reads every file once, in manifest order, and fills `hashes`. */
async function hashFiles(content: ScannedContent, layout: Layout, hashes: Uint8Array, options: HashOptions): Promise<void> {
  const { geometry } = layout
  const { hash, onProgress } = options
  const pathOf = (file: number): string => layout.pathOf(file, content.path)
  const changed = (file: number): StoreError => new StoreError('changed while it was hashed', pathOf(file))
  const flags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0)
  const pool = new HandlePool(
    file =>
      openRaw(pathOf(file), flags).catch(err => {
        throw storeError('cannot open', pathOf(file), err)
      }),
    32
  )
  let hashed = 0
  const onHashed = (bytes: number): void => {
    hashed += bytes
    onProgress?.(hashed, geometry.length)
  }
  try {
    const isLarge = !content.isFolder && geometry.length >= THREADS_FROM_BYTES
    const isHashed = isLarge && (await pool.use(0, fd => hashInThreads(fd, geometry, hashes, onHashed, options.signal)))
    if (!isHashed) {
      hashed = 0
      await streamPieces(
        geometry,
        (buffer, first, last) =>
          forEachWide(slicesBetween(layout, first, last), 4, slice =>
            pool.use(slice.file, async fd => {
              const bytes = await readAt(fd, buffer, slice.offset, slice.bytes, slice.fileOffset, pathOf(slice.file))
              if (bytes < slice.bytes) throw changed(slice.file)
            })
          ),
        (piece, data) => {
          hashes.set(hash(data), piece * HASH_BYTES)
          onHashed(data.byteLength)
        },
        options.signal
      )
    }
  } finally {
    await pool.closeAll()
  }
  await forEachWide(content.files, 8, async (file, index) => {
    const stats = await statPath(pathOf(index))
    if (stats === undefined || !isSameStamp(file.stamp, stampOf(stats))) throw changed(index)
  })
}

/**
 * Fills `hashes` with one file's. False when a thread could not: the caller hashes by itself then and meets
 * the reason.
 */
async function hashInThreads(
  fd: number,
  geometry: Geometry,
  hashes: Uint8Array,
  onHashed: (bytes: number) => void,
  signal: AbortSignal | undefined
): Promise<boolean> {
  const { length, pieceLength, pieceCount } = geometry
  const piecesPerRun = Math.max(1, Math.floor(RUN_BYTES / pieceLength))
  await using threads = new HashThreads()
  let next = 0
  let isComplete = true
  const lane = async (): Promise<void> => {
    while (next < pieceCount && isComplete) {
      signal?.throwIfAborted()
      const first = next
      next += piecesPerRun
      const position = geometry.pieceOffset(first)
      const bytes = Math.min(piecesPerRun * pieceLength, length - position)
      const found = await threads.hash({ fd, position, bytes, pieceLength })
      if (found === undefined) isComplete = false
      else {
        hashes.set(found, first * HASH_BYTES)
        onHashed(bytes)
      }
    }
  }
  await Promise.all(Array.from({ length: threads.width }, lane))
  return isComplete
}

interface BlockSlice {
  file: number
  fileOffset: number
  /** Within the block. */
  offset: number
  bytes: number
}

/** The slices of pieces [first, last], those of one file joined. */
function slicesBetween(layout: Layout, first: number, last: number): BlockSlice[] {
  const slices: BlockSlice[] = []
  for (let piece = first; piece <= last; piece++) {
    const base = (piece - first) * layout.geometry.pieceLength
    for (const { file, fileOffset, pieceOffset, bytes } of layout.slicesOf(piece)) {
      const previous = slices.at(-1)
      if (previous?.file === file) previous.bytes += bytes
      else slices.push({ file, fileOffset, offset: base + pieceOffset, bytes })
    }
  }
  return slices
}

export interface HashStreamOptions extends Omit<HashOptions, 'cache' | 'onProgress' | 'name'> {
  name: string
  /** File to keep the bytes in, in a folder that exists; replaced when it is there. */
  spool: string
  /** Bytes kept so far. */
  onProgress?: (bytes: number) => void
}

/**
 * Keeps a stream of unknown length in a file and makes its manifest, the same as if the file had been hashed.
 * Pieces of the given or default length are hashed as they arrive; a stream so long that its default piece
 * length is larger is hashed once more from the file. Throws as {@link hashContent}; the spool file is
 * removed on failure.
 */
export async function hashStream(input: AsyncIterable<Uint8Array>, options: HashStreamOptions): Promise<HashedContent> {
  checkPieceLength(options.pieceLength)
  const { hash, signal, name } = options
  const spool = resolve(options.spool)
  const pieceLength = options.pieceLength ?? defaultPieceLength(0)
  const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC | (fs.constants.O_NOFOLLOW ?? 0)
  const fd = await openRaw(spool, flags, 0o600).catch(err => {
    throw storeError('cannot create', spool, err)
  })
  const hashes: Uint8Array[] = []
  let length = 0
  let stamp: Stamp
  try {
    const buffer = Buffer.allocUnsafeSlow(pieceLength)
    let filled = 0
    const endPiece = async (): Promise<void> => {
      if (hashes.length >= MAX_PIECE_COUNT) {
        throw new InvalidOptionsError(
          `the stream has more than ${MAX_PIECE_COUNT} pieces of ${pieceLength} bytes; make pieces longer`
        )
      }
      hashes.push(hash(buffer.subarray(0, filled)))
      await writeAt(fd, buffer, 0, filled, length - filled, spool)
      filled = 0
    }
    for await (const chunk of input) {
      signal?.throwIfAborted()
      for (let taken = 0; taken < chunk.byteLength; ) {
        const bytes = Math.min(chunk.byteLength - taken, pieceLength - filled)
        buffer.set(chunk.subarray(taken, taken + bytes), filled)
        taken += bytes
        filled += bytes
        length += bytes
        if (filled === pieceLength) await endPiece()
      }
      options.onProgress?.(length)
    }
    signal?.throwIfAborted()
    if (filled > 0) await endPiece()
    await dataSync(fd, spool)
    stamp = stampOf(await statFile(fd, spool))
  } catch (err) {
    await fs.promises.rm(spool, { force: true }).catch(() => {})
    throw err
  } finally {
    await closeFile(fd)
  }
  if (options.pieceLength === undefined && defaultPieceLength(length) !== pieceLength) {
    return hashContent(spool, { hash, name, ...(signal === undefined ? {} : { signal }) })
  }
  const joined = new Uint8Array(hashes.length * HASH_BYTES)
  for (const [piece, digest] of hashes.entries()) joined.set(digest, piece * HASH_BYTES)
  const manifest = sharedManifest({ name, length, pieceLength, hashes: joined }, spool, hash)
  return { manifest, path: spool, stamps: [stamp], skipped: [], isFromCache: false }
}

function checkPieceLength(pieceLength: number | undefined): void {
  if (pieceLength === undefined || isPieceLength(pieceLength)) return
  throw new InvalidOptionsError('the piece length must be a power of two from 16 KiB to 16 MiB', { pieceLength })
}

function geometryFor(length: number, pieceLength: number): Geometry {
  try {
    return new Geometry(length, pieceLength)
  } catch (cause) {
    throw new InvalidOptionsError(`${length} bytes make too many pieces of ${pieceLength} bytes; make pieces longer`, {}, cause)
  }
}

function sharedManifest(content: Parameters<typeof createManifest>[0], path: string, hash: HashFunction): Manifest {
  try {
    return createManifest(content, hash)
  } catch (err) {
    if (!(err instanceof InvalidManifestError)) throw err
    throw new InvalidOptionsError(`cannot be shared: ${err.what} (${err.where}): ${path}`, { path }, err)
  }
}
