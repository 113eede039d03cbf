/**
 * What one run is: how many nodes, which links, which file, and what happens to them. Pure data, so that the
 * same description drives namespaces (netns-lab.ts), containers (docker-lab.ts) and the simulator (model.ts).
 */

import { parseRate, parseSize } from '../../src/util/sizes.ts'

export interface Experiment {
  /**
   * Leechers that start at the signal (late joiners, corrupters and small disks of the scenario come on top
   * or among them, see below).
   */
  readonly leechers: number
  /** Every node's uplink, bits per second, as the link counts them (headers included). */
  readonly uplinkBitsPerSecond: number
  /** True: the downlink is capped like the uplink. False: as fast as the machine. */
  readonly symmetric: boolean
  readonly sizeBytes: number
  readonly pieceBytes: number
  readonly scenario: Scenario
  /** True: leechers are not loaded before the signal; process start and joining the DHT count. */
  readonly cold: boolean
  /**
   * Of TCP between the hosts; undefined: this machine's default. A fleet is mostly plain Linux, whose default
   * is CUBIC. BBR (version 1) takes the queue that its own pieces make for the path and all but stops each
   * connection every ten seconds to look (`docs/SCHEDULING.md`).
   */
  readonly congestionControl: string | undefined
  /** For the content of the file and for whom the scenario picks. */
  readonly seed: number
  /** The run fails when it takes longer than this many times T*, plus a fixed allowance for slow machines. */
  readonly patience: number
}

/** When a step happens. Evaluated a few times a second; each step happens once, in order. */
export type Trigger =
  /** Every piece is verified by at least one leecher that is up. */
  | { readonly type: 'swarmHoldsCopy' }
  /** The leechers hold this fraction of all that they must fetch. */
  | { readonly type: 'meanDone'; readonly fraction: number }
  /** This long after the step before, in units of T*. */
  | { readonly type: 'afterPrevious'; readonly boundTimes: number }
  /** Every leecher that is up and not cut off has the file. */
  | { readonly type: 'othersComplete' }

export type Action =
  /** kill -9. */
  | { readonly type: 'killSeeder' }
  | { readonly type: 'killLeechers'; readonly fraction: number }
  /** Starts what `killLeechers` ended, with the same command and folder. */
  | { readonly type: 'restartKilled' }
  /** Cuts this fraction of the leechers off from everyone else (they still reach each other). */
  | { readonly type: 'partition'; readonly fraction: number }
  | { readonly type: 'heal' }
  | { readonly type: 'startLateJoiner' }

export interface Scenario {
  readonly name: string
  readonly summary: string
  readonly steps: readonly { readonly when: Trigger; readonly action: Action }[]
  /** Leechers beyond `leechers` that start by `startLateJoiner`. */
  readonly lateJoiners: number
  /**
   * Among `leechers`: their disk holds only part of the file; grown after they said so, then started again.
   */
  readonly smallDisks: number
  /** Peers beyond `leechers` that claim every piece and send wrong bytes. */
  readonly corrupters: number
  /**
   * Whether the time is comparable with T* and the simulated time: nothing that the bound does not know
   * happens.
   */
  readonly boundApplies: boolean
}

const plain = { steps: [], lateJoiners: 0, smallDisks: 0, corrupters: 0, boundApplies: false } as const

export const SCENARIOS: readonly Scenario[] = [
  { ...plain, name: 'flash-crowd', summary: 'all leechers begin on one signal', boundApplies: true },
  {
    ...plain,
    name: 'kill-seeder',
    summary: 'the seeder is killed once the swarm holds one copy',
    steps: [{ when: { type: 'swarmHoldsCopy' }, action: { type: 'killSeeder' } }]
  },
  {
    ...plain,
    name: 'restart-fifth',
    summary: 'a fifth of the leechers is killed at 40 % and started again',
    steps: [
      { when: { type: 'meanDone', fraction: 0.4 }, action: { type: 'killLeechers', fraction: 0.2 } },
      { when: { type: 'afterPrevious', boundTimes: 0.1 }, action: { type: 'restartKilled' } }
    ]
  },
  {
    ...plain,
    name: 'late-joiner',
    summary: 'one more leecher arrives when all others are done',
    steps: [{ when: { type: 'othersComplete' }, action: { type: 'startLateJoiner' } }],
    lateJoiners: 1
  },
  {
    ...plain,
    name: 'partition',
    summary: 'half of the leechers is cut off at 30 % and comes back',
    steps: [
      { when: { type: 'meanDone', fraction: 0.3 }, action: { type: 'partition', fraction: 0.5 } },
      { when: { type: 'afterPrevious', boundTimes: 0.5 }, action: { type: 'heal' } }
    ]
  },
  {
    ...plain,
    name: 'full-disk',
    summary: 'one leecher has room for 60 % of the file; it gets room and is started again when it has said so',
    smallDisks: 1
  },
  { ...plain, name: 'corrupt', summary: 'one more peer claims every piece and sends wrong bytes', corrupters: 1 }
]

/** The scenario of that name; throws `RangeError` with the names that exist. */
export function findScenario(name: string): Scenario {
  const found = SCENARIOS.find(scenario => scenario.name === name)
  if (found === undefined) {
    throw new RangeError(`no scenario ${name}; there are ${SCENARIOS.map(scenario => scenario.name).join(', ')}`)
  }
  return found
}

/**
 * Seconds that no schedule can beat on equal uplinks: T* = (F/u)(1 + floor(log2 N)/M) (Mundinger, Weber,
 * Weiss).
 */
export function boundSeconds(experiment: Experiment): number {
  const fileSeconds = (experiment.sizeBytes * 8) / experiment.uplinkBitsPerSecond
  const pieces = Math.ceil(experiment.sizeBytes / experiment.pieceBytes)
  return fileSeconds * (1 + Math.floor(Math.log2(experiment.leechers)) / pieces)
}

/** Seconds that one server with the same uplink takes to give each leecher the whole file. */
export function oneServerSeconds(experiment: Experiment): number {
  return (experiment.leechers * experiment.sizeBytes * 8) / experiment.uplinkBitsPerSecond
}

/** Reads the command line's values into an experiment. Throws `RangeError` on what cannot be run. */
export function resolveExperiment(values: {
  nodes: string
  rate: string
  size: string
  piece: string
  scenario: string
  symmetric: boolean
  cold: boolean
  congestion: string
  seed: string
}): Experiment {
  const leechers = count(values.nodes, 'nodes', 1, 500)
  const sizeBytes = parseSize(values.size)
  const pieceBytes = parseSize(values.piece)
  const uplinkBytesPerSecond = parseRate(values.rate)
  if (sizeBytes === undefined || sizeBytes < 1) throw new RangeError(`--size must be a size such as 32MiB, not ${values.size}`)
  if (pieceBytes === undefined || pieceBytes < 1)
    throw new RangeError(`--piece must be a size such as 256KiB, not ${values.piece}`)
  if (uplinkBytesPerSecond === undefined || uplinkBytesPerSecond < 1) {
    throw new RangeError(`--rate must be a rate such as 20mbit, not ${values.rate}`)
  }
  return {
    leechers,
    uplinkBitsPerSecond: uplinkBytesPerSecond * 8,
    symmetric: values.symmetric,
    sizeBytes,
    pieceBytes,
    scenario: findScenario(values.scenario),
    cold: values.cold,
    congestionControl: values.congestion === 'machine' ? undefined : values.congestion,
    seed: count(values.seed, 'seed', 0, 2 ** 32 - 1),
    patience: 6
  }
}

function count(text: string, name: string, least: number, most: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`--${name} must be a whole number from ${least} to ${most}, not ${text}`)
  }
  return value
}
