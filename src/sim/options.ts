/**
 * What a simulation is given. Rates are bytes per second, times ms, sizes bytes.
 */

import { MAX_PIECE_LENGTH, MIN_PIECE_LENGTH } from '../content/geometry.ts'
import type { EngineOptions } from '../engine/options.ts'
import { InvalidOptionsError } from '../errors.ts'
import type { Misbehaving } from './misbehaving.ts'
import { SCENARIO_NAMES, type ScenarioName } from './scenario-names.ts'

export { parseEngineOptions } from '../engine/options.ts'

export const LINKS_MODELS = ['simple', 'queued'] as const
export type LinksModel = (typeof LINKS_MODELS)[number]

export interface SimulationOptions {
  /** Leechers; a seeder comes on top. 1..100000. @default 100 */
  readonly nodes: number
  /** Size of the content. @default 1 GiB */
  readonly contentBytes: number
  /** A power of two. @default the default for this content */
  readonly pieceLength: number
  /** Bytes per second that each node can send. @default 12500000 (100 Mbit/s) */
  readonly uplink: number
  /** Bytes per second that each node can take; 0: no limit. @default 0 */
  readonly downlink: number
  /** Bytes per second that the seeder can send; 0: as the others. @default 0 */
  readonly seederUplink: number
  /**
   * Bytes per second that the content's origin sends in all; 0: there is none. @default 0; in the scenario
   * 'origin' that of one uplink
   */
  readonly originRate: number
  /** One-way delay between any two nodes. @default 10 */
  readonly latencyMs: number
  /** Largest deviation of a delay, as a share of it. 0..1. @default 0.2 */
  readonly jitter: number
  /**
   * How links are modelled: whole pieces one after another, or packets through queues, which costs ten times
   * as much. @default 'simple'
   */
  readonly links: LinksModel
  /** @default 'flash-crowd' */
  readonly scenario: ScenarioName
  /** Peers that play roles, on top of the scenario's. @default [] */
  readonly misbehaving: readonly Misbehaving[]
  /** @default '1' */
  readonly seed: string
  /** Another course of the same world: other delays, finds and choices between equals. @default 0 */
  readonly course: number
  /** Options of every engine. */
  readonly engine: Partial<EngineOptions>
  /** Run the checkers at every step. Costs most of the time in large worlds. @default true */
  readonly isChecked: boolean
  /** Virtual time after which the run ends as failed; 0: twenty bounds and two minutes. @default 0 */
  readonly deadlineMs: number
}

export const DEFAULT_SIMULATION_OPTIONS: SimulationOptions = {
  nodes: 100,
  contentBytes: 1024 ** 3,
  pieceLength: 1024 ** 2,
  uplink: 12_500_000,
  downlink: 0,
  seederUplink: 0,
  originRate: 0,
  latencyMs: 10,
  jitter: 0.2,
  links: 'simple',
  scenario: 'flash-crowd',
  misbehaving: [],
  seed: '1',
  course: 0,
  engine: {},
  isChecked: true,
  deadlineMs: 0
}

/** Merges with the defaults. Throws {@link InvalidOptionsError}. */
export function resolveSimulationOptions(options: Partial<SimulationOptions>): SimulationOptions {
  const merged = { ...DEFAULT_SIMULATION_OPTIONS, ...options }
  const resolved = merged.scenario === 'origin' && merged.originRate === 0 ? { ...merged, originRate: merged.uplink } : merged
  check('nodes', resolved.nodes, Number.isInteger(resolved.nodes) && resolved.nodes >= 1 && resolved.nodes <= 100_000)
  check('contentBytes', resolved.contentBytes, Number.isSafeInteger(resolved.contentBytes) && resolved.contentBytes > 0)
  const { pieceLength } = resolved
  const isPower = Number.isInteger(Math.log2(pieceLength)) && pieceLength >= MIN_PIECE_LENGTH && pieceLength <= MAX_PIECE_LENGTH
  check('pieceLength', pieceLength, isPower)
  check('uplink', resolved.uplink, resolved.uplink > 0)
  check('downlink', resolved.downlink, resolved.downlink >= 0)
  check('seederUplink', resolved.seederUplink, resolved.seederUplink >= 0)
  check('originRate', resolved.originRate, resolved.originRate >= 0)
  check('latencyMs', resolved.latencyMs, resolved.latencyMs >= 0 && resolved.latencyMs <= 60_000)
  check('jitter', resolved.jitter, resolved.jitter >= 0 && resolved.jitter <= 1)
  check('links', resolved.links, LINKS_MODELS.includes(resolved.links))
  check('scenario', resolved.scenario, SCENARIO_NAMES.includes(resolved.scenario))
  check('deadlineMs', resolved.deadlineMs, resolved.deadlineMs >= 0)
  return resolved
}

function check(option: string, value: unknown, isGood: boolean): void {
  if (!isGood) throw new InvalidOptionsError(`${option} cannot be ${String(value)}`, { option, value })
}
