/**
 * Swarms of real processes with limits drawn by a seed: how long each leecher takes, beside what its own
 * limit and the seeder's allow.
 */

import { Random } from '../../src/util/random.ts'
import { type Leecher, type RunOptions, runOnce, type Setting } from './swarm.ts'

const TARGET = 1.25
const BYTES = 4_000_000
export const MIXED_SIZES = [2, 4, 8, 16] as const
/** Least of what a limit may be; the most is none. */
const LEAST_LIMIT = 50_000
const MOST_LIMIT = 20_000_000
/** Of leechers and seeders that have no limit. */
const UNLIMITED_SHARE = 0.25
const MAX_JOIN_SECONDS = 5
const PAUSE = { afterSeconds: 0.5, seconds: 20 }

export interface MixedMember {
  readonly bytesPerSecond: number
  readonly joinsAfterSeconds: number
  readonly isStopped: boolean
  readonly seconds: number | undefined
  /**
   * What its own limit or the seeder's takes, or all without limits on this machine, and the pause on top.
   */
  readonly allowedSeconds: number
}

/** All that a world is drawn from. */
export interface MixedWorld {
  readonly seed: number
  readonly leechers: number
  /** All join at one moment; else apart. */
  readonly isTogether: boolean
}

export interface MixedResult {
  readonly world: MixedWorld
  readonly seederBytesPerSecond: number
  readonly members: readonly MixedMember[]
  /** Of the worst. */
  readonly ratio: number
  readonly target: number
  readonly ok: boolean
  readonly faults: readonly string[]
}

/** Draws a world, runs it once without limits, then with them. */
export async function measureMixed(world: MixedWorld, options: RunOptions): Promise<MixedResult> {
  const { seed, leechers, isTogether } = world
  const random = new Random(`${seed}/${leechers}/${isTogether}`)
  const seederBytesPerSecond = drawLimit(random, 1_000_000)
  const stoppedIndex = random.nextInt(leechers)
  const drawn = Array.from({ length: leechers }, (_, index) => ({
    bytesPerSecond: drawLimit(random, LEAST_LIMIT),
    joinsAfterSeconds: isTogether ? 0 : (random.nextInt(1000) / 1000) * MAX_JOIN_SECONDS,
    isStopped: index === stoppedIndex
  }))
  const plain: Setting = { content: 'file', bytes: BYTES, seeder: [], leechers: drawn.map(() => ({ args: [] })), neighbours: [] }
  const unlimited = await runOnce(plain, options)
  const leastSeconds = Math.max(...unlimited.seconds.map(value => value ?? Number.POSITIVE_INFINITY))
  const outcome = await runOnce(
    { ...plain, seeder: limitArgs('--upload-limit', seederBytesPerSecond), leechers: drawn.map(asLeecher) },
    options
  )
  const members = drawn.map((member, index) => {
    const limitSeconds = BYTES / Math.min(member.bytesPerSecond, seederBytesPerSecond)
    const pauseSeconds = member.isStopped ? PAUSE.seconds : 0
    const allowedSeconds = Math.max(limitSeconds, leastSeconds) + pauseSeconds
    return { ...member, seconds: outcome.seconds[index], allowedSeconds }
  })
  const ratio = Math.max(...members.map(({ seconds, allowedSeconds }) => (seconds ?? Number.POSITIVE_INFINITY) / allowedSeconds))
  return {
    world,
    seederBytesPerSecond,
    members,
    ratio,
    target: TARGET,
    ok: ratio <= TARGET && outcome.faults.length === 0,
    faults: outcome.faults
  }
}

/** Evenly over the magnitudes between `least` and {@link MOST_LIMIT}, or none (Infinity). */
function drawLimit(random: Random, least: number): number {
  const [isUnlimited, share] = [random.nextInt(1000) < UNLIMITED_SHARE * 1000, random.nextInt(1000) / 1000]
  return isUnlimited ? Number.POSITIVE_INFINITY : Math.round(least * (MOST_LIMIT / least) ** share)
}

function limitArgs(option: string, bytesPerSecond: number): string[] {
  return Number.isFinite(bytesPerSecond) ? [option, `${bytesPerSecond}`] : []
}

function asLeecher(member: { bytesPerSecond: number; joinsAfterSeconds: number; isStopped: boolean }): Leecher {
  const { bytesPerSecond, joinsAfterSeconds, isStopped } = member
  return {
    args: limitArgs('--download-limit', bytesPerSecond),
    joinsAfterSeconds,
    ...(isStopped ? { pause: PAUSE } : {})
  }
}
