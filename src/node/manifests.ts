/**
 * Content on disk and its manifest, without any network: make one, read one, write one, check one.
 *
 * A thin layer over the store that adds the hash function, the hash cache in the state folder, and URLs.
 * Callers: the CLI's `create`, `info` and `verify`, node.ts before it seeds, and programs through index.ts.
 * Must not load libp2p: these commands start fast.
 */

import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { HashFunction } from '../content/hash.ts'
import { formatManifest, MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../content/manifest.ts'
import { InvalidManifestError, InvalidOptionsError, StoreError } from '../errors.ts'
import { fetchDocument } from '../origin/fetch-document.ts'
import { manifestFromUrl, type OriginManifestOptions } from '../origin/manifest-from-url.ts'
import { HashCache } from '../store/hash-cache.ts'
import { type HashedContent, hashContent } from '../store/hash-content.ts'
import { loadHasher } from '../store/hasher.ts'
import { defaultStateDir } from '../store/state-dir.ts'
import { type VerifyResult, verifyContent as verifyOnDisk } from '../store/verify-content.ts'
import { readManifestFile } from './manifest-search.ts'
import type { SeedOptions } from './types.ts'

/** A manifest that the caller names: from wherever, but neither endless nor slow without end. */
const DOCUMENT = { allowPrivate: true, maxBytes: MAX_MANIFEST_BYTES, timeoutMs: 60_000 }

export interface CreateOptions extends SeedOptions {
  /** Folder of the hash cache. @default where the platform keeps state */
  stateDir?: string
  /** Hints to put into the manifest. */
  peers?: string[]
}

/**
 * Hashes the file or folder at `path` (or finds it unchanged in the hash cache) and gives its manifest;
 * writes nothing but the cache. Throws `InvalidOptionsError` when there is nothing at `path` or it cannot be
 * shared, `StoreError` when it cannot be read.
 */
export async function createManifest(path: string, options: CreateOptions = {}): Promise<Manifest> {
  const { hash } = await loadHasher()
  const { manifest } = await prepareSeed(path, options.stateDir ?? defaultStateDir(), hash, options)
  const { peers, origins } = options
  const hinted = { ...manifest, ...(peers === undefined ? {} : { peers }), ...(origins === undefined ? {} : { origins }) }
  // What we write must be what everybody can read, hints included.
  return peers === undefined && origins === undefined ? manifest : parseManifest(formatManifest(hinted), hash)
}

/**
 * Hashes what is to be seeded; `stamps` let the store notice later changes. Errors as {@link createManifest}.
 */
export async function prepareSeed(
  path: string,
  stateDir: string,
  hash: HashFunction,
  options: SeedOptions
): Promise<HashedContent> {
  const { signal, onHashed, name, pieceLength, onSkipped } = options
  const content = await hashContent(path, {
    hash,
    ...(name === undefined ? {} : { name }),
    ...(pieceLength === undefined ? {} : { pieceLength }),
    ...(signal === undefined ? {} : { signal }),
    ...(onHashed === undefined ? {} : { onProgress: onHashed }),
    ...(options.rehash === undefined ? {} : { rehash: options.rehash }),
    cache: new HashCache({ stateDir, hash })
  }).catch(err => {
    const isGone = err instanceof StoreError && err.errno === 'ENOENT' && err.path === resolve(path)
    throw isGone ? new InvalidOptionsError(`no such file or folder: ${path}`, { path }, err) : err
  })
  if (content.skipped.length > 0) onSkipped?.(content.skipped)
  return content
}

/**
 * The manifest of what an http(s) URL holds, made while it streams past. Throws `OriginError`,
 * `InvalidOptionsError`, `StoreError` for `keep`, and the signal's reason.
 */
export async function createManifestFromUrl(url: string, options: OriginManifestOptions = {}): Promise<Manifest> {
  const { hash } = await loadHasher()
  return manifestFromUrl(url, hash, options)
}

export type VerifyReport = Omit<VerifyResult, 'stamps'>

/**
 * Checks the file or folder at `path` against the manifest. Throws `InvalidOptionsError` when there is
 * nothing at `path`, `StoreError` when it cannot be read, the signal's reason when aborted.
 */
export async function verifyContent(
  manifest: Manifest,
  path: string,
  options: { signal?: AbortSignal; onChecked?: (checked: number, total: number) => void } = {}
): Promise<VerifyReport> {
  const { hash } = await loadHasher()
  const { signal, onChecked } = options
  const { stamps: _, ...report } = await verifyOnDisk(manifest, path, {
    hash,
    ...(signal === undefined ? {} : { signal }),
    ...(onChecked === undefined ? {} : { onProgress: onChecked })
  })
  return report
}

/**
 * Reads a manifest from a file, an http(s) URL or, for `-`, standard input. Throws `InvalidManifestError`
 * when it is none, `InvalidOptionsError` when the file does not exist, `StoreError` when it cannot be read,
 * `NotFoundError` when the URL does not give it.
 */
export async function readManifest(source: string, options: { signal?: AbortSignal } = {}): Promise<Manifest> {
  const { hash } = await loadHasher()
  if (source === '-') return parseManifest(await readBounded(process.stdin, 'standard input'), hash)
  if (/^https?:\/\//i.test(source)) return parseManifest(await fetchDocument(source, { ...DOCUMENT, ...options }), hash)
  return readManifestFile(source, hash)
}

async function readBounded(stream: AsyncIterable<Uint8Array>, where: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.byteLength
    if (bytes > MAX_MANIFEST_BYTES) throw new InvalidManifestError(`more than ${MAX_MANIFEST_BYTES} bytes`, where)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}

/**
 * Writes the manifest to `path`, atomically. A file that is there and is no manifest is left alone unless
 * `force` (`InvalidOptionsError`): a seeded `notes` must not cost the user an unrelated `notes.swarm`.
 */
export async function writeManifest(manifest: Manifest, path: string, force = false): Promise<void> {
  if (!force) await refuseOtherFile(path)
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(temporary, 'wx')
    try {
      await file.writeFile(formatManifest(manifest))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (err) {
    await rm(temporary, { force: true })
    throw new StoreError('cannot write the manifest', path, err)
  }
}

async function refuseOtherFile(path: string): Promise<void> {
  const start = new Uint8Array(64)
  try {
    await using file = await open(path)
    await file.read(start)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return
    throw new StoreError('cannot look at what is there before writing the manifest', path, err)
  }
  if (!/^\s*\{\s*"swarm"\s*:/.test(new TextDecoder().decode(start))) {
    throw new InvalidOptionsError(`${path} exists and is no manifest; use --force to overwrite it, or --output`, { path })
  }
}
