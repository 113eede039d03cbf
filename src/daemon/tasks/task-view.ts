/**
 * Tasks as the API shows them.
 */

import type { Task } from '../../api/schema.ts'
import { formatLink } from '../../content/link.ts'
import type { TransferSnapshot } from '../../node/types.ts'
import { unsignedLink } from '../unsigned.ts'
import { type Entry, recordTotals } from './entry.ts'
import type { TaskRecord } from './task-store.ts'

/** The task as the API shows it; `place` in the queue if it waits there. */
export function viewTask(entry: Entry, place: number | undefined): Task {
  const { record, transfer, status } = entry
  const snapshot = recordTotals(entry)
  const waitingFor = entry.heldBack ?? snapshot?.waitingFor ?? status?.text
  return {
    id: record.id,
    kind: record.kind,
    root: record.root,
    name: record.name,
    state: record.state,
    position: place ?? null,
    priority: record.priority,
    pinned: record.pinned,
    limits: record.limits,
    bytesTotal: snapshot?.bytesTotal ?? record.length ?? null,
    bytesDone: record.bytesDone,
    pieceCount: snapshot?.pieceCount ?? null,
    piecesDone: snapshot?.piecesDone ?? null,
    downloadRate: snapshot?.downloadRate ?? 0,
    uploadRate: snapshot?.uploadRate ?? 0,
    etaMs: snapshot?.etaMs ?? null,
    neighbours: snapshot?.neighbours ?? 0,
    bytesDownloaded: record.bytesDownloaded,
    bytesUploaded: record.bytesUploaded,
    bytesWasted: record.bytesWasted,
    origin: originView(snapshot),
    waitingFor: record.state === 'active' || record.state === 'queued' ? (waitingFor ?? null) : null,
    path: record.path ?? record.output ?? null,
    link: unsignedLink(transfer?.link() ?? record.link ?? linkOf(record)),
    url: urlOf(record.root, record.name),
    error: record.error ?? null,
    createdMs: record.createdMs,
    startedMs: record.startedMs ?? null,
    finishedMs: record.finishedMs ?? null,
    lastUsedMs: record.lastUsedMs
  }
}

function originView(snapshot: TransferSnapshot | undefined): Task['origin'] {
  if (snapshot?.origin === undefined) return null
  return { ...snapshot.origin, urls: snapshot.origin.urls.map(({ url, fault }) => ({ url, fault: fault ?? null })) }
}

/** Where the gateway serves it. */
export function urlOf(root: string, name: string): string {
  return `/files/${root}/${encodeURIComponent(name)}`
}

function linkOf(record: TaskRecord): string {
  return formatLink({ root: record.root, name: record.name, ...(record.length === undefined ? {} : { length: record.length }) })
}
