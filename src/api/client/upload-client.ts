/**
 * The upload calls of a daemon, as `swarm push` makes them. Errors come out as the `SwarmError` that the
 * daemon answered.
 */

import { RequestRefusedError, SwarmError, type SwarmErrorCode } from '../../errors.ts'
import type { ErrorBody } from '../../http/route-schema.ts'
import type { Task } from '../schema/tasks.ts'
import type { CopyPart, NewUpload, Part, Upload } from '../schema/uploads.ts'
import { callDaemon, type DaemonAddress } from './http-call.ts'

export class UploadClient {
  readonly #address: DaemonAddress

  constructor(address: DaemonAddress) {
    this.#address = address
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
    const response = await callDaemon(this.#address, { method, path: `/v1/uploads${path}`, headers, body, signal })
    const chunks: Uint8Array[] = []
    try {
      for await (const chunk of response) chunks.push(chunk as Uint8Array)
    } catch (err) {
      signal?.throwIfAborted()
      throw new RequestRefusedError('unavailable', `the daemon at ${this.#address.url} broke off`, {}, err)
    }
    const text = Buffer.concat(chunks).toString('utf8')
    const { statusCode = 0 } = response
    if (statusCode >= 200 && statusCode < 300) return JSON.parse(text) as T
    const { code, message, details } = JSON.parse(text) as ErrorBody
    throw new SwarmError(code as SwarmErrorCode, message, details)
  }
}
