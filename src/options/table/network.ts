/**
 * Options of those that run a node.
 */

import type { OptionSpec } from '../spec.ts'
import { NODE_AND_DAEMON } from './takers.ts'

/** How a node moves bytes and meets others. */
export const NETWORK: readonly OptionSpec[] = [
  {
    name: 'listen',
    kind: 'address',
    value: 'multiaddr',
    repeats: 'words',
    shapesNode: true,
    field: 'listen',
    takers: NODE_AND_DAEMON,
    text: 'address for peers to connect to (default: every IPv4 address, a free port)'
  },
  {
    name: 'announce',
    kind: 'address',
    value: 'multiaddr',
    repeats: 'words',
    shapesNode: true,
    field: 'announce',
    takers: NODE_AND_DAEMON,
    text: 'address to tell others besides'
  },
  {
    name: 'bootstrap',
    kind: 'peerAddress',
    value: 'multiaddr',
    repeats: 'words',
    shapesNode: true,
    field: 'bootstrap',
    takers: NODE_AND_DAEMON,
    text: 'peer to join the DHT through'
  },
  {
    name: 'no-mdns',
    kind: 'switch',
    shapesNode: true,
    field: 'mdns',
    takers: NODE_AND_DAEMON,
    text: 'do not look for peers on the local network'
  },
  { name: 'no-dht', kind: 'switch', shapesNode: true, field: 'dht', takers: NODE_AND_DAEMON, text: 'do not use the DHT' },
  {
    name: 'upload-limit',
    kind: 'rate',
    value: 'rate',
    default: '0',
    field: 'uploadBytesPerSecond',
    takers: NODE_AND_DAEMON,
    text: 'such as 20mbit, 5MB or 512KiB per second, over all contents; 0 is none'
  },
  {
    name: 'download-limit',
    kind: 'rate',
    value: 'rate',
    default: '0',
    field: 'downloadBytesPerSecond',
    takers: NODE_AND_DAEMON,
    text: 'the same for what comes in'
  },
  {
    name: 'origin-limit',
    kind: 'rate',
    value: 'rate',
    default: '0',
    takers: ['get', 'daemon'],
    text: 'most to take from the origins of one content; 0 is no limit'
  },
  {
    name: 'origin-connections',
    kind: 'count',
    value: 'n',
    min: '1',
    max: '16',
    default: '4',
    takers: ['get', 'daemon'],
    text: 'requests side by side to one origin'
  },
  {
    name: 'max-neighbours',
    kind: 'count',
    value: 'n',
    min: '1',
    max: '1000',
    default: '30',
    shapesNode: true,
    field: 'maxNeighbours',
    takers: NODE_AND_DAEMON,
    text: 'peers to be connected to at once, per content'
  },
  {
    name: 'policy',
    kind: 'choice',
    value: 'name',
    choices: ['cooperative', 'contributors'],
    default: 'cooperative',
    shapesNode: true,
    field: 'policy',
    takers: NODE_AND_DAEMON,
    text: 'whom to serve first: cooperative the neediest, contributors those that pass on what they get (open swarms)'
  },
  {
    name: 'label',
    kind: 'label',
    value: 'key=value',
    repeats: 'words',
    shapesNode: true,
    field: 'labels',
    takers: NODE_AND_DAEMON,
    text: 'where this node stands (host, rack, zone, region)'
  },
  {
    name: 'encryption',
    kind: 'choice',
    value: 'kind',
    choices: ['tls', 'noise'],
    default: 'tls',
    shapesNode: true,
    field: 'encryption',
    takers: NODE_AND_DAEMON,
    text: 'tls takes TLS and accepts noise, noise is noise only'
  }
]
