/**
 * The daemon's options, composed from the values of the table (src/options).
 *
 * Invariant: what depends on more than one option is checked here, once, before anything starts, and an error
 * names the option.
 */

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { InvalidOptionsError } from '../errors.ts'
import { resolveNodeOptions } from '../node/options.ts'
import type { NodeOptions } from '../node/types.ts'
import { nodeFields, type OptionSources, resolveValues } from '../options/values.ts'
import type { LimitRule, Limits } from './limits.ts'

export interface DaemonOptions {
  node: NodeOptions
  stateDir: string
  /** Where HTTP listens. Port 0 takes a free one. */
  http: { host: string; port: number }
  /** A unix socket to listen on instead. */
  socket: { path: string; mode: number } | undefined
  /** Certificate and key for HTTPS; 'self-signed' for our own. */
  tls: { cert: string; key: string } | 'self-signed' | undefined
  /** What the operator chose that callers must show; undefined: the daemon makes a token of its own. */
  token: string | undefined
  /** Whether everybody on loopback may do everything without a token. */
  isOpen: boolean
  /** File of the audit log; undefined: none. */
  auditLog: string | undefined
  allowHosts: string[]
  corsOrigins: string[]
  completeDir: string
  incompleteDir: string
  folders: string[]
  watch: boolean
  paths: string[]
  limits: Limits
  stallMs: number
  allowPrivateUrls: boolean
  /** Largest upload in bytes; 0: no limit but the quota. */
  maxUploadBytes: number
  /** An unfinished upload is deleted after this long without a part, in ms. */
  uploadExpiryMs: number
  maxConnections: number
  logLevel: string
}

/** Merges and checks. Throws `InvalidOptionsError`. */
export function resolveDaemonOptions(sources: OptionSources = {}): DaemonOptions {
  const values = resolveValues(sources)
  const text = (name: string) => values.get(name) as string | undefined
  const isOn = (name: string) => values.get(name) === true
  const list = (name: string) => (values.get(name) ?? []) as string[]
  const node = resolveNodeOptions({ ...nodeFields('daemon', name => values.get(name)), origin: originOf(values) })
  const folders = foldersOf(values)
  const auditLog = text('audit-log') ?? join(node.stateDir, 'audit.log')
  return {
    node,
    stateDir: node.stateDir,
    ...accessOf(values),
    auditLog: auditLog === 'none' ? undefined : resolve(auditLog),
    allowHosts: list('allow-host'),
    corsOrigins: list('cors-origin'),
    ...folders,
    watch: isOn('watch'),
    limits: limitsOf(values),
    stallMs: values.get('stall-timeout') as number,
    allowPrivateUrls: isOn('allow-private-urls'),
    maxUploadBytes: values.get('max-upload-size') as number,
    uploadExpiryMs: values.get('upload-expiry') as number,
    maxConnections: values.get('max-connections') as number,
    logLevel: text('log-level') as string
  }
}

type Values = ReadonlyMap<string, unknown>

/** Who may come in, and how. */
function accessOf(values: Values): Pick<DaemonOptions, 'http' | 'socket' | 'tls' | 'token' | 'isOpen'> {
  const text = (name: string) => values.get(name) as string | undefined
  const socket = parseSocket(text('http') as string, text('socket-mode') as string)
  const http = socket === undefined ? parseHostPort(text('http') as string) : { host: 'localhost', port: 0 }
  const tls = parseTls(text('tls-cert'), text('tls-key'), values.get('tls-self-signed') === true)
  if (!isLoopback(http.host) && tls === undefined && values.get('insecure-http') !== true) {
    throw new InvalidOptionsError(
      `http: on ${http.host} without TLS everybody on the way reads tokens and contents: give tls-cert and tls-key, or tls-self-signed, or insecure-http`,
      { field: 'http' }
    )
  }
  const token = readToken(text('token'), text('token-file'))
  const isOpen = values.get('open') === true
  if (isOpen && token !== undefined)
    throw new InvalidOptionsError('open: a daemon that has a token is not open; give one of both', { field: 'open' })
  if (isOpen && !isLoopback(http.host))
    throw new InvalidOptionsError(`open: only on loopback, not on ${http.host}, from where others could command this daemon`, {
      field: 'open'
    })
  return { http, socket, tls, token, isOpen }
}

function foldersOf(values: Values): Pick<DaemonOptions, 'completeDir' | 'incompleteDir' | 'folders' | 'paths'> {
  const list = (name: string) => ((values.get(name) ?? []) as string[]).map(folder => resolve(folder))
  const completeDir = resolve(values.get('complete-dir') as string)
  const incompleteDir = resolve(values.get('incomplete-dir') as string)
  const folders = [...new Set([completeDir, ...list('folder')])]
  return { completeDir, incompleteDir, folders, paths: [...folders, incompleteDir, ...list('path')] }
}

function limitsOf(values: Values): Limits {
  const figure = (name: string) => values.get(name) as number
  return {
    maxActiveDownloads: figure('max-downloads'),
    maxUploads: figure('max-uploads'),
    uploadBytesPerSecond: figure('upload-limit'),
    downloadBytesPerSecond: figure('download-limit'),
    quotaBytes: figure('quota'),
    schedule: (values.get('schedule') ?? []) as LimitRule[]
  }
}

function originOf(values: Values): NodeOptions['origin'] {
  return {
    bytesPerSecond: values.get('origin-limit') as number,
    connections: values.get('origin-connections') as number,
    allowPrivate: false
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function parseSocket(text: string, modeText: string): DaemonOptions['socket'] {
  if (!text.startsWith('unix:')) return undefined
  return { path: resolve(text.slice('unix:'.length)), mode: Number.parseInt(modeText, 8) }
}

function parseTls(cert: string | undefined, key: string | undefined, isSelfSigned: boolean): DaemonOptions['tls'] {
  if ((cert === undefined) !== (key === undefined) || (isSelfSigned && cert !== undefined))
    throw new InvalidOptionsError('tls: give tls-cert and tls-key, or tls-self-signed', { field: 'tls-cert' })
  return cert !== undefined && key !== undefined
    ? { cert: resolve(cert), key: resolve(key) }
    : isSelfSigned
      ? 'self-signed'
      : undefined
}

function parseHostPort(text: string): { host: string; port: number } {
  const parts = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = parts?.[1] ?? parts?.[2]
  const port = Number(parts?.[3])
  if (host === undefined || !(port <= 65_535))
    throw new InvalidOptionsError(`http: "${text}" is not of the form host:port`, { field: 'http' })
  return { host, port }
}

function readToken(token: string | undefined, file: string | undefined): string | undefined {
  let text = token
  if (file !== undefined) {
    try {
      text = readFileSync(file, 'utf8').split('\n')[0]?.trim()
    } catch (err) {
      throw new InvalidOptionsError(`token-file: cannot be read: ${(err as Error).message}`, { field: 'token-file' }, err)
    }
  }
  if (text !== undefined && !/^[\x21-\x7e]{16,4096}$/.test(text)) {
    throw new InvalidOptionsError('token: needs 16 to 4096 printable characters without spaces', { field: 'token' })
  }
  return text
}
