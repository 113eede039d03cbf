/**
 * The few calls of the Docker Engine API that the rig needs, over the engine's socket: one process here
 * instead of one `docker` client per container and log, which two cores would feel at sixty containers.
 */

import { type IncomingMessage, request } from 'node:http'

/** Every engine since 20.10 speaks it. */
const API = '/v1.41'

export class DockerApi {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** Where the engine listens: DOCKER_HOST when it is a socket, else the usual place. */
  static fromEnvironment(): DockerApi {
    const host = process.env.DOCKER_HOST
    if (host === undefined || host === '') return new DockerApi('/var/run/docker.sock')
    if (!host.startsWith('unix://')) throw new Error(`links can be capped only on this machine's own engine, not on ${host}`)
    return new DockerApi(host.slice('unix://'.length))
  }

  async isUp(): Promise<boolean> {
    try {
      await this.call('GET', '/_ping')
      return true
    } catch {
      return false
    }
  }

  /** JSON in, JSON out; throws with the engine's message on any status above 399. */
  async call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const response = await this.#send(method, path, body)
    const text = await readAll(response)
    if ((response.statusCode ?? 500) >= 400) throw new Error(`docker ${method} ${path}: ${messageOf(text)}`)
    return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text
  }

  /** Follows what a container prints; resolves when the stream has begun. */
  async follow(container: string, onChunk: (chunk: Uint8Array, stream: 'stdout' | 'stderr') => void): Promise<void> {
    const response = await this.#send('GET', `/containers/${container}/logs?follow=1&stdout=1&stderr=1`)
    if ((response.statusCode ?? 500) >= 400) throw new Error(`docker logs ${container}: ${messageOf(await readAll(response))}`)
    let rest = Buffer.alloc(0)
    response.on('data', (chunk: Buffer) => {
      // Frames: stream (1 = stdout, 2 = stderr), three zeros, length (u32), payload.
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 8) {
        const length = rest.readUInt32BE(4)
        if (rest.length < 8 + length) return
        onChunk(rest.subarray(8, 8 + length), rest[0] === 2 ? 'stderr' : 'stdout')
        rest = rest.subarray(8 + length)
      }
    })
    // The engine went away: the container's `wait` says so.
    response.on('error', () => {})
  }

  #send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body)
      const sent = request(
        {
          socketPath: this.#socket,
          method,
          path: API + path,
          headers:
            payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
        },
        resolve
      )
      sent.on('error', reject)
      sent.end(payload)
    })
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return text
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text
  } catch {
    return text
  }
}
