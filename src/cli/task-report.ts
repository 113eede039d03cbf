/**
 * How a daemon's task, and what it hashes, look on a terminal and in JSON. Callers: status, daemon-tasks.
 */

import type { Hashing, Task } from '../api/schema/tasks.ts'
import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { percent } from './hashing.ts'
import { bar } from './ui.ts'

/** One line, and a second when it waits for something or failed. */
export function taskLines(task: Task): string[] {
  const total = task.bytesTotal ?? 0
  const share = task.state === 'complete' ? 1 : total === 0 ? 0 : task.bytesDone / total
  const rates = [
    task.downloadRate > 0 ? `down ${formatRate(task.downloadRate)}` : '',
    task.uploadRate > 0 ? `up ${formatRate(task.uploadRate)}` : '',
    `${task.neighbours} peer${task.neighbours === 1 ? '' : 's'}`,
    task.etaMs === null ? '' : `ETA ${formatDuration(task.etaMs)}`
  ].filter(text => text !== '')
  const size = task.bytesTotal === null ? 'size unknown' : `${formatBytes(task.bytesDone)} of ${formatBytes(total)}`
  const place = task.state === 'queued' && task.position !== null ? `queued ${task.position}` : task.state
  const lines = [
    `${place.padEnd(9)} ${bar(share, 16)} ${percent(task.bytesDone, total).padStart(6)}  ${task.name}  ${size}  ${rates.join('  ')}`
  ]
  if (task.waitingFor !== null) lines.push(`          waiting: ${task.waitingFor}`)
  if (task.error !== null) lines.push(`          ${task.error.message}`)
  return lines
}

/** What is being hashed to become a task, in the same columns. */
export function hashingLine({ path, bytesDone, bytesTotal }: Hashing): string {
  const share = bytesTotal === 0 ? 1 : bytesDone / bytesTotal
  return `hashing   ${bar(share, 16)} ${percent(bytesDone, bytesTotal).padStart(6)}  ${path}  ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`
}

/** The fields of a `progress` or `task` event. */
export function taskFields(task: Task): object {
  return {
    phase: task.state,
    name: task.name,
    root: task.root,
    path: task.path,
    bytesDone: task.bytesDone,
    bytesTotal: task.bytesTotal,
    piecesDone: task.piecesDone,
    pieceCount: task.pieceCount,
    downloadBytesPerSecond: Math.round(task.downloadRate),
    uploadBytesPerSecond: Math.round(task.uploadRate),
    etaMs: task.etaMs === null ? null : Math.round(task.etaMs),
    neighbours: task.neighbours,
    waitingFor: task.waitingFor,
    bytesDownloaded: task.bytesDownloaded,
    bytesUploaded: task.bytesUploaded,
    bytesWasted: task.bytesWasted
  }
}
