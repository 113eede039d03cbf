/**
 * What a caller asks the queue for, and the record that begins with it.
 */

import { randomUUID } from 'node:crypto'
import type { AddTask, TaskLimits } from '../../api/schema.ts'
import { isLink, parseLink } from '../../content/link.ts'
import type { Manifest } from '../../content/manifest.ts'
import { InvalidOptionsError } from '../../errors.ts'
import type { TaskRecord } from './task-store.ts'

/** What a caller asks for, paths already checked. */
export interface NewTask {
  source: { link: string } | { manifest: Manifest } | { seed: string; name?: string; pieceLength?: number }
  output?: string | undefined
  only?: string[] | undefined
  peers?: string[] | undefined
  origins?: string[] | undefined
  originLimits?: AddTask['originLimits'] | undefined
  /** Whether origins at private addresses may be asked. */
  privateOrigins?: boolean | undefined
  force?: boolean | undefined
  priority?: number | undefined
  pinned?: boolean | undefined
  paused?: boolean | undefined
  limits?: Partial<TaskLimits> | undefined
}

/** The record of a task that is asked for now. */
export function newRecord(
  request: NewTask,
  facts: Pick<TaskRecord, 'kind' | 'root' | 'name' | 'link' | 'length' | 'state' | 'order'>
): TaskRecord {
  const nowMs = Date.now()
  return {
    id: randomUUID(),
    ...facts,
    priority: request.priority ?? 0,
    pinned: request.pinned ?? false,
    limits: { downloadBytesPerSecond: 0, uploadBytesPerSecond: 0, ...request.limits },
    output: request.output,
    only: request.only,
    peers: request.peers ?? [],
    origins: request.origins ?? [],
    ...(request.originLimits === undefined ? {} : { originLimits: request.originLimits }),
    privateOrigins: request.privateOrigins === true,
    force: request.force ?? false,
    path: undefined,
    bytesDone: 0,
    bytesDownloaded: 0,
    bytesUploaded: 0,
    bytesWasted: 0,
    error: undefined,
    createdMs: nowMs,
    startedMs: undefined,
    finishedMs: undefined,
    lastUsedMs: nowMs,
    lastModifiedMs: nowMs
  }
}

/** Reads a `source` of the API that is a link; anything else is a caller's mistake. */
export function checkLink(text: string): string {
  if (!isLink(text)) throw new InvalidOptionsError('source is neither a swarm: link nor an http(s) URL', { field: 'source' })
  parseLink(text)
  return text
}
