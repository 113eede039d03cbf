/**
 * Small swarms of unequals and hostile neighbours, by name: what honest peers take beside them is compared
 * with what they take alone. A failed row repeats with the command of its options.
 */

import type { Misbehaving } from './misbehaving.ts'
import type { SimulationOptions } from './options.ts'
import type { RoleName } from './roles/role-names.ts'

export interface UnequalWorld {
  readonly title: string
  readonly options: Partial<SimulationOptions>
}

const MIB = 1024 ** 2
const MBIT = 125_000
/** What one process takes or sends on one computer, bytes per second: 20 MB alone take it half a second. */
const LOOPBACK = 50_000_000
/** Roles that a third of a crowd plays; slow ones are fifty times slower. */
const CROWD_ROLES: readonly RoleName[] = [
  'limited',
  'only',
  'slow-disk',
  'takes-three',
  'never-says-have',
  'greedy',
  'claimer',
  'mute',
  'dribbler',
  'says-full',
  'silent',
  'free-rider',
  'corrupter',
  'sybil'
]
const SLOWNESS = 50

export function unequalWorlds(contentBytes: number): UnequalWorld[] {
  const loopback: Partial<SimulationOptions> = {
    nodes: 1,
    contentBytes,
    pieceLength: MIB / 4,
    uplink: LOOPBACK,
    downlink: LOOPBACK,
    seederUplink: 10 * LOOPBACK,
    latencyMs: 0.5,
    isChecked: false
  }
  return [...onOneComputer(loopback), ...onCappedLinks(loopback), ...besideAThird(loopback)]
}

function capped(loopback: Partial<SimulationOptions>, megabits: number, nodes: number): Partial<SimulationOptions> {
  const rate = megabits * MBIT
  return { ...loopback, nodes, uplink: rate, downlink: rate, seederUplink: LOOPBACK, latencyMs: 1 }
}

/** One fast leecher, and a seeder with uplink to spare. */
function onOneComputer(loopback: Partial<SimulationOptions>): UnequalWorld[] {
  const beside = (title: string, misbehaving: Misbehaving, change: Partial<SimulationOptions> = {}): UnequalWorld => ({
    title,
    options: { ...loopback, ...change, misbehaving: [misbehaving] }
  })
  const limits = [1_000_000, 500_000, 250_000, 100_000].map(rate =>
    beside(`1 beside a limit of ${rate / 1000} KB/s`, { role: 'limited', count: 1, slowness: LOOPBACK / rate })
  )
  const inRack = { nodes: 2, scenario: 'racks' } as const
  const withOrigin = { scenario: 'origin' } as const
  return [
    ...limits,
    beside('1 beside `--only` a small part', { role: 'only', count: 1 }),
    beside('1 beside a slow disk', { role: 'slow-disk', count: 1, slowness: SLOWNESS }),
    beside('1 beside one that takes three offers', { role: 'takes-three', count: 1 }),
    beside('1 beside one that never says `have`', { role: 'never-says-have', count: 1 }),
    beside('1 beside one that asks for everything, urgently', { role: 'greedy', count: 1 }),
    beside('1 beside 8 that claim, offer and never send', { role: 'claimer', count: 8 }),
    beside('1 beside 25 of them', { role: 'claimer', count: 25 }),
    beside('1 beside 8 mute', { role: 'mute', count: 8 }),
    beside('1 beside one that dribbles', { role: 'dribbler', count: 1 }),
    beside('1 beside one that comes back under new names', { role: 'sybil', count: 1 }),
    beside('2 in a rack beside one that says `taking` of all', { role: 'takes-all', count: 1 }, inRack),
    beside('2 in a rack beside one that claims all and is full', { role: 'says-full', count: 1 }, inRack),
    beside('1 and an origin, beside invented keepers', { role: 'keeper-inventor', count: 1 }, withOrigin),
    beside('1 and an origin, beside one that says `taking` of all', { role: 'takes-all', count: 1 }, withOrigin)
  ]
}

/** A seeder with uplink to spare, and leechers on links of so many Mbit/s in both directions. */
function onCappedLinks(loopback: Partial<SimulationOptions>): UnequalWorld[] {
  const world = (title: string, megabits: number, nodes: number, misbehaving: Misbehaving): UnequalWorld => ({
    title,
    options: { ...capped(loopback, megabits, nodes), misbehaving: [misbehaving] }
  })
  return [
    world('1 of 50 Mbit/s beside one of 4', 50, 1, { role: 'slow', count: 1, slowness: 12.5 }),
    world('1 of 50 Mbit/s beside three of 4', 50, 1, { role: 'slow', count: 3, slowness: 12.5 }),
    world('4 of 50 Mbit/s beside four of 1', 50, 4, { role: 'slow', count: 4, slowness: 50 }),
    world('4 of 20 Mbit/s beside two that stop for 20 s', 20, 4, { role: 'stopped', count: 2 })
  ]
}

/**
 * Four honest leechers and two that misbehave; the seeder has uplink to spare, or no more than the others.
 */
function besideAThird(loopback: Partial<SimulationOptions>): UnequalWorld[] {
  return CROWD_ROLES.flatMap(role => {
    const misbehaving = [{ role, count: 2, slowness: SLOWNESS }]
    return [
      { title: `4 beside 2 ${role}`, options: { ...loopback, nodes: 4, misbehaving } },
      {
        title: `4 of 20 Mbit/s, seeder too, beside 2 ${role}`,
        options: { ...capped(loopback, 20, 4), seederUplink: 20 * MBIT, misbehaving }
      }
    ]
  })
}
