/**
 * The one HTTP client for bytes from elsewhere: redirects, addresses that may be asked, bounds of time.
 *
 * Invariants: unless allowed, only public addresses are connected to, redirects and DNS answers included;
 * signatures in URLs never reach a message; a body is never decoded (bytes are those of the content);
 * whatever a server does ends its request and nothing else.
 *
 * Node's own client and not undici: undici 7 ends the process by an assertion when a server that announced no
 * length closes while we read slowly, and undici 8 needs a later Node than we do. Used by origin-fetcher.ts,
 * manifest-from-url.ts and fetch-document.ts.
 */

import type { Agent, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { OriginError, RequestRefusedError } from '../errors.ts'
import { checkPublicHost, lookupPublic } from './public-address.ts'

interface HttpClientOptions {
  /** Whether private, loopback and link-local addresses may be asked. */
  allowPrivate: boolean
  /** Connections to one origin at most. */
  connections: number
  /**
   * Without a byte for this long a request has failed, in ms; time in which we do not read is not counted.
   */
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

interface Protocol {
  readonly agent: Agent
  readonly request: typeof import('node:http').request
}

export class HttpClient {
  readonly #options: HttpClientOptions
  readonly #protocols = new Map<string, Promise<Protocol>>()

  constructor(options: HttpClientOptions) {
    this.#options = options
  }

  /**
   * Asks for bytes from `start` (up to `end`, exclusive); without `start` for all. The caller reads or
   * destroys the body. Throws `OriginError` ('not_allowed', 'unreachable') and the signal's reason.
   */
  async get(url: string, range: { start: number; end?: number } | undefined, signal: AbortSignal): Promise<OriginAnswer> {
    const headers: Record<string, string> = { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'swarm' }
    if (range !== undefined) headers.range = `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}`
    let target = new URL(url)
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const answer = await this.#ask(target, headers, signal)
      const { statusCode = 0 } = answer
      const { location } = answer.headers
      if (statusCode >= 300 && statusCode < 400 && statusCode !== 304 && location !== undefined) {
        answer.destroy()
        const next = URL.parse(location, target.href)
        if (next === null || (next.protocol !== 'http:' && next.protocol !== 'https:')) {
          throw new OriginError('not_allowed', `${displayUrl(url)} redirects to something that is no http(s) URL`, {
            url: displayUrl(url)
          })
        }
        target = next
        continue
      }
      return readAnswer(statusCode, answer.headers, answer)
    }
    throw new OriginError('unreachable', `${displayUrl(url)} redirects more than ${MAX_REDIRECTS} times`, {
      url: displayUrl(url)
    })
  }

  /** Ends all connections, those in use too. */
  async close(): Promise<void> {
    for (const protocol of this.#protocols.values()) (await protocol).agent.destroy()
  }

  async #ask(target: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      if (!this.#options.allowPrivate) checkPublicHost(target)
      return await this.#send(target, headers, signal)
    } catch (err) {
      signal.throwIfAborted()
      if (err instanceof RequestRefusedError)
        throw new OriginError('not_allowed', err.message, { ...err.details, url: displayUrl(target) }, err)
      throw new OriginError('unreachable', `${displayUrl(target)}: ${(err as Error).message}`, { url: displayUrl(target) }, err)
    }
  }

  /**
   * Resolves with the head of the answer. An idle connection that the server had closed is tried once more.
   */
  async #send(target: URL, headers: Record<string, string>, signal: AbortSignal, isRetry = false): Promise<IncomingMessage> {
    signal.throwIfAborted()
    const { stallTimeoutMs, allowPrivate } = this.#options
    const { agent, request } = await this.#protocol(target.protocol)
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const lookup = allowPrivate ? {} : { lookup: lookupPublic }
    const sent = request(target, { agent, headers, ...lookup })
    let answer: IncomingMessage | undefined
    const fail = (err: Error): void => void (answer ?? sent).destroy(err)
    const onAbort = (): void => fail(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    const connecting = setTimeout(
      () => fail(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`)),
      CONNECT_TIMEOUT_MS
    )
    sent.on('socket', socket => {
      if (socket.connecting) socket.once('connect', () => clearTimeout(connecting))
      else clearTimeout(connecting)
    })
    sent.setTimeout(stallTimeoutMs, () => {
      // Bytes that we have not taken yet: it is us who are slow.
      if (answer !== undefined && answer.readableLength > 0) answer.socket.setTimeout(stallTimeoutMs)
      else fail(new Error(`no byte for ${stallTimeoutMs / 1000} s`))
    })
    sent.on('response', response => {
      answer = response
      // A read of the body reports its faults; between two reads nobody listens.
      response.on('error', () => {})
      response.once('close', () => signal.removeEventListener('abort', onAbort))
      resolve(response)
    })
    // Stays for as long as the request, as a malformed body is told here too.
    sent.on('error', reject)
    sent.once('close', () => {
      clearTimeout(connecting)
      if (answer === undefined) signal.removeEventListener('abort', onAbort)
      reject(new Error('the connection was closed without an answer'))
    })
    sent.end()
    try {
      return await promise
    } catch (err) {
      if (!isRetry && sent.reusedSocket && !signal.aborted) return this.#send(target, headers, signal, true)
      throw err
    }
  }

  /** Loaded when the first origin is asked: most nodes never do. */
  #protocol(name: string): Promise<Protocol> {
    const known = this.#protocols.get(name)
    if (known !== undefined) return known
    const { connections } = this.#options
    const loaded = (name === 'https:' ? import('node:https') : import('node:http')).then(({ Agent, request }) => ({
      agent: new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections }),
      request
    }))
    this.#protocols.set(name, loaded)
    return loaded
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

/** Every number is as the server claims. */
function readAnswer(status: number, headers: IncomingHttpHeaders, body: Readable): OriginAnswer {
  const range = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(headers['content-range'] ?? '')
  const plain = /^\d{1,16}$/.exec(headers['content-length'] ?? '')
  const total =
    status === 206 ? range?.[3] : status === 416 ? /\/(\d{1,16})$/.exec(headers['content-range'] ?? '')?.[1] : plain?.[0]
  const retryAfter = /^\d{1,5}$/.exec(headers['retry-after'] ?? '')
  return {
    status,
    length: total === undefined || total === '*' ? undefined : Number(total),
    start: status === 206 ? (range === null ? Number.NaN : Number(range[1])) : 0,
    etag: headers.etag,
    lastModified: headers['last-modified'],
    contentType: headers['content-type'],
    disposition: headers['content-disposition'],
    retryAfterMs: retryAfter === null ? undefined : Number(retryAfter[0]) * 1000,
    body
  }
}
