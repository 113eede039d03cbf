/**
 * Plans a named scenario: who takes part, what befalls them, and the bound that the result is measured
 * against.
 */

import type { Random } from '../../util/random.ts'
import { EQUAL_UPLINKS, fluidBoundMs } from '../bounds.ts'
import { castMisbehaving } from '../misbehaving.ts'
import type { SimulationOptions } from '../options.ts'
import type { PeerSpec } from '../peer.ts'
import type { ScenarioName } from '../scenario-names.ts'
import { Cast, CROWD_SPREAD_MS, type Draft } from './cast.ts'
import { churn } from './churn.ts'
import { flashCrowd } from './flash-crowd.ts'
import { corrupters, freeRiders, silent } from './misbehaving.ts'
import { mixed } from './mixed.ts'
import { newcomer } from './newcomer.ts'
import { origin } from './origin.ts'
import { partition } from './partition.ts'
import { playback } from './playback.ts'
import { racks } from './racks.ts'
import { seederLeaves } from './seeder-leaves.ts'
import { slowPeers } from './slow-peers.ts'
import { staggered } from './staggered.ts'
import { symmetricCaps } from './symmetric-caps.ts'
import { twoFiles } from './two-files.ts'
import { unequalUplinks } from './unequal-uplinks.ts'

export type ScenarioPlan = Required<Draft>

const SCENARIO_OF: Readonly<Record<ScenarioName, (cast: Cast) => Draft>> = {
  'flash-crowd': flashCrowd,
  staggered,
  newcomer,
  'unequal-uplinks': unequalUplinks,
  'symmetric-caps': symmetricCaps,
  'seeder-leaves': seederLeaves,
  churn,
  corrupters,
  'free-riders': freeRiders,
  silent,
  'slow-peers': slowPeers,
  partition,
  origin,
  'two-files': twoFiles,
  playback,
  mixed,
  racks
}

export function planScenario(options: SimulationOptions, random: Random): ScenarioPlan {
  const cast = new Cast(options, random)
  const draft = SCENARIO_OF[options.scenario](cast)
  const bound = boundOf(cast, draft)
  const peers = [...draft.peers, ...strangers(cast, draft, random.fork('misbehaving'))]
  const { isMeasured = () => true } = draft
  return {
    engine: {},
    arrange: () => {},
    faultsEndMs: 0,
    ...bound,
    ...draft,
    peers,
    isMeasured: peer => peer.role === undefined && isMeasured(peer)
  }
}

/**
 * The misbehaving that the options ask for on top of the scenario's own peers: half of them are there first,
 * and all stand where the leechers stand.
 */
function strangers(cast: Cast, { peers }: Draft, random: Random): readonly PeerSpec[] {
  const contents = 1 + Math.max(...peers.map(({ content }) => content))
  const labels = peers.find(({ isSeeder }) => !isSeeder)?.machine.labels ?? {}
  return castMisbehaving(cast.options.misbehaving, random, index => {
    const joinMs = random.chance(0.5) ? 0 : random.nextBetween(0, CROWD_SPREAD_MS)
    return { ...cast.stranger(index, { machine: { labels }, joinMs }), content: random.nextInt(contents) }
  })
}

/** The bound of a crowd, of equals where all are. */
function boundOf(cast: Cast, { peers }: Draft): Pick<ScenarioPlan, 'boundMs' | 'boundName'> {
  const [seeder, ...rest] = peers
  const areEqual = peers.every(({ machine }) => machine.uplink === seeder?.machine.uplink)
  if (areEqual && cast.downlink === Number.POSITIVE_INFINITY) return { boundMs: cast.crowdBoundMs, boundName: EQUAL_UPLINKS }
  const leechers = rest.filter(peer => !peer.isSeeder).map(({ machine }) => machine)
  return {
    boundMs: fluidBoundMs(cast.options.contentBytes, [seeder?.machine.uplink ?? cast.uplink], leechers),
    boundName: 'max(F/u_seeder, F/d_slowest, N F / sum of uplinks)'
  }
}
