/**
 * What misbehaving peers cost the honest ones: the same world, once with them and once with nobody in their
 * place. Both worlds draw the same links, times of joining and engines for the honest peers.
 */

import { isAnyHostile } from './misbehaving.ts'
import type { SimulationOptions } from './options.ts'
import type { SimPeer } from './peer.ts'
import { Simulation, SimulationFailure, type SimulationResult } from './run.ts'

/** One honest peer in both worlds; times from its joining to its last piece, ms. */
export interface Cost {
  readonly peer: string
  readonly content: number
  /** The longer of two courses of the world: a single one may be lucky. */
  readonly aloneMs: number
  /** Infinity: it did not complete before the deadline. */
  readonly besideMs: number
  readonly ratio: number
}

export interface Comparison {
  readonly alone: SimulationResult
  /** Where some never completed, as far as it came. */
  readonly beside: SimulationResult
  /** Highest ratio first. */
  readonly costs: readonly Cost[]
  readonly worst: Cost
  readonly medianRatio: number
  /** The most that the ratio should be. */
  readonly allowedRatio: number
}

/** What honest peers may take, in times of what they take alone. */
export const ALLOWED_BESIDE_SLOW = 1.25
export const ALLOWED_BESIDE_HOSTILE = 2
/** After so many times as long as alone, a peer that has not completed counts as one that never will. */
const PATIENCE = 100
const LEAST_PATIENCE_MS = 10_000
/**
 * Whatever a peer took alone, so much more is nothing to complain of: a search or a dial that took another
 * turn.
 */
const SLACK_MS = 1000

/**
 * Throws {@link SimulationFailure} where a run went wrong otherwise than by taking too long beside the
 * misbehaving.
 */
export function compareBeside(options: Partial<SimulationOptions>, patience: number = PATIENCE): Comparison {
  const misbehaving = options.misbehaving ?? []
  const withNobody = new Simulation({ ...options, misbehaving: [], isChecked: false })
  const alone = withNobody.run()
  const onOtherCourse = new Simulation({ ...options, misbehaving: [], course: (options.course ?? 0) + 1, isChecked: false })
  onOtherCourse.run()
  const deadlineMs = withNobody.world.nowMs * patience + LEAST_PATIENCE_MS
  const withThem = new Simulation({ ...options, deadlineMs })
  runUntilStuck(withThem)
  const costs: Cost[] = []
  for (const peer of withNobody.world.peers) {
    if (peer.isSeeder || !withNobody.world.isMeasured(peer) || peer.completedMs === undefined) continue
    const { content, key } = peer
    const aloneMs = Math.max(timeOf(peer), timeOf(onOtherCourse.world.peerOf(content, key)))
    const besideMs = timeOf(withThem.world.peerOf(content, key))
    costs.push({ peer: key, content, aloneMs, besideMs, ratio: besideMs / aloneMs })
  }
  costs.sort((a, b) => b.ratio - a.ratio)
  const [worst] = costs
  if (worst === undefined) throw new SimulationFailure('nobody completed', withNobody.options, true)
  const medianRatio = (costs[costs.length >> 1] as Cost).ratio
  const allowedRatio = isAnyHostile(misbehaving) ? ALLOWED_BESIDE_HOSTILE : ALLOWED_BESIDE_SLOW
  return { alone, beside: withThem.result(), costs, worst, medianRatio, allowedRatio }
}

/** Honest peers that took longer than is allowed. */
export function findLate({ costs, allowedRatio }: Comparison): Cost[] {
  return costs.filter(cost => isLate(cost, allowedRatio))
}

function isLate({ aloneMs, besideMs }: Cost, allowedRatio: number): boolean {
  return besideMs > allowedRatio * aloneMs + SLACK_MS
}

/**
 * Courses of a world in which a peer has to be late, of {@link MOST_COURSES}, before it counts: in any single
 * one somebody has bad luck.
 */
const LATE_COURSES = 2
const MOST_COURSES = 3

/**
 * Honest peers that take longer than is allowed in two of three courses of the world; the longest that they
 * took alone in any of them counts. A world without late peers in its first course has no others. `first` is
 * that one's comparison.
 */
export function compareCourses(options: Partial<SimulationOptions>, patience: number): { first: Comparison; late: Cost[] } {
  const first = compareBeside(options, patience)
  if (findLate(first).length === 0) return { first, late: [] }
  const comparisons = [first]
  while (comparisons.length < MOST_COURSES) comparisons.push(compareBeside({ ...options, course: comparisons.length }, patience))
  const late = first.costs.flatMap(({ peer, content }) => {
    const costs = comparisons.flatMap(each => each.costs.filter(cost => cost.peer === peer && cost.content === content))
    const aloneMs = Math.max(...costs.map(cost => cost.aloneMs))
    const besideMs = costs.map(cost => cost.besideMs).sort((a, b) => b - a)[LATE_COURSES - 1] as number
    const cost = { peer, content, aloneMs, besideMs, ratio: besideMs / aloneMs }
    return isLate(cost, first.allowedRatio) ? cost : []
  })
  return { first, late }
}

/** Infinity: never. */
function timeOf(peer: SimPeer | undefined): number {
  return peer?.completedMs === undefined ? Number.POSITIVE_INFINITY : peer.completedMs - peer.joinMs
}

function runUntilStuck(simulation: Simulation): void {
  try {
    simulation.run()
  } catch (err) {
    if (!(err instanceof SimulationFailure && err.isStuck)) throw err
  }
}
