/**
 * Runs one simulation and says what came of it. Used by the CLI, the bench and the tests.
 */

import { Swarm } from '../engine/swarm.ts'
import { Random } from '../util/random.ts'
import { CheckFailure } from './checkers/checker.ts'
import { allCheckers } from './checkers/index.ts'
import { formatMisbehaving } from './misbehaving.ts'
import { resolveSimulationOptions, type SimulationOptions } from './options.ts'
import type { SimPeer } from './peer.ts'
import { planScenario } from './scenarios/plan.ts'
import { World } from './world.ts'

export interface SimulationResult {
  readonly scenario: string
  readonly nodes: number
  readonly pieces: number
  readonly pieceLength: number
  readonly seed: string
  readonly boundMs: number
  readonly boundName: string
  /** Leechers that count, and how many of them completed (those that left early do neither). */
  readonly measured: number
  readonly completed: number
  /** From each one's own joining to its last piece, ms. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** maxMs and p99Ms over the bound. */
  readonly ratio: number
  readonly p99Ratio: number
  /** Copies of the content that the first seeder sent. */
  readonly seederCopies: number
  /** Copies that the origin sent; undefined without one. */
  readonly originCopies: number | undefined
  /** Payload bytes received in vain, as a share of all payload received. */
  readonly wastedShare: number
  /** Share of the time until completion that uplinks of measured peers sent nothing. */
  readonly idleShare: number
  /** Bytes of small messages as a share of payload. */
  readonly controlShare: number
  /** Payload between racks, in copies per rack; undefined without racks. */
  readonly crossRackCopies: number | undefined
  /**
   * How the reader fared: from asking to its first piece, and how often and how long it stood still after.
   * Undefined: nobody reads.
   */
  readonly playback: { readonly startMs: number; readonly stalls: number; readonly stalledMs: number } | undefined
  readonly steps: number
  readonly series: readonly Sample[]
}

/** State of the world at one moment, for plots. */
export interface Sample {
  readonly ms: number
  /**
   * Leechers complete, copies of the content verified among leechers, share of uplinks sending since the last
   * sample.
   */
  readonly completed: number
  readonly copies: number
  readonly uplinkUse: number
}

export interface Progress {
  readonly virtualMs: number
  readonly completed: number
  readonly nodes: number
  readonly steps: number
}

/** Steps between two looks at progress. */
const SLICE_STEPS = 50_000
const SAMPLES_PER_BOUND = 100

/** A simulation that went wrong: what, and the options that repeat it. */
export class SimulationFailure extends Error {
  readonly options: SimulationOptions
  /** Nothing broke, but not all completed before the deadline. */
  readonly isStuck: boolean

  constructor(message: string, options: SimulationOptions, isStuck: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'SimulationFailure'
    this.options = options
    this.isStuck = isStuck
  }
}

export class Simulation {
  readonly options: SimulationOptions
  readonly world: World
  readonly #plan: ReturnType<typeof planScenario>
  readonly #series: Sample[] = []
  readonly #deadlineMs: number
  #sampledBusyMs = 0
  #completed = 0

  constructor(options: Partial<SimulationOptions>, swarmClass: typeof Swarm = Swarm) {
    const resolved = resolveSimulationOptions(options)
    const random = new Random(resolved.seed)
    this.#plan = planScenario(resolved, random.fork('scenario'))
    this.options = { ...resolved, engine: { ...this.#plan.engine, ...resolved.engine } }
    const worldRandom = random.fork('world')
    for (let course = 0; course < resolved.course; course++) worldRandom.nextUint32()
    this.world = new World(this.options, worldRandom, resolved.isChecked ? allCheckers(this.options) : [], swarmClass)
    for (const checker of this.world.checkers) checker.begin?.(this.world)
    this.world.isMeasured = this.#plan.isMeasured
    for (const spec of this.#plan.peers) this.world.add(spec)
    const lastJoinMs = Math.max(...this.#plan.peers.map(({ joinMs }) => joinMs))
    this.#deadlineMs =
      resolved.deadlineMs > 0
        ? resolved.deadlineMs
        : 20 * this.#plan.boundMs + Math.max(lastJoinMs, this.#plan.faultsEndMs) + 120_000
    this.world.onCompleted = () => {
      this.#completed++
    }
    this.#plan.arrange(this.world)
    this.#sample()
  }

  get progress(): Progress {
    return { virtualMs: this.world.nowMs, completed: this.#completed, nodes: this.options.nodes, steps: this.world.steps }
  }

  /** Runs a slice of events; true when the simulation is over. Throws {@link SimulationFailure}. */
  advance(steps: number = SLICE_STEPS): boolean {
    try {
      const isDone = this.world.run(this.#isDone, this.#deadlineMs, steps)
      if (isDone) {
        for (const checker of this.world.checkers) checker.ended?.()
        return true
      }
    } catch (err) {
      throw this.#failure(err instanceof CheckFailure ? err.message : `the engine failed: ${(err as Error).message}`, false, err)
    }
    if (this.world.nowMs >= this.#deadlineMs) throw this.#failure(this.#describeStuck(), true)
    return false
  }

  #failure(what: string, isStuck: boolean, cause?: unknown): SimulationFailure {
    return new SimulationFailure(`${what} (at ${this.world.nowMs.toFixed(3)} ms)`, this.options, isStuck, cause)
  }

  run(): SimulationResult {
    while (!this.advance()) {
      // Each slice ends by itself; the world's deadline bounds the number of slices.
    }
    return this.result()
  }

  result(): SimulationResult {
    const { world, options } = this
    const plan = this.#plan
    const { pieceCount } = world.geometry
    const measured = world.peers.filter(peer => !peer.isSeeder && plan.isMeasured(peer) && peer.leftMs === undefined)
    const times = measured
      .flatMap(peer => (peer.completedMs === undefined ? [] : [peer.completedMs - peer.joinMs]))
      .sort((a, b) => a - b)
    const lastMs = measured.reduce((last, peer) => Math.max(last, peer.completedMs ?? world.nowMs), 0)
    const received = sum(world.peers, peer => peer.bytesReceived)
    const wasted = sum(world.peers, peer => peer.bytesWasted)
    let busyMs = 0
    let spanMs = 0
    for (const machine of new Set(measured.map(({ machine }) => machine))) {
      busyMs += machine.busyMs
      spanMs += lastMs - (machine.peers[0]?.joinMs ?? 0)
    }
    const seeder = world.peers[0] as SimPeer
    const racks = new Set(world.peers.flatMap(({ machine }) => machine.labels.rack ?? []))
    const p99Ms = percentile(times, 0.99)
    const maxMs = times.at(-1) ?? Number.POSITIVE_INFINITY
    return {
      scenario: options.scenario,
      nodes: options.nodes,
      pieces: pieceCount,
      pieceLength: options.pieceLength,
      seed: options.seed,
      boundMs: plan.boundMs,
      boundName: plan.boundName,
      measured: measured.length,
      completed: times.length,
      p50Ms: percentile(times, 0.5),
      p99Ms,
      maxMs,
      ratio: maxMs / plan.boundMs,
      p99Ratio: p99Ms / plan.boundMs,
      seederCopies: seeder.bytesSent / options.contentBytes,
      originCopies: options.originRate === 0 ? undefined : world.origin.bytesSent / options.contentBytes,
      wastedShare: received === 0 ? 0 : wasted / received,
      idleShare: spanMs === 0 ? 0 : Math.max(0, 1 - busyMs / spanMs),
      controlShare: received === 0 ? 0 : world.links.messageBytes / received,
      crossRackCopies: racks.size === 0 ? undefined : world.links.racks.bytes / options.contentBytes / racks.size,
      playback:
        world.playback === undefined
          ? undefined
          : {
              startMs: (world.playback.startedMs ?? Number.POSITIVE_INFINITY) - world.playback.askedMs,
              stalls: world.playback.stalls,
              stalledMs: world.playback.stalledMs
            },
      steps: world.steps,
      series: this.#series
    }
  }

  readonly #isDone = (): boolean => this.world.openLeechers === 0 && this.world.playback?.isOver !== false

  #sample(): void {
    const { world, options } = this
    const everyMs = this.#plan.boundMs / SAMPLES_PER_BOUND
    let pieces = 0
    for (const peer of world.peers) if (!peer.isSeeder) pieces += peer.verified.count
    let busyMs = 0
    for (const machine of world.machines.values()) busyMs += machine.busyMs
    this.#series.push({
      ms: world.nowMs,
      completed: this.#completed,
      copies: pieces / world.geometry.pieceCount,
      uplinkUse: world.nowMs === 0 ? 0 : (busyMs - this.#sampledBusyMs) / everyMs / (options.nodes + 1)
    })
    this.#sampledBusyMs = busyMs
    world.at(world.nowMs + everyMs, () => this.#sample())
  }

  #describeStuck(): string {
    const stuck = this.world.peers.filter(
      peer => peer.isUp && this.#plan.isMeasured(peer) && !peer.isSeeder && peer.completedMs === undefined
    )
    const [example] = stuck
    if (example === undefined) return `the run did not end within ${this.#deadlineMs} ms`
    const snapshot = example.swarm?.snapshot()
    return (
      `${stuck.length} leechers did not complete within ${Math.round(this.#deadlineMs)} ms; ` +
      `${example.key} has ${example.verified.count} of ${example.verified.size} pieces and says: ${snapshot?.waitingFor ?? 'nothing'}`
    )
  }
}

/** Runs one simulation to its end. Throws {@link SimulationFailure}. */
export function simulate(options: Partial<SimulationOptions>): SimulationResult {
  return new Simulation(options).run()
}

/** The command that repeats a run. */
export function commandOf(options: SimulationOptions): string {
  const { nodes, contentBytes, pieceLength, uplink, downlink, latencyMs, jitter, scenario, seed, engine } = options
  const parts = [
    `swarm simulate --scenario ${scenario} --seed ${seed} --nodes ${nodes} --size ${contentBytes}B --piece-length ${pieceLength}B`,
    `--uplink ${uplink}B/s${downlink === 0 ? '' : ` --downlink ${downlink}B/s`} --latency ${latencyMs}ms --jitter ${jitter}`,
    ...(options.seederUplink === 0 ? [] : [`--seeder-uplink ${options.seederUplink}B/s`]),
    ...(options.originRate === 0 ? [] : [`--origin-rate ${options.originRate}B/s`]),
    ...(options.links === 'simple' ? [] : [`--links ${options.links}`]),
    ...(options.misbehaving.length === 0 ? [] : [`--misbehaving ${formatMisbehaving(options.misbehaving)}`]),
    ...Object.entries(engine).map(([name, value]) => `--engine ${name}=${value}`),
    ...(options.isChecked ? [] : ['--no-check'])
  ]
  return parts.join(' ')
}

function percentile(sorted: readonly number[], share: number): number {
  if (sorted.length === 0) return Number.POSITIVE_INFINITY
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] as number
}

function sum(peers: readonly SimPeer[], of: (peer: SimPeer) => number): number {
  return peers.reduce((total, peer) => total + of(peer), 0)
}
