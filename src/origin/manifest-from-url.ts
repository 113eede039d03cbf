/**
 * The manifest of what an HTTP(S) server holds, made while it streams past: nothing is kept unless asked for.
 *
 * Invariants: the bytes hashed are those of one file: a connection that breaks is taken up where it broke
 * only while length and validators stay the same. Memory is one piece. Called by `swarm create <url>` and
 * programs.
 */

import { open } from 'node:fs/promises'
import { defaultPieceLength, isPieceLength, MAX_PIECE_COUNT } from '../content/geometry.ts'
import { HASH_BYTES, type HashFunction } from '../content/hash.ts'
import { createManifest, formatManifest, type Manifest, parseManifest } from '../content/manifest.ts'
import { InvalidOptionsError, OriginError, StoreError } from '../errors.ts'
import { displayUrl, HttpClient, type OriginAnswer, readFault } from './http-client.ts'

export interface OriginManifestOptions {
  signal?: AbortSignal
  /** Bytes hashed so far; the total when the server tells it. */
  onHashed?: (hashed: number, total: number) => void
  /** @default the last part of the URL's path, or what Content-Disposition says */
  name?: string
  /** @default by the length that the server tells, 1 MiB when it tells none */
  pieceLength?: number
  /** Also keep the bytes in this file, which must not exist. */
  keep?: string
  peers?: string[]
  /** Origins to name in the manifest. @default the URL itself */
  origins?: string[]
  /** Whether private and loopback addresses may be asked. @default true */
  allowPrivate?: boolean
}

const STALL_TIMEOUT_MS = 30_000
/** Times in a row that a broken connection is taken up without a byte in between. */
const MAX_RETRIES = 5
const RETRY_MS = 500
/** When the server does not say how long the content is. */
const UNKNOWN_PIECE_LENGTH = 1024 * 1024

/** Throws `OriginError`, `InvalidOptionsError`, `StoreError` for `keep`, and the signal's reason. */
export async function manifestFromUrl(url: string, hash: HashFunction, options: OriginManifestOptions): Promise<Manifest> {
  const signal = options.signal ?? new AbortController().signal
  if (options.pieceLength !== undefined && !isPieceLength(options.pieceLength)) {
    throw new InvalidOptionsError('the piece length must be a power of two from 16 KiB to 16 MiB', {
      pieceLength: options.pieceLength
    })
  }
  const http = new HttpClient({ allowPrivate: options.allowPrivate ?? true, connections: 1, stallTimeoutMs: STALL_TIMEOUT_MS })
  await using kept = await openKept(options.keep)
  try {
    let answer = await ask(http, url, undefined, signal)
    const first = { length: answer.length, etag: answer.etag, lastModified: answer.lastModified }
    const name = options.name ?? nameOf(url, answer)
    const pieceLength =
      options.pieceLength ?? (first.length === undefined ? UNKNOWN_PIECE_LENGTH : defaultPieceLength(first.length))
    const buffer = Buffer.allocUnsafeSlow(pieceLength)
    const hashes: Uint8Array[] = []
    let length = 0
    let filled = 0
    const endPiece = async (): Promise<void> => {
      if (hashes.length >= MAX_PIECE_COUNT)
        throw new InvalidOptionsError(`more than ${MAX_PIECE_COUNT} pieces; make pieces longer`)
      const piece = buffer.subarray(0, filled)
      hashes.push(hash(piece))
      await kept.write(piece)
      filled = 0
    }
    for (let retries = 0; ; ) {
      const before = length
      const broken = await readInto(answer, signal, async chunk => {
        for (let taken = 0; taken < chunk.byteLength; ) {
          const bytes = Math.min(chunk.byteLength - taken, pieceLength - filled)
          buffer.set(chunk.subarray(taken, taken + bytes), filled)
          taken += bytes
          filled += bytes
          length += bytes
          if (filled === pieceLength) await endPiece()
        }
        options.onHashed?.(length, first.length ?? length)
      })
      if (broken === undefined && (first.length === undefined || length === first.length)) break
      if (first.length !== undefined && length > first.length) {
        throw new OriginError('changed', `${displayUrl(url)} sends more than the ${first.length} bytes that it announced`)
      }
      retries = length > before ? 0 : retries + 1
      if (retries > MAX_RETRIES || first.length === undefined) {
        throw new OriginError(
          'unreachable',
          `${displayUrl(url)} broke off after ${length} bytes; try again`,
          { url: displayUrl(url) },
          broken
        )
      }
      await new Promise(resolve => setTimeout(resolve, RETRY_MS))
      answer = await resume(http, url, length, first, signal)
    }
    if (filled > 0) await endPiece()
    await kept.finish()
    const joined = new Uint8Array(hashes.length * HASH_BYTES)
    for (const [piece, digest] of hashes.entries()) joined.set(digest, piece * HASH_BYTES)
    const hints = { origins: options.origins ?? [url], ...(options.peers === undefined ? {} : { peers: options.peers }) }
    const manifest = createManifest({ name, length, pieceLength, hashes: joined, ...hints }, hash)
    // What we write must be what everybody can read, hints included.
    return parseManifest(formatManifest(manifest), hash)
  } finally {
    await http.close()
  }
}

async function ask(http: HttpClient, url: string, start: number | undefined, signal: AbortSignal): Promise<OriginAnswer> {
  const answer = await http.get(url, start === undefined ? undefined : { start }, signal)
  if (answer.status === (start === undefined ? 200 : 206)) return answer
  const why = await readFault(answer)
  const message = `${displayUrl(url)} answers ${answer.status}${why === '' ? '' : ` (${why})`}`
  throw new OriginError(answer.status >= 500 ? 'unreachable' : 'refused', message, {
    url: displayUrl(url),
    status: answer.status
  })
}

/** Goes on at `start`, provided that it is still the same file. */
async function resume(
  http: HttpClient,
  url: string,
  start: number,
  first: { length: number | undefined; etag: string | undefined; lastModified: string | undefined },
  signal: AbortSignal
): Promise<OriginAnswer> {
  const answer = await ask(http, url, start, signal)
  const isSame =
    answer.start === start &&
    answer.length === first.length &&
    answer.etag === first.etag &&
    answer.lastModified === first.lastModified
  if (isSame) return answer
  answer.body.on('error', () => {}).destroy()
  throw new OriginError('changed', `${displayUrl(url)} changed while it was read; run it again`, { url: displayUrl(url) })
}

/** Reads the body to its end; gives what broke it, if something did. */
async function readInto(
  answer: OriginAnswer,
  signal: AbortSignal,
  take: (chunk: Uint8Array) => Promise<void>
): Promise<Error | undefined> {
  const chunks = answer.body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  try {
    for (;;) {
      const next = await chunks.next().catch((err: Error) => err)
      signal.throwIfAborted()
      if (next instanceof Error) return next
      if (next.done === true) return undefined
      await take(next.value)
    }
  } finally {
    answer.body.on('error', () => {}).destroy()
  }
}

function nameOf(url: string, { disposition }: OriginAnswer): string {
  const given = /filename="?([^";/\\]+)"?/i.exec(disposition ?? '')?.[1]
  const last = new URL(url).pathname
    .split('/')
    .filter(part => part !== '')
    .at(-1)
  if (given !== undefined) return given
  try {
    return last === undefined ? 'download' : decodeURIComponent(last)
  } catch {
    return 'download'
  }
}

interface Kept extends AsyncDisposable {
  write(bytes: Uint8Array): Promise<void>
  finish(): Promise<void>
}

async function openKept(path: string | undefined): Promise<Kept> {
  if (path === undefined) return { write: async () => {}, finish: async () => {}, [Symbol.asyncDispose]: async () => {} }
  const fail = (err: unknown): never => {
    throw new StoreError('cannot keep the content', path, err)
  }
  const file = await open(path, 'wx').catch(fail)
  return {
    write: async bytes => {
      await file.writeFile(bytes).catch(fail)
    },
    finish: async () => {
      await file.datasync().catch(fail)
    },
    [Symbol.asyncDispose]: () => file.close()
  }
}
