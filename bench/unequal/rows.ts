/** The rows of the table: who stands beside the fast leechers, and how much longer these may take for it. Pure data. */

import type { BehaviourName } from '../../test/hostile/peers/behaviours.ts'
import type { HostileNeighbour, Neighbour, Setting } from './swarm.ts'

/** How much longer honest leechers may take than alone. */
const MERELY_SLOW = 1.25
const HOSTILE = 2

export interface Row {
  readonly name: string
  readonly title: string
  readonly target: number
  readonly setting: Setting
}

const MB = 1_000_000
const FAR = ['--label', 'zone=far']
const NEAR = ['--label', 'zone=near']

const plain = { content: 'file', bytes: 20 * MB, seeder: [], leechers: [[]], neighbours: [] } as const satisfies Setting
/** The seeder's uplink is the limit, and pieces take long enough for offers to matter. */
const capped: Setting = { ...plain, bytes: 30 * MB, seeder: ['--upload-limit', '5MB'] }
const four: Setting = { ...plain, leechers: [[], [], [], []] }

function hostile(behaviour: BehaviourName, count = 1): HostileNeighbour {
  return { kind: 'hostile', behaviour, count }
}

function slow(limit: string): Neighbour {
  return { kind: 'leecher', args: ['--download-limit', limit] }
}

function row(name: string, title: string, target: number, setting: Setting, ...neighbours: Neighbour[]): Row {
  return { name, title, target, setting: { ...setting, neighbours } }
}

const LIMITS = ['1MB', '500KB', '250KB', '100KB']
/** Those that need nothing else to do harm. */
const PLAIN_BEHAVIOURS: readonly BehaviourName[] = [
  'mute',
  'never-have',
  'urgent',
  'claims',
  'full',
  'taking',
  'dribble',
  'reconnect'
]

export const ROWS: readonly Row[] = [
  ...LIMITS.map(limit => row(`slow-${limit}`, `an honest leecher of ${limit}/s`, MERELY_SLOW, plain, slow(limit))),
  row(
    'only',
    'a seed of one small file of the folder',
    MERELY_SLOW,
    { ...plain, content: 'folder' },
    {
      kind: 'leecher',
      args: ['--only', 'small.txt', '--seed']
    }
  ),
  ...PLAIN_BEHAVIOURS.filter(name => name !== 'taking').map(name =>
    row(name, `one peer: ${name}`, HOSTILE, plain, hostile(name))
  ),
  row(
    'taking',
    'one peer with our labels: taking',
    HOSTILE,
    { ...plain, seeder: FAR, leechers: [NEAR] },
    { ...hostile('taking'), labels: ['zone=near'] }
  ),
  row('mute-8', 'eight peers: mute', HOSTILE, plain, hostile('mute', 8)),
  row('mute-25', '25 peers: mute', HOSTILE, plain, hostile('mute', 25)),
  row('claims-8', 'eight peers: claims (seeder 5 MB/s)', HOSTILE, capped, hostile('claims', 8)),
  row('claims-25', '25 peers: claims (seeder 5 MB/s)', HOSTILE, capped, hostile('claims', 25)),
  row('keepers', 'one peer: keepers, with an origin and no seeder', HOSTILE, origin(plain), hostile('keepers')),
  ...PLAIN_BEHAVIOURS.map(name => row(`four-${name}`, `four leechers, two peers: ${name}`, HOSTILE, four, hostile(name, 2))),
  row('four-slow', 'four leechers, two honest ones of 100KB/s', MERELY_SLOW, four, slow('100KB'), slow('100KB')),
  row('four-keepers', 'four leechers, two peers: keepers, with an origin', HOSTILE, origin(four), hostile('keepers', 2))
]

function origin(setting: Setting): Setting {
  return { ...setting, seeder: undefined, originBytesPerSecond: 50 * MB }
}
