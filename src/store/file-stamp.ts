/**
 * Noticing that a file changed without reading it: size, times and inode, as git's index does it.
 *
 * A stamp proves "unchanged since" only when the file was quiet for longer than its file system's clock tick
 * when the stamp was taken: a change within the same tick would leave the same times. `isSettled` says so;
 * callers must ask it.
 */

import type { BigIntStats } from 'node:fs'

export interface Stamp {
  size: bigint
  mtimeNs: bigint
  ctimeNs: bigint
  inode: bigint
}

/**
 * Clock ticks of common kernels are 1 to 10 ms; file systems with whole seconds (FAT: two) show it by their
 * zeros.
 */
const FINE_TICK_NS = 50_000_000n
const COARSE_TICK_NS = 2_000_000_000n

export function stampOf(stats: Pick<BigIntStats, 'size' | 'mtimeNs' | 'ctimeNs' | 'ino'>): Stamp {
  return { size: stats.size, mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs, inode: stats.ino }
}

export function isSameStamp(a: Stamp, b: Stamp): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.inode === b.inode
}

/** One line that differs whenever the stamp does. */
export function stampText(stamp: Stamp): string {
  return `${stamp.size} ${stamp.mtimeNs} ${stamp.ctimeNs} ${stamp.inode}`
}

function tickNs(timeNs: bigint): bigint {
  return timeNs % 1_000_000_000n === 0n ? COARSE_TICK_NS : FINE_TICK_NS
}

/**
 * Whether a change after `nowMs` would show against a time of `timeNs`. A time in the future never settles.
 */
export function isSettled(timeNs: bigint, nowMs: number): boolean {
  return BigInt(Math.floor(nowMs)) * 1_000_000n - timeNs > tickNs(timeNs)
}

/**
 * How long to wait until the file's last change is distinguishable from a later one, in milliseconds; at most
 * two seconds.
 */
export function settleMs(timeNs: bigint, nowMs: number): number {
  if (isSettled(timeNs, nowMs)) return 0
  const waitNs = timeNs + tickNs(timeNs) - BigInt(Math.floor(nowMs)) * 1_000_000n
  const bounded = waitNs > COARSE_TICK_NS ? 0n : waitNs
  return Number(bounded / 1_000_000n) + 1
}
