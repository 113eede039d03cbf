/**
 * How long to wait: for a piece, for a sender that has proved nothing yet, for offers. Pure rules; all times
 * in ms.
 *
 * `typicalMs` is what pieces usually take from request to arrival, 0 while none has come. `firstPieceMs` is
 * what a piece takes on the slowest link that we plan for. `drainMs` is what our downlink needs for all that
 * is pending, at the best rate of late, 0 while unknown: pieces that stand in our own downlink are not their
 * senders' fault, and asking for them again makes it longer.
 */

import type { EngineOptions } from '../options.ts'
import { PATIENCE } from '../tunables.ts'
import type { DownloadAccount } from './account.ts'

export interface Pace {
  readonly typicalMs: number
  readonly firstPieceMs: number
  readonly drainMs: number
}

/**
 * For so long a request to a neighbour that never delivered keeps us from taking its piece, or others,
 * elsewhere.
 */
export function trialMs(rttMs: number | undefined, { typicalMs }: Pace): number {
  return Math.max(PATIENCE.TRIAL_MS + PATIENCE.TRIAL_RTTS * (rttMs ?? 0), PATIENCE.LATE_FACTOR * typicalMs)
}

/** A piece is late after this long: a second neighbour may be asked, or another's offer taken. */
export function lateMs({ serviceMs }: DownloadAccount, { typicalMs, firstPieceMs, drainMs }: Pace): number {
  const leastMs = PATIENCE.DRAIN_FACTOR * drainMs
  return serviceMs === 0
    ? Math.max(PATIENCE.FIRST_LATE_MS, PATIENCE.FIRST_LATE_FACTOR * firstPieceMs, 2 * PATIENCE.LATE_FACTOR * typicalMs, leastMs)
    : Math.max(PATIENCE.MIN_LATE_MS, PATIENCE.LATE_FACTOR * Math.max(serviceMs, typicalMs), leastMs)
}

/** The same when everything missing is on its way. */
export function endgameLateMs({ typicalMs, drainMs }: Pace): number {
  return Math.max(PATIENCE.MIN_ENDGAME_LATE_MS, PATIENCE.ENDGAME_LATE_FACTOR * typicalMs, PATIENCE.DRAIN_FACTOR * drainMs)
}

/**
 * The sender is given up after this long. Before anything was delivered twice as long after each time that
 * was too short: on links slower than we plan for all would else give up what is half sent, and have the next
 * piece sent in vain.
 */
export function timeoutMs(
  { serviceMs, timeoutsInRow }: DownloadAccount,
  { typicalMs, drainMs }: Pace,
  { firstRequestTimeoutMs, maxRequestTimeoutMs }: EngineOptions
): number {
  const leastMs = 2 * PATIENCE.DRAIN_FACTOR * drainMs
  if (serviceMs > 0) {
    return Math.min(maxRequestTimeoutMs, Math.max(PATIENCE.MIN_TIMEOUT_MS, PATIENCE.TIMEOUT_FACTOR * serviceMs, leastMs))
  }
  const usualMs = typicalMs > 0 ? 2 * PATIENCE.TIMEOUT_FACTOR * typicalMs : firstRequestTimeoutMs * 2 ** timeoutsInRow
  const patienceMs = Math.max(usualMs, leastMs)
  return Math.max(firstRequestTimeoutMs, Math.min(maxRequestTimeoutMs, patienceMs))
}

/**
 * How long to wait for offers with nothing on its way. Before the first piece longer: a crowd's first pieces
 * double their number in some times what a piece takes, and a request to the seeder meanwhile makes it repeat
 * itself.
 */
export function starvedMs(neighbours: number, { typicalMs, firstPieceMs }: Pace, { starvedMs }: EngineOptions): number {
  if (typicalMs > 0) return Math.max(starvedMs, PATIENCE.STARVED_FACTOR * typicalMs)
  const doublings = 32 - Math.clz32(neighbours)
  return Math.max(2 * starvedMs, PATIENCE.FIRST_PIECES_PER_DOUBLING * firstPieceMs * doublings)
}
