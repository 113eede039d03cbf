/**
 * How fast one neighbour drains what we send it, and how much may be under way to it. Pure rules over its
 * account.
 *
 * A congestion window per neighbour, as in BBR (Cardwell and others, ACM Queue 14, 2016): the rate at which
 * it acknowledges times the time that the pipe to it takes. Only a neighbour that is slower than our uplink
 * is bounded by it; the others are bounded by the uplink's window.
 */

import { DRAIN, UPLINK } from '../tunables.ts'
import type { UploadAccount } from './account.ts'
import type { Flight } from './uplink-model.ts'

/** Notes an acknowledgement in the account. Answers whether it came as soon as our own uplink explains. */
export function recordDrained(account: UploadAccount, flight: Flight, pieceMs: number, rttMs: number, nowMs: number): boolean {
  account.drainedBytes += flight.bytes
  account.drainedMs = nowMs
  const sample = (account.drainedBytes - flight.drainedBytes) / Math.max(nowMs - flight.drainedMs, 0.2)
  account.drainRate += sample > account.drainRate ? sample - account.drainRate : (sample - account.drainRate) / DRAIN.SAMPLES
  const explainedMs = 1.25 * rttMs + DRAIN.IN_TIME_FACTOR * (flight.ahead + 1) * pieceMs + DRAIN.IN_TIME_MS
  return nowMs - flight.startMs <= explainedMs
}

/** Pieces that may be on their way to the neighbour at once. */
export function windowOf({ isSlow, drainRate }: UploadAccount, rttMs: number, pieceBytes: number): number {
  if (drainRate === 0) return DRAIN.TRIAL_PIECES
  if (!isSlow) return Number.POSITIVE_INFINITY
  const pipeMs = Math.max(UPLINK.MIN_PIPE_MS, 1.25 * rttMs + UPLINK.RECEIVER_MS)
  return Math.floor((drainRate * pipeMs) / pieceBytes) + 1
}
