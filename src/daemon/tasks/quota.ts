/**
 * Room for downloads under the disk quota: pure rules over records.
 *
 * Invariant: the content used longest ago goes first, and none that is pinned, being read, being deleted or
 * not complete.
 */

import { formatBytes } from '../../util/sizes.ts'
import type { TaskRecord } from './record.ts'

export interface Claimant {
  readonly record: Pick<TaskRecord, 'kind' | 'state' | 'length' | 'bytesDone' | 'pinned' | 'removing' | 'lastUsedMs' | 'order'>
  readonly readers: number
}

/**
 * Disk that a record takes of the quota: all of an active or complete content, of others their verified
 * bytes. Seeds lie where they lay before.
 */
export function claimedBytes(record: Claimant['record']): number {
  if (record.kind === 'seed' || record.state === 'evicted') return 0
  return record.state === 'active' || record.state === 'complete' ? (record.length ?? record.bytesDone) : record.bytesDone
}

export function isEvictable({ record, readers }: Claimant): boolean {
  return record.kind === 'get' && record.state === 'complete' && record.removing === undefined && !record.pinned && readers === 0
}

/** Contents that may go, in the order in which they would. */
export function evictionOrder<T extends Claimant>(all: Iterable<T>): T[] {
  return [...all].filter(isEvictable).sort((a, b) => a.record.lastUsedMs - b.record.lastUsedMs || a.record.order - b.record.order)
}

/**
 * fits: now. evict: after contents go, if they all can. waits: too little could go. never: more than the
 * whole quota.
 */
type RoomPlan = { kind: 'fits' } | { kind: 'evict' } | { kind: 'waits'; reason: string } | { kind: 'never'; reason: string }

interface RoomFacts {
  /** 0 is no quota. */
  quotaBytes: number
  /** What the content needs in all. */
  neededBytes: number
  /** Claimed by the other tasks. */
  otherBytes: number
  /** What can be had by evicting. */
  reclaimableBytes: number
}

export function planRoom({ quotaBytes, neededBytes, otherBytes, reclaimableBytes }: RoomFacts): RoomPlan {
  if (quotaBytes === 0) return { kind: 'fits' }
  if (neededBytes > quotaBytes)
    return { kind: 'never', reason: `${formatBytes(neededBytes)} never fit the disk quota of ${formatBytes(quotaBytes)}` }
  if (otherBytes + neededBytes <= quotaBytes) return { kind: 'fits' }
  const left = quotaBytes - otherBytes + reclaimableBytes
  if (neededBytes <= left) return { kind: 'evict' }
  const available = `${formatBytes(Math.max(0, left))} can be had of ${formatBytes(quotaBytes)}`
  return { kind: 'waits', reason: `disk quota: needs ${formatBytes(neededBytes)}, ${available}` }
}
