/**
 * A small document of a URL, whole and in memory: a manifest that a person or a client named. Size and time
 * are bounded, and addresses are checked as for any origin. Used by node/manifests.ts and the API.
 */

import { InvalidOptionsError, NotFoundError, OriginError, RequestRefusedError } from '../errors.ts'
import { displayUrl, HttpClient } from './http-client.ts'

interface DocumentOptions {
  /** Whether private, loopback and link-local addresses may be asked. */
  allowPrivate: boolean
  maxBytes: number
  /** For all of it. */
  timeoutMs: number
  signal?: AbortSignal
}

/**
 * The body of an http(s) URL. Throws `InvalidOptionsError`, `RequestRefusedError` (address, size) or
 * `NotFoundError` saying what went wrong, and the signal's reason.
 */
export async function fetchDocument(text: string, options: DocumentOptions): Promise<Uint8Array> {
  const { allowPrivate, maxBytes, timeoutMs, signal } = options
  const url = displayUrl(text)
  const protocol = URL.parse(text)?.protocol
  if (protocol !== 'http:' && protocol !== 'https:') throw new InvalidOptionsError('not an http or https URL', { url })
  const deadline = AbortSignal.timeout(timeoutMs)
  const http = new HttpClient({ allowPrivate, connections: 1, stallTimeoutMs: timeoutMs })
  try {
    const both = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
    const { status, body } = await http.get(text, undefined, both)
    if (status !== 200) throw new NotFoundError(`${url} answered ${status}, no manifest`, { url, status })
    return await readBounded(body as AsyncIterable<Uint8Array>, maxBytes, url)
  } catch (err) {
    signal?.throwIfAborted()
    if (err instanceof NotFoundError || err instanceof RequestRefusedError) throw err
    if (err instanceof OriginError && err.cause instanceof RequestRefusedError) throw err.cause
    const why = deadline.aborted ? `it took longer than ${timeoutMs / 1000} s` : (err as Error).message
    throw new NotFoundError(`cannot fetch ${url}: ${why}`, { url })
  } finally {
    await http.close()
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number, url: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new RequestRefusedError('too_large', `longer than ${maxBytes} bytes`, { url })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}
