/**
 * Listening: on an address or a unix socket, with or without TLS. Called by start-daemon.ts.
 *
 * Invariant: a socket file is taken away only when it is one and nobody answers on it.
 */

import { chmod, lstat, unlink } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import type { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import type { DaemonOptions } from '../daemon/options.ts'
import { InvalidOptionsError } from '../errors.ts'
import { ownPair, readPair, type TlsFiles, type TlsPair, watchPair } from './tls.ts'

/**
 * The pair to begin with, and where it is kept; undefined without TLS. Throws `InvalidOptionsError` and
 * `StoreError`.
 */
export function openTls({ tls, stateDir, http }: DaemonOptions): { files: TlsFiles; pair: TlsPair } | undefined {
  if (tls === undefined) return undefined
  const files = tls === 'self-signed' ? ownPair(stateDir, http.host) : tls
  return { files, pair: readPair(files) }
}

/** Resolves with the address for people and clients. Throws `InvalidOptionsError` when it is taken. */
export async function listen(app: FastifyInstance, { http, socket, tls }: DaemonOptions): Promise<string> {
  const { host, port } = http
  const place = socket === undefined ? { host, port } : { path: socket.path }
  if (socket !== undefined) await removeDeadSocket(socket.path)
  await app.listen(place).catch(err => {
    const { code } = err as NodeJS.ErrnoException
    const where = socket?.path ?? `${host}:${port}`
    throw new InvalidOptionsError(`http: cannot listen on ${where} (${code})`, { field: 'http', errno: code }, err)
  })
  if (socket !== undefined) {
    await chmod(socket.path, socket.mode)
    return `unix:${socket.path}`
  }
  const address = app.server.address() as AddressInfo
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `${tls === undefined ? 'http' : 'https'}://${shown.includes(':') ? `[${shown}]` : shown}:${address.port}`
}

/** Takes over what the files come to hold, for connections from then on; stops when the answer is called. */
export function followCertificate(
  app: FastifyInstance,
  files: TlsFiles,
  {
    onChange,
    log
  }: {
    onChange: (pair: TlsPair) => void
    log: { info: (facts: object, message: string) => void; warn: (facts: object, message: string) => void }
  }
): () => void {
  return watchPair(
    files,
    pair => {
      ;(app.server as unknown as TlsServer).setSecureContext({ cert: pair.cert, key: pair.key })
      log.info({ fingerprint: pair.fingerprint }, 'a new certificate is in use')
      onChange(pair)
    },
    err => log.warn({ err }, 'the changed certificate cannot be used; the former one stays')
  )
}

/** After a kill -9 the file is still there. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSocket() !== true) return
  const answers = await new Promise<boolean>(resolve => {
    const probe = connect(path)
    probe.on('connect', () => resolve(true)).on('error', err => resolve((err as NodeJS.ErrnoException).code !== 'ECONNREFUSED'))
    probe.on('close', () => probe.destroy())
    probe.once('connect', () => probe.destroy())
  })
  if (!answers) await unlink(path)
}
