/**
 * Fetching a URL that a client named, without becoming its way into our network.
 *
 * Invariants: unless the operator allows it, every address that is connected to is public: names are checked
 * after they are resolved, on the very lookup that the socket uses, and for every redirect again. Size and
 * time are bounded. Called by the routes.
 */

import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { InvalidOptionsError, NotFoundError, RequestRefusedError } from '../errors.ts'
import { displayUrl } from '../node/origin-http.ts'
import { checkPublicHost, lookupPublic } from '../node/public-address.ts'

interface OutboundOptions {
  /** Whether private, loopback and link-local addresses may be asked. */
  allowPrivate: boolean
  maxBytes: number
  timeoutMs: number
  signal?: AbortSignal
}

const MAX_REDIRECTS = 5

/**
 * The body of an http(s) URL. Throws `InvalidOptionsError`, `RequestRefusedError` or `NotFoundError` saying
 * what went wrong.
 */
export async function fetchBytes(url: string, options: OutboundOptions): Promise<Uint8Array> {
  const deadline = AbortSignal.timeout(options.timeoutMs)
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline])
  let target = parseUrl(url)
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await request(target, options.allowPrivate, signal)
    const { statusCode = 0, headers } = response
    if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
      response.destroy()
      target = parseUrl(new URL(headers.location, target).href)
      continue
    }
    if (statusCode !== 200) {
      response.destroy()
      throw new NotFoundError(`${target.host} answered ${statusCode} for the manifest`, {
        url: displayUrl(target),
        status: statusCode
      })
    }
    return readBody(response, options.maxBytes, displayUrl(target))
  }
  throw new NotFoundError(`more than ${MAX_REDIRECTS} redirects`, { url: displayUrl(url) })
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new InvalidOptionsError('not an http or https URL', { url: displayUrl(text) })
  }
  return url
}

function request(url: URL, allowPrivate: boolean, signal: AbortSignal): Promise<IncomingMessage> {
  if (!allowPrivate) checkPublicHost(url)
  return new Promise((resolve, reject) => {
    const get = url.protocol === 'https:' ? httpsGet : httpGet
    const sent = get(
      url,
      { signal, agent: false, headers: { accept: '*/*' }, ...(allowPrivate ? {} : { lookup: lookupPublic }) },
      resolve
    )
    sent.on('error', err => {
      reject(
        err instanceof RequestRefusedError
          ? err
          : new NotFoundError(`cannot fetch ${url.origin}: ${err.message}`, { url: displayUrl(url) })
      )
    })
  })
}

async function readBody(response: IncomingMessage, maxBytes: number, url: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) throw new RequestRefusedError('too_large', `longer than ${maxBytes} bytes`, { url })
      chunks.push(chunk)
    }
  } catch (err) {
    if (err instanceof RequestRefusedError) throw err
    throw new NotFoundError(`the body ended early: ${(err as Error).message}`, { url })
  }
  return Buffer.concat(chunks)
}
