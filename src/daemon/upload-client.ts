/**
 * The upload calls of a daemon, as `swarm push` makes them. Errors come out as the `SwarmError` that the daemon answered.
 */

import { RequestRefusedError, SwarmError, type SwarmErrorCode } from '../errors.ts'
import type { DaemonAddress } from './client.ts'
import type { CopyPart, ErrorBody, NewUpload, Part, Task, Upload } from './schema.ts'

export class UploadClient {
  readonly #url: string
  readonly #secret: string | undefined

  constructor({ url, secret }: DaemonAddress) {
    this.#url = `${url.replace(/\/$/, '')}/v1/uploads`
    this.#secret = secret
  }

  begin(upload: NewUpload): Promise<Upload> {
    return this.#callJson('', upload)
  }

  /** `checksum`: SHA-256 in base64. */
  put(id: string, part: number, bytes: Uint8Array<ArrayBuffer>, checksum: string, signal: AbortSignal): Promise<Part> {
    const headers = { 'content-type': 'application/octet-stream', 'content-digest': `sha-256=:${checksum}:` }
    return this.#call('PUT', `/${id}/parts/${part}`, headers, bytes, signal)
  }

  copy(id: string, part: number, from: CopyPart): Promise<Part> {
    return this.#callJson(`/${id}/parts/${part}/copy`, from)
  }

  complete(id: string): Promise<Task> {
    return this.#callJson(`/${id}/complete`, {})
  }

  #callJson<T>(path: string, body: unknown): Promise<T> {
    return this.#call('POST', path, { 'content-type': 'application/json' }, JSON.stringify(body))
  }

  async #call<T>(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | Uint8Array<ArrayBuffer>,
    signal?: AbortSignal
  ): Promise<T> {
    const secret = this.#secret === undefined ? {} : { authorization: `Bearer ${this.#secret}` }
    const unavailable = (err: unknown): never => {
      signal?.throwIfAborted()
      throw new RequestRefusedError('unavailable', `the daemon at ${new URL(this.#url).origin} does not answer`, {}, err)
    }
    const response = await fetch(this.#url + path, {
      method,
      headers: { ...secret, ...headers },
      body,
      ...(signal === undefined ? {} : { signal })
    }).catch(unavailable)
    const text = await response.text().catch(unavailable)
    if (response.ok) return JSON.parse(text) as T
    const { code, message, details } = JSON.parse(text) as ErrorBody
    throw new SwarmError(code as SwarmErrorCode, message, details)
  }
}
