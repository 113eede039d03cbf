/**
 * A task with what only this run knows of it, and what follows from that alone.
 */

import type { GetStatus, Transfer, TransferSnapshot } from '../../node/types.ts'
import type { TaskRecord } from './task-store.ts'

export interface Entry {
  readonly record: TaskRecord
  transfer: Transfer | undefined
  /** Ends the opening of the transfer (finding, fetching the list, checking the disk). */
  opening: AbortController | undefined
  status: GetStatus | undefined
  /** Why the queue holds it back, in words. */
  heldBack: string | undefined
  /** The table's version when that was found; while it stays there is nothing new. */
  heldVersion?: number
  /** Totals of earlier transfers of this record in this and former runs. */
  base: { downloaded: number; uploaded: number; wasted: number }
  lastBytes: number
  lastMovedMs: number
  readers: number
}

export function newEntry(record: TaskRecord): Entry {
  return {
    record,
    transfer: undefined,
    opening: undefined,
    status: undefined,
    heldBack: undefined,
    base: { downloaded: record.bytesDownloaded, uploaded: record.bytesUploaded, wasted: record.bytesWasted },
    lastBytes: -1,
    lastMovedMs: performance.now(),
    readers: 0
  }
}

/** Takes the transfer's totals over into the record; gives them as they are. */
export function recordTotals({ record, base, transfer }: Entry): TransferSnapshot | undefined {
  const snapshot = transfer?.snapshot()
  if (snapshot === undefined) return undefined
  record.bytesDone = snapshot.bytesDone
  record.bytesDownloaded = base.downloaded + snapshot.bytesDownloaded
  record.bytesWasted = base.wasted + snapshot.bytesWasted
  const uploaded = base.uploaded + snapshot.bytesUploaded
  if (uploaded > record.bytesUploaded) record.lastUsedMs = Date.now()
  record.bytesUploaded = uploaded
  return snapshot
}

/** The transfer is about to end: the next one counts from here. */
export function absorbTotals(entry: Entry): void {
  if (recordTotals(entry) === undefined) return
  const { record } = entry
  entry.base = { downloaded: record.bytesDownloaded, uploaded: record.bytesUploaded, wasted: record.bytesWasted }
}

/** Whose turn is first: higher priority, then who came first. Orders are unique, so this is total. */
export function byTurn(
  a: { record: { priority: number; order: number } },
  b: { record: { priority: number; order: number } }
): number {
  return b.record.priority - a.record.priority || a.record.order - b.record.order
}

/** Disk that a record takes of the quota: all of what is active or complete, of others what they have. Seeds lie where they lay before. */
export function claimedBytes(record: TaskRecord): number {
  if (record.kind === 'seed' || record.state === 'evicted') return 0
  return record.state === 'active' || record.state === 'complete' ? (record.length ?? record.bytesDone) : record.bytesDone
}

export function isEvictable({ record, readers }: Entry): boolean {
  return record.kind === 'get' && record.state === 'complete' && record.removing === undefined && !record.pinned && readers === 0
}
