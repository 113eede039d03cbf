/**
 * One origin's URL, asked for bytes: redirects, addresses that may be asked, what the answer claims to be.
 *
 * Invariants: unless allowed, only public addresses are connected to, redirects and DNS answers included;
 * signatures in URLs never reach a message; a body is never decoded (bytes are those of the content). Used by
 * origin-fetcher.ts and origin-manifest.ts.
 */

import type { Readable } from 'node:stream'
import type { Agent, Dispatcher } from 'undici'
import { OriginError, RequestRefusedError } from '../errors.ts'
import { checkPublicHost, lookupPublic } from './public-address.ts'

export interface OriginHttpOptions {
  /** Whether private, loopback and link-local addresses may be asked. */
  allowPrivate: boolean
  /** Connections to one origin at most. */
  connections: number
  /** Without a byte for this long a request has failed, in ms. */
  stallTimeoutMs: number
}

/** What an answer says. Every number is as the server claims. */
export interface OriginAnswer {
  status: number
  /** Bytes of the whole content; undefined when not told. */
  length: number | undefined
  /** First byte in the body; 0 for a whole answer. */
  start: number
  etag: string | undefined
  lastModified: string | undefined
  contentType: string | undefined
  disposition: string | undefined
  retryAfterMs: number | undefined
  body: Readable
}

const MAX_REDIRECTS = 5
const CONNECT_TIMEOUT_MS = 10_000
/** Of a refusal's body, so that S3 can say that a request has expired. */
const MAX_FAULT_BYTES = 4096

export class OriginHttp {
  readonly #options: OriginHttpOptions
  #agent: Promise<{ agent: Agent; request: typeof import('undici').request }> | undefined

  constructor(options: OriginHttpOptions) {
    this.#options = options
  }

  /**
   * Asks for bytes from `start` (up to `end`, exclusive); without `start` for all. The caller reads or
   * destroys the body. Throws `OriginError` ('not_allowed', 'unreachable') and the signal's reason.
   */
  async get(url: string, range: { start: number; end?: number } | undefined, signal: AbortSignal): Promise<OriginAnswer> {
    const { agent, request } = await this.#client()
    const headers: Record<string, string> = { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'swarm' }
    if (range !== undefined) headers.range = `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}`
    let target = new URL(url)
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const { statusCode, headers: answered, body } = await this.#ask(request, agent, target, headers, signal)
      const location = one(answered.location)
      if (statusCode >= 300 && statusCode < 400 && statusCode !== 304 && location !== undefined) {
        await body.dump({ limit: 16 * 1024 }).catch(() => {})
        const next = URL.parse(location, target.href)
        if (next === null || (next.protocol !== 'http:' && next.protocol !== 'https:')) {
          throw new OriginError('not_allowed', `${displayUrl(url)} redirects to something that is no http(s) URL`, {
            url: displayUrl(url)
          })
        }
        target = next
        continue
      }
      return readAnswer(statusCode, answered, body)
    }
    throw new OriginError('unreachable', `${displayUrl(url)} redirects more than ${MAX_REDIRECTS} times`, {
      url: displayUrl(url)
    })
  }

  async close(): Promise<void> {
    await (await this.#agent)?.agent.destroy()
  }

  async #ask(
    request: typeof import('undici').request,
    agent: Agent,
    target: URL,
    headers: Record<string, string>,
    signal: AbortSignal
  ): Promise<Dispatcher.ResponseData> {
    try {
      if (!this.#options.allowPrivate) checkPublicHost(target)
      return await request(target.href, { dispatcher: agent, headers, signal })
    } catch (err) {
      signal.throwIfAborted()
      const cause = err instanceof RequestRefusedError ? err : (err as Error).cause
      if (cause instanceof RequestRefusedError)
        throw new OriginError('not_allowed', cause.message, { ...cause.details, url: displayUrl(target) }, cause)
      throw new OriginError('unreachable', `${displayUrl(target)}: ${(err as Error).message}`, { url: displayUrl(target) }, err)
    }
  }

  /** Loaded when the first origin is asked: most nodes never do. */
  #client(): Promise<{ agent: Agent; request: typeof import('undici').request }> {
    this.#agent ??= import('undici').then(({ Agent, request }) => {
      const { connections, stallTimeoutMs, allowPrivate } = this.#options
      const agent = new Agent({
        connections,
        pipelining: 1,
        headersTimeout: stallTimeoutMs,
        bodyTimeout: stallTimeoutMs,
        connect: { timeout: CONNECT_TIMEOUT_MS, ...(allowPrivate ? {} : { lookup: lookupPublic }) }
      })
      return { agent, request }
    })
    return this.#agent
  }
}

/** A URL for people and logs: without what signs it. */
export function displayUrl(url: string | URL): string {
  const parsed = URL.parse(String(url))
  return parsed === null
    ? String(url)
        .replace(/[?#].*/s, '')
        .slice(0, 200)
    : `${parsed.origin}${parsed.pathname}`
}

/** What a refusal says about itself, as S3 does in XML; '' when it says nothing short. */
export async function readFault(answer: OriginAnswer): Promise<string> {
  let text = ''
  try {
    for await (const chunk of answer.body) {
      text += String(chunk)
      if (text.length > MAX_FAULT_BYTES) break
    }
  } catch {
    // The status says enough.
  }
  answer.body.destroy()
  return /<Message>([^<]{1,200})<\/Message>/.exec(text)?.[1] ?? ''
}

function readAnswer(
  status: number,
  headers: Dispatcher.ResponseData['headers'],
  body: Dispatcher.ResponseData['body']
): OriginAnswer {
  const range = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(one(headers['content-range']) ?? '')
  const plain = /^\d{1,16}$/.exec(one(headers['content-length']) ?? '')
  const total =
    status === 206 ? range?.[3] : status === 416 ? /\/(\d{1,16})$/.exec(one(headers['content-range']) ?? '')?.[1] : plain?.[0]
  const retryAfter = /^\d{1,5}$/.exec(one(headers['retry-after']) ?? '')
  return {
    status,
    length: total === undefined || total === '*' ? undefined : Number(total),
    start: status === 206 ? (range === null ? Number.NaN : Number(range[1])) : 0,
    etag: one(headers.etag),
    lastModified: one(headers['last-modified']),
    contentType: one(headers['content-type']),
    disposition: one(headers['content-disposition']),
    retryAfterMs: retryAfter === null ? undefined : Number(retryAfter[0]) * 1000,
    body
  }
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
