/**
 * The daemon's options as data: what `swarm daemon --help` and docs/API.md show, and options.ts reads.
 *
 * Loads nothing, because the command line imports it for every command.
 */

import { homedir } from 'node:os'
import { join } from 'node:path'

export type OptionKind = 'text' | 'list' | 'count' | 'size' | 'rate' | 'duration' | 'switch' | 'rules'

interface OptionSpec {
  readonly name: string
  readonly kind: OptionKind
  readonly value: string
  readonly description: string
  readonly default?: string
  /** Also an option of `swarm seed` and `swarm get`, with the same meaning. */
  readonly shared?: true
  /** A secret: every user of the machine sees command lines. */
  readonly offCommandLine?: true
}

const DATA_DIR = join(process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'swarm')

export const DAEMON_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'http',
    kind: 'text',
    value: 'host:port',
    default: '127.0.0.1:8421',
    description: 'where the API, the gateway and the dashboard listen; or unix:/path of a socket'
  },
  { name: 'socket-mode', kind: 'text', value: 'mode', default: '600', description: 'who may connect to a unix socket, in octal' },
  { name: 'tls-cert', kind: 'text', value: 'file', description: 'certificate chain (PEM) for HTTPS; read again when it changes' },
  { name: 'tls-key', kind: 'text', value: 'file', description: 'its key (PEM)' },
  {
    name: 'tls-self-signed',
    kind: 'switch',
    value: '',
    description: 'HTTPS with a certificate of its own, which clients know by the fingerprint that is printed'
  },
  {
    name: 'insecure-http',
    kind: 'switch',
    value: '',
    description: 'listen beyond loopback without TLS: who is on the way reads tokens and contents'
  },
  {
    name: 'token',
    kind: 'text',
    value: 'text',
    offCommandLine: true,
    description: 'what callers must show, at least 16 characters (default: the daemon makes one)'
  },
  { name: 'token-file', kind: 'text', value: 'file', description: 'file whose first line is the token' },
  { name: 'open', kind: 'switch', value: '', description: 'everybody on loopback may do everything, without a token' },
  {
    name: 'audit-log',
    kind: 'text',
    value: 'file',
    description: "who did what, one JSON object a line; 'none' for none (default: audit.log in the state folder)"
  },
  {
    name: 'allow-host',
    kind: 'list',
    value: 'name',
    description: 'names besides localhost and IP addresses that the Host header may carry, repeatable'
  },
  {
    name: 'cors-origin',
    kind: 'list',
    value: 'origin',
    description: 'web origins whose pages may use the API, repeatable (default: none)'
  },
  {
    name: 'complete-dir',
    kind: 'text',
    value: 'folder',
    default: join(DATA_DIR, 'complete'),
    description: 'where finished content goes; always scanned'
  },
  {
    name: 'incomplete-dir',
    kind: 'text',
    value: 'folder',
    default: join(DATA_DIR, 'incomplete'),
    description: 'where unfinished content waits'
  },
  { name: 'folder', kind: 'list', value: 'folder', description: 'folder to scan for files beside their manifests, repeatable' },
  { name: 'watch', kind: 'switch', value: '', description: 'scan again when something changes in the folders' },
  {
    name: 'path',
    kind: 'list',
    value: 'folder',
    description: 'folder whose files API clients may seed and get into, repeatable (always: the folders above)'
  },
  { name: 'max-downloads', kind: 'count', value: 'n', default: '3', description: 'downloads at once; the rest waits in order' },
  {
    name: 'max-uploads',
    kind: 'count',
    value: 'n',
    default: '0',
    description: 'pieces being sent at once; 0 leaves it to the engine'
  },
  {
    name: 'upload-limit',
    kind: 'rate',
    value: 'rate',
    default: '0',
    shared: true,
    description: 'such as 20mbit, 5MB or 512KiB per second, over all tasks; 0 is none'
  },
  { name: 'download-limit', kind: 'rate', value: 'rate', default: '0', shared: true, description: 'the same for what comes in' },
  {
    name: 'schedule',
    kind: 'rules',
    value: 'rule',
    description: "other limits by the hour, repeatable: '22:00-06:00 download-limit=50MB max-downloads=10'"
  },
  {
    name: 'quota',
    kind: 'size',
    value: 'size',
    default: '0',
    description: 'disk for downloaded content; the least recently used goes first; 0 is none'
  },
  {
    name: 'stall-timeout',
    kind: 'duration',
    value: 'duration',
    default: '60s',
    description: 'a task that got nothing for this long lets the next one have its place'
  },
  {
    name: 'allow-private-urls',
    kind: 'switch',
    value: '',
    description: 'fetch manifests and contents for API clients from private and loopback addresses too'
  },
  {
    name: 'origin-limit',
    kind: 'rate',
    value: 'rate',
    default: '0',
    description: 'most to take from the origins of one content; 0 is no limit'
  },
  {
    name: 'origin-connections',
    kind: 'count',
    value: 'n',
    default: '4',
    description: 'requests side by side to one origin, 1 to 16'
  },
  {
    name: 'max-upload-size',
    kind: 'size',
    value: 'size',
    default: '0',
    description: 'largest upload to take; 0 is no limit but the quota'
  },
  {
    name: 'upload-expiry',
    kind: 'duration',
    value: 'duration',
    default: '24h',
    description: 'an unfinished upload is deleted after this long without a part'
  },
  { name: 'max-connections', kind: 'count', value: 'n', default: '512', description: 'HTTP connections at once' },
  { name: 'log-level', kind: 'text', value: 'level', default: 'info', description: 'trace, debug, info, warn, error or silent' },
  { name: 'state-dir', kind: 'text', value: 'folder', shared: true, description: 'identity, tasks, hash cache and resume state' },
  { name: 'listen', kind: 'list', value: 'multiaddr', shared: true, description: 'address for peers to connect to, repeatable' },
  { name: 'announce', kind: 'list', value: 'multiaddr', shared: true, description: 'address to tell others besides, repeatable' },
  { name: 'bootstrap', kind: 'list', value: 'multiaddr', shared: true, description: 'peer to join the DHT through, repeatable' },
  { name: 'no-mdns', kind: 'switch', value: '', shared: true, description: 'do not look for peers on the local network' },
  { name: 'no-dht', kind: 'switch', value: '', shared: true, description: 'do not use the DHT' },
  {
    name: 'max-neighbours',
    kind: 'count',
    value: 'n',
    default: '30',
    shared: true,
    description: 'peers to be connected to at once, per content'
  },
  {
    name: 'policy',
    kind: 'text',
    value: 'name',
    default: 'cooperative',
    shared: true,
    description: 'whom to serve first: cooperative the neediest, contributors those that pass on what they get (open swarms)'
  },
  {
    name: 'label',
    kind: 'list',
    value: 'key=value',
    shared: true,
    description: 'where this node stands (host, rack, zone, region), repeatable'
  },
  {
    name: 'encryption',
    kind: 'text',
    value: 'kind',
    default: 'tls',
    shared: true,
    description: 'tls takes TLS and accepts noise, noise is noise only'
  }
]

/** `upload-limit` is `SWARM_UPLOAD_LIMIT`. */
export function environmentName(option: string): string {
  return `SWARM_${option.toUpperCase().replaceAll('-', '_')}`
}
