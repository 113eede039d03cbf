/**
 * The named scenarios: who takes part, what befalls them, and the bound that the result is measured against.
 */

import { Bitfield } from '../content/bitfield.ts'
import type { EngineOptions } from '../engine/options.ts'
import type { Random } from '../util/random.ts'
import { equalUplinkBoundMs, fluidBoundMs } from './bounds.ts'
import type { HostSpec } from './host.ts'
import type { SimulationOptions } from './options.ts'
import type { Behaviour, SimPeer } from './peer.ts'
import type { PeerSpec, World } from './world.ts'

export interface ScenarioPlan {
  readonly peers: readonly PeerSpec[]
  readonly boundMs: number
  readonly boundName: string
  /** Engine options that the scenario sets beside the user's. */
  readonly engine: Partial<EngineOptions>
  /** Arranges what happens during the run. */
  readonly arrange: (world: World) => void
  /** Whose completion counts in the table. */
  readonly isMeasured: (peer: SimPeer) => boolean
  /** When the last fault is over, ms: completion deadlines count from here. */
  readonly faultsEndMs: number
}

interface Draft {
  peers: PeerSpec[]
  boundMs?: number
  boundName?: string
  engine?: Partial<EngineOptions>
  arrange?: (world: World) => void
  isMeasured?: (peer: SimPeer) => boolean
  faultsEndMs?: number
}

/** Everybody knows of the swarm within this time of the start, ms. */
const CROWD_SPREAD_MS = 50
const SLOWNESS = 100
const RACK_SIZE = 20
/** Of its downlink, what a reader plays. */
const PLAYBACK_SHARE = 0.8
/** It has found its neighbours when it begins to play. */
const READER_SETTLES_MS = 5000
/** A rack's link carries as much as so many of its hosts. */
const RACK_UPLINKS = 2

export function planScenario(options: SimulationOptions, random: Random): ScenarioPlan {
  const { nodes, contentBytes, pieceLength } = options
  const pieces = Math.ceil(contentBytes / pieceLength)
  const uplink = options.uplink / 1000
  const downlink = options.downlink === 0 ? Number.POSITIVE_INFINITY : options.downlink / 1000
  const draft = drafts(options, random, { uplink, downlink, pieces })
  const [seeder, ...rest] = draft.peers
  const leechers = rest.filter(peer => !peer.isSeeder).map(({ host }) => host)
  const areEqual = draft.peers.every(({ host }) => host.uplink === seeder?.host.uplink) && downlink === Number.POSITIVE_INFINITY
  const bound = areEqual
    ? { boundMs: equalUplinkBoundMs(contentBytes, uplink, nodes, pieces), boundName: 'T* = (F/u)(1 + floor(log2 N)/M)' }
    : {
        boundMs: fluidBoundMs(contentBytes, [seeder?.host.uplink ?? uplink], leechers),
        boundName: 'max(F/u_seeder, F/d_slowest, N F / sum of uplinks)'
      }
  return { engine: {}, arrange: () => {}, isMeasured: peer => peer.behaviour === 'honest', faultsEndMs: 0, ...bound, ...draft }
}

interface Sizes {
  uplink: number
  downlink: number
  pieces: number
}

function drafts(options: SimulationOptions, random: Random, { uplink, downlink, pieces }: Sizes): Draft {
  const { nodes, contentBytes } = options
  const baseMs = equalUplinkBoundMs(contentBytes, uplink, nodes, pieces)
  const host = (key: string, change: Partial<HostSpec> = {}): HostSpec => ({
    key,
    uplink,
    downlink,
    labels: {},
    side: 0,
    ...change
  })
  const leecher = (
    index: number,
    change: Partial<HostSpec> = {},
    behaviour: Behaviour = 'honest',
    joinMs?: number
  ): PeerSpec => ({
    host: host(`n${index}`, change),
    content: 0,
    behaviour,
    isSeeder: false,
    joinMs: joinMs ?? random.nextBetween(0, CROWD_SPREAD_MS)
  })
  const seeder = (change: Partial<HostSpec> = {}): PeerSpec => ({
    host: host('seeder', change),
    content: 0,
    behaviour: 'honest',
    isSeeder: true,
    joinMs: 0
  })
  const crowd = (make: (index: number) => PeerSpec = index => leecher(index)): PeerSpec[] => [
    seeder(),
    ...Array.from({ length: nodes }, (_, index) => make(index))
  ]
  /** The first `share` of the crowd by number: the numbers mean nothing else. */
  const isAmong = (index: number, share: number): boolean => index < Math.round(nodes * share)

  switch (options.scenario) {
    case 'flash-crowd':
      return { peers: crowd() }
    case 'staggered': {
      const spanMs = 2 * baseMs
      return { peers: crowd(index => leecher(index, {}, 'honest', random.nextBetween(0, spanMs))) }
    }
    case 'newcomer': {
      const lateMs = 1.6 * baseMs + 5000
      const rate = Number.isFinite(downlink) ? downlink : uplink
      const peers = crowd(index =>
        index === nodes - 1 ? leecher(index, { downlink: rate }, 'honest', lateMs) : leecher(index, { downlink: rate * 4 })
      )
      return {
        peers,
        boundMs: contentBytes / rate,
        boundName: "F/d, the newcomer's own downlink",
        isMeasured: peer => peer.joinMs === lateMs
      }
    }
    case 'unequal-uplinks':
      return { peers: crowd(index => leecher(index, isAmong(index, 0.5) ? { uplink: uplink / 10 } : {})) }
    case 'symmetric-caps':
      return {
        peers: [
          seeder({ downlink: uplink }),
          ...Array.from({ length: nodes }, (_, index) => leecher(index, { downlink: uplink }))
        ],
        boundMs: baseMs,
        boundName: 'T* = (F/u)(1 + floor(log2 N)/M)'
      }
    case 'seeder-leaves':
      return {
        peers: crowd(),
        arrange: world => {
          const source = world.peers[0] as SimPeer
          const before = world.onSent
          const isSomewhere = new Bitfield(pieces)
          let isGoing = false
          world.onSent = peer => {
            before(peer)
            if (peer !== source || isGoing || peer.bytesSent < contentBytes) return
            // It rarely sends 1.2 copies in all, so at the latest when the leechers hold one between them.
            for (const { verified } of world.peers.slice(1)) for (const piece of verified.ones()) isSomewhere.set(piece)
            if (!isSomewhere.isFull && peer.bytesSent < 1.2 * contentBytes) return
            isGoing = true
            // What has left its uplink arrives: a crash that swallows the only copy of a piece proves nothing.
            world.at(world.nowMs + 4 * options.latencyMs + 100, () => world.remove(peer, false))
          }
        }
      }
    case 'churn':
      return {
        peers: crowd(),
        arrange: world => arrangeChurn(world, random.fork('churn'), nodes, baseMs, index => leecher(index, {}, 'honest', 0))
      }
    case 'corrupters':
      return {
        peers: crowd(index => leecher(index, {}, isAmong(index, 0.05) ? 'corrupter' : 'honest')),
        boundMs: equalUplinkBoundMs(contentBytes, uplink, Math.max(1, Math.round(nodes * 0.95)), pieces)
      }
    case 'free-riders':
      return {
        peers: crowd(index => leecher(index, {}, isAmong(index, 0.2) ? 'free-rider' : 'honest')),
        engine: { policy: 'contributors' },
        boundMs: equalUplinkBoundMs(contentBytes, uplink, Math.max(1, Math.round(nodes * 0.8)), pieces)
      }
    case 'silent':
      return {
        peers: crowd(index => leecher(index, {}, isAmong(index, 0.1) ? 'silent' : 'honest')),
        boundMs: equalUplinkBoundMs(contentBytes, uplink, Math.max(1, Math.round(nodes * 0.9)), pieces)
      }
    case 'slow-peers': {
      const slow = { uplink: uplink / SLOWNESS, downlink: uplink / SLOWNESS }
      const count = Math.max(1, Math.round(nodes * 0.01))
      return {
        peers: crowd(index => leecher(index, index < count ? slow : {})),
        boundMs: equalUplinkBoundMs(contentBytes, uplink, Math.max(1, nodes - count), pieces),
        boundName: 'T* without the slow ones',
        isMeasured: peer => peer.host.uplink === uplink
      }
    }
    case 'partition': {
      const fromMs = 0.25 * baseMs
      const untilMs = 0.6 * baseMs
      return {
        peers: crowd(index => leecher(index, { side: index % 2 })),
        arrange: world => {
          world.at(fromMs, () => world.setPartition(true))
          world.at(untilMs, () => world.setPartition(false))
        },
        faultsEndMs: untilMs
      }
    }
    case 'origin':
      return { peers: Array.from({ length: nodes }, (_, index) => leecher(index)) }
    case 'two-files':
      return {
        peers: [0, 1].flatMap(content => crowd().map(peer => ({ ...peer, content }))),
        boundMs: 2 * baseMs,
        boundName: '2 T*'
      }
    case 'playback': {
      // The last one: its downlink is what the others can send, so that playing is what limits it.
      const reader = nodes - 1
      const rate = Number.isFinite(downlink) ? downlink : uplink
      const joinMs = 1.2 * baseMs
      const peers = crowd(index =>
        index === reader
          ? leecher(index, { downlink: rate }, 'honest', joinMs)
          : leecher(index, { downlink: rate }, 'honest', random.nextBetween(0, 2 * baseMs))
      )
      return {
        peers,
        boundMs: contentBytes / (PLAYBACK_SHARE * rate),
        boundName: 'the playing time',
        isMeasured: peer => peer.joinMs === joinMs,
        arrange: world => {
          const peer = world.peers[reader + 1] as SimPeer
          world.at(joinMs + READER_SETTLES_MS, () => world.play(peer, PLAYBACK_SHARE * rate))
        }
      }
    }
    case 'racks':
      return {
        peers: crowd(index => leecher(index, { labels: { rack: `rack${Math.floor(index / RACK_SIZE)}` } })),
        arrange: world => {
          world.rackRate = RACK_UPLINKS * uplink
        }
      }
  }
}

/** Every minute a tenth of the leechers crash and as many new ones join, until the time of one and a half bounds. */
function arrangeChurn(world: World, random: Random, nodes: number, baseMs: number, make: (index: number) => PeerSpec): void {
  const everyMs = 60_000 / Math.max(1, nodes * 0.1)
  let next = nodes
  const step = (): void => {
    if (world.nowMs > 1.5 * baseMs) return
    const present = world.peers.filter(peer => peer.isUp && !peer.isSeeder)
    if (present.length > 0) world.remove(random.pick(present), random.chance(0.5))
    world.add({ ...make(next++), joinMs: world.nowMs })
    world.at(world.nowMs + everyMs * random.nextBetween(0.5, 1.5), step)
  }
  world.at(everyMs, step)
}
