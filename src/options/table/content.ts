/**
 * Options of commands that make, fetch and bring contents.
 */

import type { OptionSpec } from '../spec.ts'
import { HASHING } from './takers.ts'

/** What `get`, `seed`, `create` and `push` are asked to do. */
export const CONTENT: readonly OptionSpec[] = [
  {
    name: 'output',
    short: 'o',
    kind: 'text',
    value: 'path',
    takers: ['seed', 'get', 'create'],
    text: 'where the manifest goes (default: <name>.swarm in the current folder)',
    texts: {
      get: 'file to write, or folder to put it into (default: the current folder)',
      create: "where the manifest goes, '-' for standard output (default: <name>.swarm in the current folder)"
    }
  },
  {
    name: 'only',
    kind: 'text',
    value: 'glob',
    repeats: 'whole',
    takers: ['get'],
    text: 'of a folder, only the files that match'
  },
  {
    name: 'force',
    kind: 'switch',
    takers: ['seed', 'get', 'create'],
    text: 'overwrite a file that is no manifest',
    texts: { get: 'overwrite an existing, different output' }
  },
  {
    name: 'to',
    kind: 'text',
    value: 'url',
    isMandatory: true,
    takers: ['push'],
    text: 'address of the daemon, such as http://host:8421'
  },
  { name: 'name', kind: 'text', value: 'name', takers: HASHING, text: "name in the manifest (default: the file's)" },
  {
    name: 'piece-length',
    kind: 'pieceLength',
    value: 'size',
    takers: [...HASHING, 'simulate'],
    text: 'a power of two (default: 256KiB, to 1MiB above 256 MiB)'
  },
  {
    name: 'peer',
    kind: 'peerAddress',
    value: 'multiaddr',
    repeats: 'words',
    takers: ['get', 'create'],
    text: 'peer to connect to',
    texts: { create: 'peer to name in the manifest' }
  },
  {
    name: 'origin',
    kind: 'url',
    value: 'url',
    repeats: 'whole',
    takers: ['seed', 'get', 'create'],
    text: 'HTTP(S) URL of the same content to name in manifest and link',
    texts: {
      get: 'HTTP(S) URL that holds the content, asked for what peers lack',
      create: 'HTTP(S) URL of the same content to name in the manifest'
    }
  },
  {
    name: 'origin-command',
    kind: 'text',
    value: 'command',
    takers: ['get'],
    text: 'run by the shell for a fresh URL when an origin refuses one (SWARM_ORIGIN_URL, SWARM_ORIGIN_FAULT)'
  },
  { name: 'keep', kind: 'text', value: 'file', takers: ['create'], text: 'of a URL: also keep the bytes in this file' },
  {
    name: 'timeout',
    kind: 'duration',
    value: 'duration',
    takers: ['get'],
    text: 'give up after this long without a new piece (default: never)'
  },
  { name: 'seed', kind: 'switch', takers: ['get'], text: 'go on serving afterwards until stopped' },
  {
    name: 'no-linger',
    kind: 'switch',
    takers: ['get'],
    text: 'leave at once when done, even while others draw on this node'
  },
  { name: 'rehash', kind: 'switch', takers: ['seed', 'create'], text: 'hash again even if the file looks unchanged' }
]
