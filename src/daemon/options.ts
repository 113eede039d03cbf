/**
 * The daemon's options: one name each, the same on the command line (`--upload-limit 5MB`), in the environment
 * (`SWARM_UPLOAD_LIMIT=5MB`) and in the configuration file (`{ "upload-limit": "5MB" }`).
 *
 * Invariants: flag over environment over file over default; everything is checked here, once, before anything starts, and an error
 * names the option and where its value came from. The options themselves are in option-table.ts.
 */

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { InvalidOptionsError } from '../errors.ts'
import { resolveNodeOptions } from '../node/options.ts'
import type { NodeOptions } from '../node/types.ts'
import { parseDuration, parseRate, parseSize } from '../util/sizes.ts'
import type { LimitRule, Limits } from './limits.ts'
import { DAEMON_OPTIONS, environmentName, type OptionKind } from './option-table.ts'

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

/** Values as they come: texts from flags and environment, JSON from the file. */
type RawOptions = Readonly<Record<string, unknown>>

interface OptionSources {
  flags?: RawOptions
  env?: Readonly<Record<string, string | undefined>>
  /** Path of the configuration file; must exist. */
  config?: string | undefined
}

/** Merges and checks. Throws `InvalidOptionsError`. */
export function resolveDaemonOptions({ flags = {}, env = {}, config }: OptionSources = {}): DaemonOptions {
  const file = config === undefined ? {} : readConfig(config)
  const values = new Map<string, unknown>()
  for (const spec of DAEMON_OPTIONS) {
    const variable = environmentName(spec.name)
    const fromEnv = env[variable]
    const [raw, where] =
      flags[spec.name] !== undefined
        ? [flags[spec.name], `--${spec.name}`]
        : fromEnv !== undefined && fromEnv !== ''
          ? [spec.kind === 'list' ? fromEnv.split(/[\s,]+/) : spec.kind === 'rules' ? fromEnv.split(',') : fromEnv, variable]
          : file[spec.name] !== undefined
            ? [file[spec.name], `${config}: ${spec.name}`]
            : [spec.default, spec.name]
    if (raw !== undefined) values.set(spec.name, parseValue(spec.kind, raw, where))
  }
  const get = <T>(name: string): T => values.get(name) as T
  const socket = parseSocket(get<string>('http'), get<string>('socket-mode'))
  const http = socket === undefined ? parseHostPort(get<string>('http')) : { host: 'localhost', port: 0 }
  const tls = parseTls(get('tls-cert'), get('tls-key'), get<boolean | undefined>('tls-self-signed') === true)
  if (!isLoopback(http.host) && tls === undefined && get<boolean | undefined>('insecure-http') !== true) {
    throw new InvalidOptionsError(
      `http: on ${http.host} without TLS everybody on the way reads tokens and contents: give tls-cert and tls-key, or tls-self-signed, or insecure-http`,
      { field: 'http' }
    )
  }
  const token = readToken(get<string | undefined>('token'), get<string | undefined>('token-file'))
  const isOpen = get<boolean | undefined>('open') ?? false
  if (isOpen && token !== undefined)
    throw new InvalidOptionsError('open: a daemon that has a token is not open; give one of both', { field: 'open' })
  if (isOpen && !isLoopback(http.host))
    throw new InvalidOptionsError(`open: only on loopback, not on ${http.host}, from where others could command this daemon`, {
      field: 'open'
    })
  const completeDir = resolve(get<string>('complete-dir'))
  const incompleteDir = resolve(get<string>('incomplete-dir'))
  const folders = [...new Set([completeDir, ...(get<string[] | undefined>('folder') ?? []).map(folder => resolve(folder))])]
  const level = get<string>('log-level')
  if (!['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].includes(level)) {
    throw new InvalidOptionsError(`log-level: "${level}" is none of trace, debug, info, warn, error and silent`, {
      field: 'log-level'
    })
  }
  const node = resolveNodeOptions(nodeOptions(values))
  const auditLog = get<string | undefined>('audit-log') ?? join(node.stateDir, 'audit.log')
  return {
    node,
    stateDir: node.stateDir,
    http,
    socket,
    tls,
    token,
    isOpen,
    auditLog: auditLog === 'none' ? undefined : resolve(auditLog),
    allowHosts: get<string[] | undefined>('allow-host') ?? [],
    corsOrigins: get<string[] | undefined>('cors-origin') ?? [],
    completeDir,
    incompleteDir,
    folders,
    watch: get<boolean | undefined>('watch') ?? false,
    paths: [...folders, incompleteDir, ...(get<string[] | undefined>('path') ?? []).map(path => resolve(path))],
    limits: {
      maxActiveDownloads: Math.max(1, get<number>('max-downloads')),
      maxUploads: get<number>('max-uploads'),
      uploadBytesPerSecond: get<number>('upload-limit'),
      downloadBytesPerSecond: get<number>('download-limit'),
      quotaBytes: get<number>('quota'),
      schedule: get<LimitRule[] | undefined>('schedule') ?? []
    },
    stallMs: get<number>('stall-timeout'),
    allowPrivateUrls: get<boolean | undefined>('allow-private-urls') ?? false,
    maxUploadBytes: get<number>('max-upload-size'),
    uploadExpiryMs: get<number>('upload-expiry'),
    maxConnections: get<number>('max-connections'),
    logLevel: level
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function nodeOptions(values: ReadonlyMap<string, unknown>): Partial<NodeOptions> {
  const pick = (field: keyof NodeOptions, name: string): [string, unknown] => [field, values.get(name)]
  const labels = values.get('label') as string[] | undefined
  const entries: [string, unknown][] = [
    pick('stateDir', 'state-dir'),
    pick('listen', 'listen'),
    pick('announce', 'announce'),
    pick('bootstrap', 'bootstrap'),
    pick('encryption', 'encryption'),
    pick('maxNeighbours', 'max-neighbours'),
    pick('policy', 'policy'),
    pick('uploadBytesPerSecond', 'upload-limit'),
    pick('downloadBytesPerSecond', 'download-limit'),
    [
      'origin',
      { bytesPerSecond: values.get('origin-limit'), connections: values.get('origin-connections'), allowPrivate: false }
    ],
    ['mdns', values.get('no-mdns') === true ? false : undefined],
    ['dht', values.get('no-dht') === true ? false : undefined],
    ['labels', labels === undefined ? undefined : Object.fromEntries(labels.map(parseLabel))]
  ]
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Partial<NodeOptions>
}

function parseLabel(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidOptionsError(`label: "${text}" is not of the form key=value`, { field: 'label' })
  return [text.slice(0, at), text.slice(at + 1)]
}

function readConfig(path: string): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (err) {
    throw new InvalidOptionsError(`the configuration file cannot be read: ${(err as Error).message}`, { path }, err)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new InvalidOptionsError(`${path}: not an object`, { path })
  for (const name of Object.keys(json)) {
    if (!DAEMON_OPTIONS.some(spec => spec.name === name)) {
      throw new InvalidOptionsError(`${path}: there is no option "${name}"`, { path, field: name })
    }
  }
  return json as Record<string, unknown>
}

function parseValue(kind: OptionKind, raw: unknown, where: string): unknown {
  const bad = (expected: string): InvalidOptionsError =>
    new InvalidOptionsError(`${where}: ${JSON.stringify(raw)} is not ${expected}`, { field: where })
  const text = typeof raw === 'number' ? String(raw) : raw
  switch (kind) {
    case 'text':
      if (typeof text !== 'string' || text === '') throw bad('a text')
      return text
    case 'list': {
      const list = (Array.isArray(raw) ? raw : [raw]).filter(item => item !== '')
      if (!list.every(item => typeof item === 'string')) throw bad('a list of texts')
      return list
    }
    case 'count': {
      const count = typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : undefined
      if (count === undefined) throw bad('a whole number')
      return count
    }
    case 'size':
      return (typeof text === 'string' ? parseSize(text) : undefined) ?? raise(bad('a size such as 50GB'))
    case 'rate':
      return (typeof text === 'string' ? parseRate(text) : undefined) ?? raise(bad('a rate such as 20mbit or 5MB'))
    case 'duration':
      return (typeof text === 'string' ? parseDuration(text) : undefined) ?? raise(bad('a duration such as 30s'))
    case 'switch':
      if (raw === true || text === '1' || text === 'true' || text === 'yes') return true
      if (raw === false || text === '0' || text === 'false' || text === 'no') return false
      throw bad('true or false')
    case 'rules': {
      const rules = Array.isArray(raw) ? raw : [raw]
      return rules.map(
        rule =>
          (typeof rule === 'string' ? parseRule(rule) : undefined) ??
          raise(bad("a rule such as '22:00-06:00 download-limit=50MB'"))
      )
    }
  }
}

function raise(err: Error): never {
  throw err
}

/** `'22:00-06:00 [days=1,2] download-limit=50MB max-downloads=10'`; undefined when it is not a rule. */
export function parseRule(text: string): LimitRule | undefined {
  const [hours = '', ...settings] = text.trim().split(/\s+/)
  const span = /^((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)$/.exec(hours)
  if (span === null || settings.length === 0) return undefined
  const rule: LimitRule = { from: span[1] as string, to: span[2] as string }
  for (const setting of settings) {
    const [name, value = ''] = setting.split('=')
    const number =
      name === 'download-limit' || name === 'upload-limit'
        ? parseRate(value)
        : /^\d{1,4}$/.test(value)
          ? Number(value)
          : undefined
    if (name === 'days') {
      const days = value.split(/[;/+]/).map(Number)
      if (!days.every(day => Number.isInteger(day) && day >= 0 && day <= 6)) return undefined
      rule.days = days
    } else if (number === undefined) return undefined
    else if (name === 'download-limit') rule.downloadBytesPerSecond = number
    else if (name === 'upload-limit') rule.uploadBytesPerSecond = number
    else if (name === 'max-downloads') rule.maxActiveDownloads = Math.max(1, number)
    else if (name === 'max-uploads') rule.maxUploads = number
    else return undefined
  }
  return rule
}

function parseSocket(text: string, modeText: string): DaemonOptions['socket'] {
  if (!text.startsWith('unix:')) return undefined
  if (!/^0?[0-7]{3}$/.test(modeText))
    throw new InvalidOptionsError(`socket-mode: "${modeText}" is no mode such as 600 or 660`, { field: 'socket-mode' })
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
