/**
 * A task with what only this run knows of it, and what follows from that alone.
 */

import { formatLink } from '../../content/link.ts'
import type { GetStatus, Transfer, TransferSnapshot } from '../../node/types.ts'
import { unsignedLink } from '../unsigned.ts'
import type { TaskRecord } from './record.ts'

export interface Task {
  readonly record: TaskRecord
  transfer: Transfer | undefined
  /** Ends the opening of the transfer (finding, fetching the list, checking the disk). */
  opening: AbortController | undefined
  status: GetStatus | undefined
  /** Why the queue holds it back, in words. */
  heldBack: string | undefined
  /** Totals of earlier transfers of this record in this and former runs. */
  base: { downloaded: number; uploaded: number; wasted: number }
  lastBytes: number
  lastMovedMs: number
  readers: number
}

/** A task as it stands at a moment, for those who ask. */
export interface TaskStatus {
  readonly id: string
  readonly root: string
  readonly state: TaskRecord['state']
  /** Where the content is, or will be. */
  readonly path: string | null
  readonly record: Readonly<TaskRecord>
  /** Place in the queue, 1 is next; undefined when it does not wait there. */
  readonly position: number | undefined
  /** Of its transfer; undefined while there is none. */
  readonly snapshot: TransferSnapshot | undefined
  /** With the present addresses of this node, without what signs its origins. */
  readonly link: string
  /** Why nothing moves, in words. */
  readonly waitingFor: string | undefined
}

export function newTask(record: TaskRecord): Task {
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

export function statusOf(task: Task, position: number | undefined): TaskStatus {
  const { record, transfer, status, heldBack } = task
  const snapshot = recordTotals(task)
  const isMoving = record.state === 'active' || record.state === 'queued'
  return {
    id: record.id,
    root: record.root,
    state: record.state,
    path: record.path ?? record.output ?? null,
    record: { ...record },
    position,
    snapshot,
    link: unsignedLink(transfer?.link() ?? record.link ?? plainLink(record)),
    waitingFor: isMoving ? (heldBack ?? snapshot?.waitingFor ?? status?.text) : undefined
  }
}

/** Takes the transfer's totals over into the record; gives them as they are. */
export function recordTotals({ record, base, transfer }: Task): TransferSnapshot | undefined {
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
export function absorbTotals(task: Task): void {
  if (recordTotals(task) === undefined) return
  const { record } = task
  task.base = { downloaded: record.bytesDownloaded, uploaded: record.bytesUploaded, wasted: record.bytesWasted }
}

/** Leaves the swarm; what is verified stays on disk. */
export async function closeTransfer(task: Task): Promise<void> {
  task.opening?.abort()
  absorbTotals(task)
  const { transfer } = task
  task.transfer = undefined
  await transfer?.close()
}

/** Whether the task failed because of what is on disk, so that it comes back with its bytes. */
export function waitsForBytes({ record }: Task): boolean {
  if (record.state !== 'failed' || record.path === undefined) return false
  return (record.kind === 'seed' || record.finishedMs !== undefined) && record.error?.details.content === 'changed'
}

function plainLink({ root, name, length }: TaskRecord): string {
  return formatLink({ root, name, ...(length === undefined ? {} : { length }) })
}
