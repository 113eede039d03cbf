/**
 * From the body of `POST /v1/tasks` to what the queue is asked for, as far as this caller may. Called by
 * routes/tasks.ts.
 */

import type { FastifyRequest } from 'fastify'
import { isLink, parseLink } from '../content/link.ts'
import { MAX_MANIFEST_BYTES, type Manifest } from '../content/manifest.ts'
import { type Caller, checkReach, checkScope } from '../daemon/access/caller.ts'
import type { DaemonOptions } from '../daemon/options.ts'
import { checkPath } from '../daemon/paths.ts'
import type { NewTask } from '../daemon/tasks/record.ts'
import { InvalidOptionsError, RequestRefusedError } from '../errors.ts'
import { fetchDocument } from '../origin/fetch-document.ts'
import type { AddTask } from './schema/tasks.ts'

const FETCH_TIMEOUT_MS = 30_000
/**
 * What a client may send of a manifest: together some 50 ms, during which nothing else is done
 * (test/hostile/http.test.ts).
 */
const MAX_BODY_BYTES = 2 * 1024 * 1024
const MAX_FILES = 10_000
const ELSEWHERE = 'give a larger manifest by its link or URL (source)'

interface NewTaskContext {
  caller: Caller
  options: Pick<DaemonOptions, 'paths' | 'allowPrivateUrls' | 'completeDir'>
  parseManifest: (source: string | Uint8Array) => Manifest
}

/**
 * Before the body is parsed, for that alone holds up everybody. Throws `RequestRefusedError` ('too_large').
 * The commands of the same user may send more.
 */
export function checkTaskBody({ caller, headers }: Pick<FastifyRequest, 'caller' | 'headers'>): void {
  if (caller.trust === 'local') return
  const length = headers['content-length'] === undefined ? Number.POSITIVE_INFINITY : Number(headers['content-length'])
  if (length <= MAX_BODY_BYTES) return
  throw new RequestRefusedError(
    'too_large',
    `a body has ${MAX_BODY_BYTES} bytes at most, and says so (Content-Length); ${ELSEWHERE}`,
    {
      maxBytes: MAX_BODY_BYTES
    }
  )
}

function checkFileCount({ trust }: Caller, { files }: Record<string, unknown>): void {
  if (trust === 'local' || !Array.isArray(files) || files.length <= MAX_FILES) return
  throw new RequestRefusedError('too_large', `a manifest in a body names ${MAX_FILES} files at most; ${ELSEWHERE}`, {
    maxFiles: MAX_FILES
  })
}

/** Throws `InvalidOptionsError`, `InvalidManifestError`, `NotFoundError` and `RequestRefusedError`. */
export async function newTask(body: AddTask, context: NewTaskContext): Promise<NewTask> {
  const { caller, options } = context
  const given = [body.source, body.manifest, body.seed].filter(each => each !== undefined).length
  if (given !== 1) throw new InvalidOptionsError('give exactly one of source, manifest and seed', { field: 'source' })
  const trusted = caller.trust === 'local'
  const { output, only, peers, origins, originLimits, force, priority, pinned, paused, limits } = body
  if (only !== undefined && only.length > 0 && body.seed !== undefined)
    throw new InvalidOptionsError('only is for downloads', { field: 'only' })
  const place = output === undefined ? undefined : await checkPath(output, options.paths, trusted)
  const source = await sourceOf(body, context)
  if ('seed' in source) checkScope(caller, 'admin')
  else {
    const root = 'link' in source ? parseLink(source.link).root : source.manifest.root
    checkReach(caller, { root, path: place ?? options.completeDir })
  }
  return {
    source,
    ...(place === undefined ? {} : { output: place }),
    ...(only === undefined || only.length === 0 ? {} : { only }),
    peers,
    origins,
    originLimits,
    privateOrigins: trusted || options.allowPrivateUrls,
    force,
    priority,
    pinned,
    paused,
    limits
  }
}

async function sourceOf(body: AddTask, { caller, options, parseManifest }: NewTaskContext): Promise<NewTask['source']> {
  const { name, pieceLength } = body
  const trusted = caller.trust === 'local'
  if (body.seed !== undefined) {
    const seed = await checkPath(body.seed, options.paths, trusted)
    return { seed, ...(name === undefined ? {} : { name }), ...(pieceLength === undefined ? {} : { pieceLength }) }
  }
  if (body.manifest !== undefined) {
    checkFileCount(caller, body.manifest)
    return { manifest: parseManifest(JSON.stringify(body.manifest)) }
  }
  const source = body.source as string
  if (!/^https?:/i.test(source)) return { link: checkLink(source) }
  const bytes = await fetchDocument(source, {
    allowPrivate: trusted || options.allowPrivateUrls,
    maxBytes: MAX_MANIFEST_BYTES,
    timeoutMs: FETCH_TIMEOUT_MS
  })
  return { manifest: parseManifest(bytes) }
}

/** Throws `InvalidOptionsError` for a text that is no link. */
function checkLink(text: string): string {
  if (!isLink(text)) throw new InvalidOptionsError('source is neither a swarm: link nor an http(s) URL', { field: 'source' })
  parseLink(text)
  return text
}
