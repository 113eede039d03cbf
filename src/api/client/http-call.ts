/**
 * One request to a daemon: over HTTP, over HTTPS whose certificate may be known by its fingerprint, or over a
 * unix socket.
 *
 * Not `fetch`, which gives up after five minutes without an answer (hashing a large seed may take longer),
 * and knows neither. Called by client.ts and upload-client.ts.
 */

import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { RequestRefusedError } from '../../errors.ts'

export interface DaemonAddress {
  /** http://…, https://… or unix:/path */
  url: string
  /** Token, or the secret of the state folder. */
  secret: string | undefined
  /** SHA-256 of the certificate, with or without colons: it alone is trusted. */
  fingerprint?: string | undefined
}

interface DaemonCall {
  method: string
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array | undefined
  signal?: AbortSignal | undefined
}

/**
 * By `require` and when it is used: an `import` of `node:http` looks at everything that it exports, and so
 * loads the whole of undici, which takes 30 ms of each command.
 */
const require = createRequire(import.meta.url)
const loadHttp = (name: 'node:http' | 'node:https'): typeof import('node:http') => require(name)

/** Throws `RequestRefusedError` ('unavailable') when nothing answers, and the signal's reason. */
export function callDaemon(
  address: DaemonAddress,
  { method, path, headers = {}, body, signal }: DaemonCall
): Promise<IncomingMessage> {
  const url = address.url.replace(/\/$/, '')
  const socketPath = /^unix:(.+)$/.exec(url)?.[1]
  const sentHeaders = {
    ...(address.secret === undefined ? {} : { authorization: `Bearer ${address.secret}` }),
    ...headers,
    ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) })
  }
  return new Promise((resolve, reject) => {
    const fail = (err: unknown): void => {
      reject(
        signal?.aborted === true
          ? signal.reason
          : new RequestRefusedError(
              'unavailable',
              `the daemon at ${url} does not answer: ${(err as Error).message}`,
              { url },
              err
            )
      )
    }
    try {
      const { request } = loadHttp(url.startsWith('https:') ? 'node:https' : 'node:http')
      const place = socketPath === undefined ? url + path : { socketPath, path, host: 'localhost' }
      const { fingerprint } = address
      const pinned = fingerprint === undefined ? {} : { createConnection: pinnedConnection(new URL(url), fingerprint) }
      const options = { method, headers: sentHeaders, ...pinned, ...(signal === undefined ? {} : { signal }) }
      const sent = typeof place === 'string' ? request(place, options, resolve) : request({ ...place, ...options }, resolve)
      sent.on('error', fail)
      sent.end(body)
    } catch (err) {
      fail(err)
    }
  })
}

/** Says nothing before the certificate is the one that was named. */
function pinnedConnection({ hostname, port }: URL, fingerprint: string) {
  const { connect } = require('node:tls') as typeof import('node:tls')
  const plain = (text: string): string => text.replaceAll(':', '').toUpperCase()
  return (_options: unknown, done: (err: Error | null, socket: Socket) => void): undefined => {
    const host = hostname.replace(/^\[|\]$/g, '')
    const socket = connect({ host, port: Number(port || 443), rejectUnauthorized: false }, () => {
      const shown = socket.getPeerX509Certificate()?.fingerprint256 ?? ''
      if (plain(shown) === plain(fingerprint)) done(null, socket)
      else socket.destroy(new Error(`its certificate is another one (${shown})`))
    })
    socket.once('error', err => done(err, socket))
  }
}
