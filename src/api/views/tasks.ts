/**
 * Tasks as the API shows them. Pure; what is not known is null.
 */

import type { TaskStatus } from '../../daemon/tasks/task.ts'
import type { TransferSnapshot } from '../../node/types.ts'
import type { Task } from '../schema/tasks.ts'

/** One state of a task goes to all who watch. */
const views = new WeakMap<TaskStatus, Task>()

export function viewTask(status: TaskStatus): Task {
  let view = views.get(status)
  if (view === undefined) {
    view = makeView(status)
    views.set(status, view)
  }
  return view
}

function makeView({ record, position, snapshot, link, path, waitingFor }: TaskStatus): Task {
  return {
    id: record.id,
    kind: record.kind,
    root: record.root,
    name: record.name,
    state: record.state,
    position: position ?? null,
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
    waitingFor: waitingFor ?? null,
    path,
    link,
    url: `/files/${record.root}/${encodeURIComponent(record.name)}`,
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
