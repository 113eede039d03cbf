/**
 * What a task is, as it is stored; and the record that begins with a request.
 */

import { randomUUID } from 'node:crypto'
import type { Manifest } from '../../content/manifest.ts'
import type { Fault } from '../fault.ts'
import type { TaskState } from './transitions.ts'

/** Bytes per second; 0 is no limit. Of the task alone; the limits of the daemon hold besides. */
interface TaskLimits {
  downloadBytesPerSecond: number
  uploadBytesPerSecond: number
}

interface OriginLimits {
  bytesPerSecond?: number
  /** Requests side by side to one origin, 1 to 16. */
  connections?: number
}

/** A task without what only a running transfer knows. */
export interface TaskRecord {
  readonly id: string
  /** seed: shared where it lies, never deleted by us. */
  readonly kind: 'get' | 'seed'
  readonly root: string
  name: string
  /** Other names that it was uploaded under. */
  aliases?: string[]
  /** The link that it came from; undefined when its manifest is stored. */
  link: string | undefined
  state: TaskState
  /** Order among equal priorities: smaller goes first. */
  order: number
  priority: number
  /** Never evicted. */
  pinned: boolean
  limits: TaskLimits
  /** What the caller asked for as output; undefined: the complete folder. */
  output: string | undefined
  only: string[] | undefined
  peers: string[]
  /** Origins that callers gave, besides those of manifest or link. */
  origins?: string[]
  originLimits?: OriginLimits
  /**
   * Whether private addresses may be asked for them: this user added the task, or the operator allows it to
   * all.
   */
  privateOrigins?: boolean
  force: boolean
  /** Where the content is once it was opened. */
  path: string | undefined
  length: number | undefined
  bytesDone: number
  bytesDownloaded: number
  bytesUploaded: number
  bytesWasted: number
  error: Fault | undefined
  /**
   * Its content is being deleted, to free the disk or with the task; a start after a crash goes on with it.
   */
  removing?: 'evict' | 'delete' | undefined
  createdMs: number
  startedMs: number | undefined
  finishedMs: number | undefined
  lastUsedMs: number
  /**
   * `Last-Modified` of the content, fixed when it was added so that it never changes while readers resume.
   */
  lastModifiedMs: number
}

/** A file or folder of this machine to hash and share where it lies. */
export interface SeedSource {
  seed: string
  name?: string
  pieceLength?: number
}

/** What a caller asks for, paths already checked. */
export interface NewTask {
  source: { link: string } | { manifest: Manifest } | SeedSource
  output?: string | undefined
  only?: string[] | undefined
  peers?: string[] | undefined
  origins?: string[] | undefined
  originLimits?: OriginLimits | undefined
  /** Whether origins at private addresses may be asked. */
  privateOrigins?: boolean | undefined
  force?: boolean | undefined
  priority?: number | undefined
  pinned?: boolean | undefined
  paused?: boolean | undefined
  limits?: Partial<TaskLimits> | undefined
}

/** What a caller changes; what is left out stays. */
export interface TaskChange {
  priority?: number
  /** Place among queued tasks of the same priority, 1 is first. */
  position?: number
  pinned?: boolean
  limits?: Partial<TaskLimits>
  /** Replace those before. */
  origins?: string[]
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
