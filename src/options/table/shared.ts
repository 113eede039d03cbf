/**
 * Options of nearly every command, and of single requests to the daemon.
 */

import type { OptionSpec } from '../spec.ts'
import { AT_DAEMON, EVERY, NODE } from './takers.ts'

/** Which daemon a command uses, what it is shown, and what every command takes. */
export const SHARED: readonly OptionSpec[] = [
  {
    name: 'daemon',
    kind: 'text',
    value: 'url',
    group: 'Daemon',
    takers: [...NODE, ...AT_DAEMON],
    text: 'daemon to use (default: the one of this state folder, if it runs)'
  },
  {
    name: 'token-file',
    kind: 'text',
    value: 'file',
    group: 'Daemon',
    takers: [...NODE, 'push', 'daemon', ...AT_DAEMON],
    text: 'file whose first line is the token of another daemon (or SWARM_TOKEN)',
    texts: { daemon: 'file whose first line is the token that callers must show' }
  },
  {
    name: 'token',
    kind: 'text',
    value: 'text',
    isSecret: true,
    group: 'Daemon',
    takers: [...NODE, 'push', 'daemon', ...AT_DAEMON],
    text: 'what callers must show, at least 16 characters (default: the daemon makes one)'
  },
  {
    name: 'fingerprint',
    kind: 'text',
    value: 'sha256',
    group: 'Daemon',
    takers: [...NODE, 'push', ...AT_DAEMON],
    text: 'of its certificate, when nobody else vouches for it'
  },
  {
    name: 'no-daemon',
    kind: 'switch',
    group: 'Daemon',
    takers: NODE,
    text: 'use a node of its own even if a daemon runs'
  },
  {
    name: 'json',
    kind: 'switch',
    outsideFile: true,
    group: 'Output and state',
    takers: EVERY,
    text: 'print one JSON object per line and nothing else'
  },
  {
    name: 'quiet',
    short: 'q',
    kind: 'switch',
    outsideFile: true,
    group: 'Output and state',
    takers: EVERY,
    text: 'print only the result, in one line, and errors'
  },
  {
    name: 'verbose',
    short: 'v',
    kind: 'switch',
    outsideFile: true,
    group: 'Output and state',
    takers: EVERY,
    text: 'say more, and log what the parts do (as DEBUG=swarm:* does)'
  },
  {
    name: 'state-dir',
    kind: 'text',
    value: 'folder',
    group: 'Output and state',
    field: 'stateDir',
    takers: EVERY,
    text: 'identity, tasks, hash cache and resume state (default: where the platform keeps state)'
  }
]

/** Of single commands that ask the daemon for something. */
export const REQUESTS: readonly OptionSpec[] = [
  { name: 'once', kind: 'switch', noEnvironment: true, takers: ['status'], text: 'say it once and end' },
  { name: 'data', kind: 'switch', noEnvironment: true, takers: ['task remove'], text: 'also delete what was downloaded' },
  {
    name: 'scope',
    kind: 'choice',
    value: 'list',
    choices: ['read', 'get', 'upload', 'admin'],
    repeats: 'words',
    noEnvironment: true,
    takers: ['token create'],
    text: 'look and read, download, bring contents, or everything (default: read)'
  },
  {
    name: 'content',
    kind: 'text',
    value: 'root',
    repeats: 'whole',
    noEnvironment: true,
    takers: ['token create'],
    text: 'only for this content'
  },
  {
    name: 'folder',
    kind: 'text',
    value: 'folder',
    repeats: 'whole',
    noEnvironment: true,
    takers: ['token create'],
    text: "only for contents in this folder of the daemon's machine"
  },
  {
    name: 'expires',
    kind: 'duration',
    value: 'duration',
    noEnvironment: true,
    takers: ['token create', 'url'],
    text: 'it ends after this long, such as 30d (default: never)',
    texts: { url: 'it ends after this long, 30d at most (default: 1h)' }
  },
  { name: 'no-open', kind: 'switch', noEnvironment: true, takers: ['dashboard'], text: 'only print the address' }
]
