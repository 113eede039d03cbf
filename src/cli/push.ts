/**
 * `swarm push <file> --to <daemon>`: brings a file to a daemon, which seeds it. Only what is not there yet
 * travels: a push that was cut off goes on, a file that has grown since sends its new end, a content that is
 * known sends nothing.
 *
 * The file is hashed first, so that the root tells all this; the daemon hashes what it got and compares.
 */

import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { DaemonClient } from '../api/client/client.ts'
import { UploadClient } from '../api/client/upload-client.ts'
import type { Upload } from '../api/schema/uploads.ts'
import { HASH_BYTES } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { InvalidOptionsError, NotFoundError, SwarmError } from '../errors.ts'
import { loadManifestParser } from '../node/manifest-parser.ts'
import { createManifest } from '../node/manifests.ts'
import { bytesEqual } from '../util/bytes.ts'
import { formatBytes, formatDuration } from '../util/sizes.ts'
import { byteProgress } from './hashing.ts'
import { interruptible } from './interrupt.ts'
import { type CommonFlags, defined } from './options.ts'
import type { Ui } from './ui.ts'
import { requireDaemon } from './use-daemon.ts'

export interface PushFlags extends CommonFlags {
  to: string
  tokenFile?: string
  fingerprint?: string
  name?: string
  pieceLength?: number
}

/** A part is what travels again when a connection breaks. */
const PART_BYTES = 8 * 1024 * 1024
const MAX_PARTS = 10_000
const PARTS_AT_ONCE = 3
/**
 * A part is tried this often, later each time, before the push gives up; pushing again goes on from there.
 * Three quarters of a minute together: a daemon that was killed needs 15 s to be back on a machine that is
 * busy.
 */
const TRIES = 10
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 8000

interface Range {
  /** Number of the part, from 1. */
  part: number
  start: number
  end: number
}

export async function push(path: string, flags: PushFlags, ui: Ui): Promise<number> {
  using interrupt = interruptible(ui)
  const { signal } = interrupt
  const found = await stat(path).catch(err => {
    throw new InvalidOptionsError(`cannot push ${path}: ${err.code === 'ENOENT' ? 'no such file' : err.message}`, { path }, err)
  })
  if (!found.isFile()) throw new InvalidOptionsError(`${path} is no file; pack a folder first, or seed it`, { path })
  const client = await requireDaemon({
    daemon: flags.to,
    ...defined({ tokenFile: flags.tokenFile, fingerprint: flags.fingerprint, stateDir: flags.stateDir })
  })
  const uploads = new UploadClient(client)
  const name = flags.name ?? basename(path)
  const earlier = await earlierContent(client, name)
  // Only pieces of one length can be compared.
  const pieceLength = flags.pieceLength ?? earlier?.pieceLength
  const manifest = await createManifest(path, {
    signal,
    onHashed: byteProgress(ui, 'hashing', `hashing ${path}`),
    name,
    ...defined({ stateDir: flags.stateDir, pieceLength })
  })
  ui.clear()
  const startedMs = performance.now()
  const { root, length } = manifest
  const upload = await uploads.begin({ name, length, root, pieceLength: manifest.pieceLength })
  let sent = 0
  let copied = 0
  if (upload.state !== 'complete') {
    const common = earlier === undefined ? 0 : commonPrefix(earlier, manifest)
    const ranges = plan(length, common)
    const todo = ranges.filter(range => !isThere(upload, range))
    const total = todo.reduce((sum, { start, end }) => sum + end - start, 0)
    const show = byteProgress(ui, 'pushing', `pushing ${path}`)
    await using file = await open(path)
    const work = async (): Promise<void> => {
      for (let range = todo.shift(); range !== undefined; range = todo.shift()) {
        signal.throwIfAborted()
        const { part, start, end } = range
        if (earlier !== undefined && end <= common) {
          await retrying(() => uploads.copy(upload.id, part, { root: earlier.root, start, end }), signal)
          copied += end - start
        } else {
          const bytes = Buffer.allocUnsafe(end - start)
          const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, start)
          if (bytesRead < bytes.byteLength) throw new InvalidOptionsError(`${path} became shorter while it was pushed`, { path })
          const checksum = createHash('sha256').update(bytes).digest('base64')
          await retrying(() => uploads.put(upload.id, part, bytes, checksum, signal), signal)
          sent += bytes.byteLength
        }
        show(sent + copied, total)
      }
    }
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work))
    ui.clear()
  }
  const task = upload.task ?? (await uploads.complete(upload.id))
  const elapsedMs = performance.now() - startedMs
  ui.event('pushed', {
    name,
    root,
    bytes: length,
    bytesSent: sent,
    bytesCopied: copied,
    elapsedMs: Math.round(elapsedMs),
    id: task.id,
    link: task.link
  })
  ui.essential(task.link ?? root)
  ui.result(`pushed    ${name}, ${formatBytes(length)}, in ${formatDuration(elapsedMs)}`)
  ui.result(`sent      ${formatBytes(sent)}${sent < length ? `; ${formatBytes(length - sent)} of it were there already` : ''}`)
  ui.result(`link      ${task.link ?? `swarm:${root}`}`)
  return 0
}

/** The newest complete content of this name that the daemon has; the file may have grown out of it. */
async function earlierContent(client: DaemonClient, name: string): Promise<Manifest | undefined> {
  try {
    const same = (await client.tasks()).filter(task => task.name === name && task.state === 'complete')
    const newest = same.sort((a, b) => b.createdMs - a.createdMs)[0]
    if (newest === undefined) return undefined
    const parse = await loadManifestParser()
    const manifest = parse(await client.manifest(newest.id))
    return manifest.files === undefined ? manifest : undefined
  } catch (err) {
    // A token for uploads alone may not look.
    if (err instanceof NotFoundError || (err instanceof SwarmError && err.code === 'forbidden')) return undefined
    throw err
  }
}

/** Bytes from the start, in whole pieces, that both have. */
export function commonPrefix(earlier: Manifest, later: Manifest): number {
  if (earlier.pieceLength !== later.pieceLength) return 0
  const pieces = Math.min(earlier.hashes.byteLength, later.hashes.byteLength) / HASH_BYTES
  let same = 0
  while (same < pieces) {
    const at = same * HASH_BYTES
    if (!bytesEqual(earlier.hashes.subarray(at, at + HASH_BYTES), later.hashes.subarray(at, at + HASH_BYTES))) break
    same++
  }
  return Math.min(same * later.pieceLength, earlier.length, later.length)
}

/**
 * Parts of the content: one for what can be copied, then equal ones. The same content gives the same parts,
 * so that a push can go on.
 */
export function plan(length: number, common: number): Range[] {
  const ranges: Range[] = []
  if (common > 0) ranges.push({ part: 1, start: 0, end: common })
  const partBytes = Math.max(PART_BYTES, Math.ceil((length - common) / (MAX_PARTS - 2)))
  for (let start = common; start < length; start += partBytes) {
    ranges.push({ part: ranges.length + 1, start, end: Math.min(length, start + partBytes) })
  }
  return ranges
}

function isThere(upload: Upload, { part, start, end }: Range): boolean {
  return upload.parts.some(each => each.part === part && each.bytes === end - start)
}

/** A connection that breaks and a daemon that starts again are waited for; what the daemon refuses is not. */
async function retrying<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (err) {
      signal.throwIfAborted()
      const isPassing = !(err instanceof SwarmError) || err.code === 'unavailable'
      if (!isPassing || tries >= TRIES) throw err
      await new Promise(resolve => setTimeout(resolve, Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (tries - 1))))
    }
  }
}
