/**
 * From what the user typed (a link, a manifest file) to a manifest, its encoded piece list and the peers it
 * hints at.
 */

import { readFile, stat } from 'node:fs/promises'
import type { HashFunction } from '../content/hash.ts'
import { parseLink } from '../content/link.ts'
import { createManifest, MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../content/manifest.ts'
import { MAX_PIECE_LIST_BYTES, parsePieceList, rootOf } from '../content/piece-list.ts'
import { InvalidManifestError, InvalidOptionsError, NoPeersError, StoreError } from '../errors.ts'
import type { Host } from '../network/types.ts'
import { bytesEqual, decodeHex } from '../util/bytes.ts'
import { AddressBook, splitPeerHint } from './address-book.ts'
import type { GetStatus } from './types.ts'

export interface Source {
  manifest: Manifest
  pieceList: Uint8Array
}

/**
 * Reads a manifest file. Throws `NotFound`-like `InvalidOptionsError`, `StoreError` or
 * `InvalidManifestError`.
 */
export async function readManifestFile(path: string, hash: HashFunction): Promise<Manifest> {
  let bytes: Buffer
  try {
    const { size } = await stat(path)
    if (size > MAX_MANIFEST_BYTES) throw new InvalidManifestError(`${size} bytes are more than ${MAX_MANIFEST_BYTES}`, path)
    bytes = await readFile(path)
  } catch (err) {
    if (err instanceof InvalidManifestError) throw err
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new InvalidOptionsError(`no such manifest: ${path} (give a .swarm file or a swarm: link)`, { path }, err)
    }
    throw new StoreError('cannot read the manifest', path, err)
  }
  return parseManifest(bytes, hash)
}

/**
 * Fetches the piece list that a link names from any peer that has it, checks it against the root, and gives a
 * manifest. Asks hinted peers first, then what the DHT and the LAN know, until somebody answers, `timeoutMs`
 * passes or `signal` aborts.
 */
export async function fetchManifest(
  text: string,
  host: Host,
  hash: HashFunction,
  options: {
    peers: readonly { peer: string; address: string }[]
    timeoutMs: number
    signal: AbortSignal
    onStatus?: (status: GetStatus) => void
  }
): Promise<Source> {
  const link = parseLink(text)
  const root = rootBytes(link.root)
  const book = new AddressBook()
  const waiting: string[] = []
  const known = new Set<string>()
  const failures = new Map<string, string>()
  const idle = new Set<() => void>()
  const wake = (): void => {
    for (const resolve of idle) resolve()
    idle.clear()
  }
  const offer = (peer: string, addresses: readonly string[]): void => {
    if (peer === host.peer) return
    book.record(peer, addresses)
    if (known.has(peer) || known.size >= MAX_KNOWN) return
    known.add(peer)
    waiting.push(peer)
    wake()
  }
  for (const { peer, address } of options.peers) offer(peer, [address])
  for (const hint of link.peers ?? []) {
    const split = splitPeerHint(hint)
    if (split !== undefined) offer(split.peer, [split.address])
  }

  const ended = new AbortController()
  const deadline = options.timeoutMs > 0 ? [AbortSignal.timeout(options.timeoutMs)] : []
  const signal = AbortSignal.any([options.signal, ended.signal, ...deadline])
  signal.addEventListener('abort', wake, { once: true })
  const stopLan = host.onPeer(offer)
  let walks = 0
  const describe = (): string =>
    `looking for the piece list of ${link.root.slice(0, 12)}…: ${known.size} peer(s) known, ${failures.size} could not give it, DHT asked ${walks} time(s)`

  const walk = async (): Promise<void> => {
    for (let pauseMs = 500; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 15_000)) {
      walks++
      try {
        for await (const { peer, addresses } of host.router.find(root, AbortSignal.any([signal, AbortSignal.timeout(30_000)]))) {
          offer(peer, addresses)
        }
      } catch {
        // an unanswered walk is tried again below
      }
      options.onStatus?.({ state: known.size === 0 ? 'finding' : 'fetching-list', text: describe() })
      await sleep(pauseMs, signal)
      // Peers that failed may have come back, or learnt the list since.
      for (const peer of failures.keys()) if (!waiting.includes(peer)) waiting.push(peer)
      wake()
    }
  }

  let asking = 0
  /** Of lists, since it was looked at last. */
  let newBytes = 0
  const found = Promise.withResolvers<Source | undefined>()
  const ask = async (): Promise<Source | undefined> => {
    while (!signal.aborted) {
      const peer = waiting.shift()
      if (peer === undefined) {
        await new Promise<void>(resolve => idle.add(resolve))
        continue
      }
      try {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(30_000)])
        const pieceList = await host.fetchPieceList(peer, book.of(peer), root, MAX_PIECE_LIST_BYTES, limit, bytes => {
          newBytes += bytes
        })
        if (!bytesEqual(rootOf(pieceList, hash), root))
          throw new InvalidManifestError('piece list does not match the root', `peer ${peer}`)
        const name = link.name ?? link.root.slice(0, 16)
        const origins = link.origins === undefined ? {} : { origins: link.origins }
        return {
          manifest: createManifest({ ...parsePieceList(pieceList), name, peers: link.peers ?? [], ...origins }, hash),
          pieceList
        }
      } catch (err) {
        failures.set(peer, (err as Error).message)
      }
    }
    return undefined
  }

  const askMore = (): void => {
    for (let i = 0; i < PARALLEL_ASKS && asking < MAX_ASKS; i++) {
      asking++
      void ask().then(found.resolve)
    }
  }
  // Peers that give nothing keep only their own places: others are asked meanwhile.
  const watch = setInterval(() => {
    if (newBytes < SLOW_ANSWER_BYTES) askMore()
    newBytes = 0
  }, SLOW_ANSWER_MS)

  options.onStatus?.({ state: 'finding', text: describe() })
  try {
    void walk()
    askMore()
    const source = await found.promise
    if (source !== undefined) return source
    options.signal.throwIfAborted()
    const last = [...failures].at(-1)
    throw new NoPeersError(
      `nobody gave the piece list within ${Math.round(options.timeoutMs / 1000)} s; ${describe()}${last === undefined ? '' : `; last failure: ${last[1]}`}`
    )
  } finally {
    clearInterval(watch)
    ended.abort()
    stopLan()
  }
}

/** The 32 bytes of a root in hex, as parsed links and manifests carry it. */
export function rootBytes(root: string): Uint8Array {
  const bytes = decodeHex(root)
  if (bytes === undefined) throw new InvalidManifestError(`"${root}" is not a root`, 'root')
  return bytes
}

const PARALLEL_ASKS = 4
/**
 * Where all of them together bring less than this in that time, as many more are asked, up to so many at
 * once.
 */
const SLOW_ANSWER_MS = 2_000
const SLOW_ANSWER_BYTES = 128 * 1024
const MAX_ASKS = 16
const MAX_KNOWN = 500

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
