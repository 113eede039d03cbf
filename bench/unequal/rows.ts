/**
 * The rows of the table: who stands beside the fast leechers, and how much longer these may take for it. Pure
 * data.
 */

import type { BehaviourName } from '../../test/hostile/peers/behaviours.ts'
import type { Leecher, Neighbour, Setting } from './swarm.ts'

/** How much longer honest leechers may take than alone. */
const MERELY_SLOW = 1.25
const HOSTILE = 2

export interface Row {
  readonly name: string
  readonly title: string
  readonly target: number
  /** The same without what stands beside them. */
  readonly alone: Setting
  readonly beside: Setting
}

const MB = 1_000_000
const MBIT = 1_000_000

const fast: Leecher = { args: [] }
const plain = { content: 'file', bytes: 20 * MB, seeder: [], leechers: [fast], neighbours: [] } as const satisfies Setting
const four: Setting = { ...plain, leechers: [fast, fast, fast, fast] }
/** The seeder's uplink is the limit. */
const limited: Setting = { ...plain, bytes: 30 * MB, seeder: ['--upload-limit', '5MB'] }
/** The stranger has the leechers' labels, and the seeder is far. */
const labelled: Setting = {
  ...plain,
  seeder: ['--label', 'zone=far'],
  leechers: [{ args: ['--label', 'zone=near'] }]
}
const withOrigin = (setting: Setting): Setting => ({ ...setting, seeder: undefined, originBytesPerSecond: 50 * MB })

function hostile(behaviour: BehaviourName, count = 1): Neighbour {
  return { kind: 'hostile', behaviour, count, labels: behaviour === 'taking' ? ['zone=near'] : [] }
}

function slow(limit: string): Neighbour {
  return { kind: 'leecher', args: ['--download-limit', limit] }
}

function row(name: string, title: string, target: number, alone: Setting, ...neighbours: Neighbour[]): Row {
  return { name, title, target, alone, beside: { ...alone, neighbours } }
}

const onlySmall: Neighbour = { kind: 'leecher', args: ['--only', 'small.txt', '--seed'] }
const SLOW_LIMITS = ['1MB', '500KB', '250KB', '100KB'] as const
/** They do their harm without an origin and without labels. */
const PLAIN_BEHAVIOURS = ['mute', 'never-have', 'urgent', 'claims', 'full', 'dribble', 'reconnect'] as const

export const ROWS: readonly Row[] = [
  ...SLOW_LIMITS.map(limit => row(`slow-${limit}`, `an honest leecher of ${limit}/s`, MERELY_SLOW, plain, slow(limit))),
  row('only', 'a seed of one small file of the folder', MERELY_SLOW, { ...plain, content: 'folder' }, onlySmall),
  ...PLAIN_BEHAVIOURS.map(name => row(name, `one peer: ${name}`, HOSTILE, plain, hostile(name))),
  row('taking', 'one peer with our labels: taking', HOSTILE, labelled, hostile('taking')),
  row('mute-8', 'eight peers: mute', HOSTILE, plain, hostile('mute', 8)),
  row('mute-25', '25 peers: mute', HOSTILE, plain, hostile('mute', 25)),
  row('claims-8', 'eight peers: claims (seeder 5 MB/s)', HOSTILE, limited, hostile('claims', 8)),
  row('claims-25', '25 peers: claims (seeder 5 MB/s)', HOSTILE, limited, hostile('claims', 25)),
  row('full-5MB', 'one peer: full (seeder 5 MB/s)', HOSTILE, limited, hostile('full')),
  row('keepers', 'one peer: keepers (an origin, no seeder)', HOSTILE, withOrigin(plain), hostile('keepers')),
  ...PLAIN_BEHAVIOURS.map(name => row(`four-${name}`, `four leechers, two peers: ${name}`, HOSTILE, four, hostile(name, 2))),
  row('four-slow', 'four leechers, two honest ones of 100KB/s', MERELY_SLOW, four, slow('100KB'), slow('100KB')),
  row('four-keepers', 'four leechers, two peers: keepers (an origin)', HOSTILE, withOrigin(four), hostile('keepers', 2))
]

const fifty: Leecher = { args: [], link: { down: 50 * MBIT, up: 50 * MBIT } }
const twenty: Leecher = { args: [], link: { down: 20 * MBIT, up: 20 * MBIT } }
/** Slow to receive only. */
const narrow = (mbit: number): Leecher => ({ args: [], link: { down: mbit * MBIT, up: 50 * MBIT }, isTimed: false })
const stopped: Leecher = { ...twenty, isTimed: false, pause: { afterSeconds: 2, seconds: 20 } }
const crowd = (count: number, leecher: Leecher): Leecher[] => Array.from({ length: count }, () => leecher)

/**
 * On links of their own, in network namespaces; everybody starts at the same signal, and the seeder has no
 * limit.
 */
export const CAPPED_ROWS: readonly Row[] = [
  {
    name: 'down-4',
    title: 'one of 50/50 Mbit/s beside one with 4 down; alone: two of 50/50',
    target: MERELY_SLOW,
    alone: { ...plain, leechers: crowd(2, fifty) },
    beside: { ...plain, leechers: [fifty, narrow(4)] }
  },
  {
    name: 'down-1',
    title: 'four of 50/50 Mbit/s beside four with 1 down',
    target: MERELY_SLOW,
    alone: { ...plain, leechers: crowd(4, fifty) },
    beside: { ...plain, leechers: [...crowd(4, fifty), ...crowd(4, narrow(1))] }
  },
  {
    name: 'stopped',
    title: 'four of 20/20 Mbit/s beside two that are stopped for 20 s; alone: six that are not',
    target: MERELY_SLOW,
    alone: { ...plain, leechers: crowd(6, twenty) },
    beside: { ...plain, leechers: [...crowd(4, twenty), ...crowd(2, stopped)] }
  }
]
