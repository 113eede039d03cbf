/**
 * Options of `swarm daemon` alone.
 */

import { homedir } from 'node:os'
import { join } from 'node:path'
import type { OptionSpec } from '../spec.ts'

const DATA_DIR = join(process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'swarm')

/** How the daemon's HTTP is reached, and by whom. */
export const ACCESS: readonly OptionSpec[] = [
  {
    name: 'config',
    kind: 'text',
    value: 'file',
    outsideFile: true,
    takers: ['daemon'],
    text: 'JSON file with options under their names (default: daemon.json in the configuration folder)'
  },
  {
    name: 'check-config',
    kind: 'switch',
    outsideFile: true,
    noEnvironment: true,
    takers: ['daemon'],
    text: 'only check the options and the configuration file, and end'
  },
  {
    name: 'http',
    kind: 'text',
    value: 'host:port',
    default: '127.0.0.1:8421',
    takers: ['daemon'],
    text: 'where the API, the gateway and the dashboard listen; or unix:/path of a socket'
  },
  {
    name: 'socket-mode',
    kind: 'mode',
    value: 'mode',
    default: '600',
    takers: ['daemon'],
    text: 'who may connect to a unix socket, in octal'
  },
  {
    name: 'tls-cert',
    kind: 'text',
    value: 'file',
    takers: ['daemon'],
    text: 'certificate chain (PEM) for HTTPS; read again when it changes'
  },
  { name: 'tls-key', kind: 'text', value: 'file', takers: ['daemon'], text: 'its key (PEM)' },
  {
    name: 'tls-self-signed',
    kind: 'switch',
    takers: ['daemon'],
    text: 'HTTPS with a certificate of its own, which clients know by the fingerprint that is printed'
  },
  {
    name: 'insecure-http',
    kind: 'switch',
    takers: ['daemon'],
    text: 'listen beyond loopback without TLS: anybody on the path can read tokens and contents'
  },
  { name: 'open', kind: 'switch', takers: ['daemon'], text: 'everybody on loopback may do everything, without a token' },
  {
    name: 'audit-log',
    kind: 'text',
    value: 'file',
    takers: ['daemon'],
    text: "who did what, one JSON object a line; 'none' for none (default: audit.log in the state folder)"
  },
  {
    name: 'allow-host',
    kind: 'text',
    value: 'name',
    repeats: 'words',
    takers: ['daemon'],
    text: 'names besides localhost and IP addresses that the Host header may carry'
  },
  {
    name: 'cors-origin',
    kind: 'text',
    value: 'origin',
    repeats: 'words',
    takers: ['daemon'],
    text: 'web origins whose pages may use the API (default: none)'
  }
]

/** What the daemon does, and how much of it. */
export const DAEMON: readonly OptionSpec[] = [
  {
    name: 'complete-dir',
    kind: 'text',
    value: 'folder',
    default: join(DATA_DIR, 'complete'),
    defaultText: '$XDG_DATA_HOME/swarm/complete',
    takers: ['daemon'],
    text: 'where finished content goes; always scanned'
  },
  {
    name: 'incomplete-dir',
    kind: 'text',
    value: 'folder',
    default: join(DATA_DIR, 'incomplete'),
    defaultText: '$XDG_DATA_HOME/swarm/incomplete',
    takers: ['daemon'],
    text: 'where unfinished content waits'
  },
  {
    name: 'folder',
    kind: 'text',
    value: 'folder',
    repeats: 'folders',
    takers: ['daemon'],
    text: 'folder to scan for files beside their manifests'
  },
  { name: 'watch', kind: 'switch', takers: ['daemon'], text: 'scan again when something changes in the folders' },
  {
    name: 'path',
    kind: 'text',
    value: 'folder',
    repeats: 'folders',
    takers: ['daemon'],
    text: 'folder whose files API clients may seed and get into (always: the folders above)'
  },
  {
    name: 'max-downloads',
    kind: 'count',
    value: 'n',
    min: '1',
    max: '1000',
    default: '3',
    takers: ['daemon'],
    text: 'downloads at once; the rest waits in order'
  },
  {
    name: 'max-uploads',
    kind: 'count',
    value: 'n',
    min: '0',
    max: '10000',
    default: '0',
    takers: ['daemon'],
    text: 'pieces being sent at once; 0 leaves it to the engine'
  },
  {
    name: 'schedule',
    kind: 'rule',
    value: 'rule',
    repeats: 'whole',
    takers: ['daemon'],
    text: "other limits by the hour: '22:00-06:00 download-limit=50MB max-downloads=10'"
  },
  {
    name: 'quota',
    kind: 'size',
    value: 'size',
    default: '0',
    takers: ['daemon'],
    text: 'disk for downloaded content; the least recently used goes first; 0 is none'
  },
  {
    name: 'stall-timeout',
    kind: 'duration',
    value: 'duration',
    min: '1s',
    default: '60s',
    takers: ['daemon'],
    text: 'a task that got nothing for this long lets the next one have its place'
  },
  {
    name: 'allow-private-urls',
    kind: 'switch',
    takers: ['daemon'],
    text: 'fetch manifests and contents for API clients from private and loopback addresses too'
  },
  {
    name: 'max-upload-size',
    kind: 'size',
    value: 'size',
    default: '0',
    takers: ['daemon'],
    text: 'largest upload to take; 0 is no limit but the quota'
  },
  {
    name: 'upload-expiry',
    kind: 'duration',
    value: 'duration',
    min: '1s',
    default: '24h',
    takers: ['daemon'],
    text: 'an unfinished upload is deleted after this long without a part'
  },
  {
    name: 'max-connections',
    kind: 'count',
    value: 'n',
    min: '8',
    max: '65535',
    default: '512',
    takers: ['daemon'],
    text: 'HTTP connections at once'
  },
  {
    name: 'log-level',
    kind: 'choice',
    value: 'level',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    takers: ['daemon'],
    text: 'how much the log on standard error says (on a terminal the default is warn)'
  }
]
