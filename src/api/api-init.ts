/**
 * What the routes of the API are given.
 */

import type { Manifest } from '../content/manifest.ts'
import type { Access } from '../daemon/access/access.ts'
import type { FolderScanner } from '../daemon/folders.ts'
import type { LimitBoard } from '../daemon/limits.ts'
import type { DaemonMetrics } from '../daemon/metrics.ts'
import type { DaemonOptions } from '../daemon/options.ts'
import type { TaskQueue } from '../daemon/tasks/queue.ts'
import type { Uploads } from '../daemon/uploads/uploads.ts'
import type { SwarmNode } from '../node/types.ts'

export interface ApiInit {
  version: string
  startedMs: number
  options: DaemonOptions
  node: SwarmNode
  queue: TaskQueue
  limits: LimitBoard
  scanner: FolderScanner
  uploads: Uploads
  metrics: DaemonMetrics
  access: Access
  /** Accepts bytes or text from outside. */
  parseManifest: (source: string | Uint8Array) => Manifest
  isStopping: () => boolean
  /** What the operator should know of this run: what a damaged task store cost. */
  notices: readonly string[]
}
