/**
 * What the routes of all areas share: what they are given, pieces of schemas, and what a route says about who may call it.
 */

import { Type } from 'typebox'
import type { Manifest } from '../../content/manifest.ts'
import type { SwarmNode } from '../../node/types.ts'
import type { Access } from '../access/access.ts'
import type { Caller, Scope } from '../access/caller.ts'
import type { AuditAction } from '../audit.ts'
import type { FolderScanner } from '../folders.ts'
import type { LimitBoard } from '../limits.ts'
import type { DaemonMetrics } from '../metrics.ts'
import type { DaemonOptions } from '../options.ts'
import { ErrorBody } from '../schema.ts'
import type { TaskQueue } from '../task-queue.ts'
import type { GatewayMeter } from './gateway.ts'

export interface RoutesInit {
  version: string
  startedMs: number
  options: DaemonOptions
  node: SwarmNode
  queue: TaskQueue
  limits: LimitBoard
  scanner: FolderScanner
  metrics: DaemonMetrics
  meter: GatewayMeter
  access: Access
  /** Accepts bytes or text from outside. */
  parseManifest: (source: string | Uint8Array) => Manifest
  isStopping: () => boolean
  /** What the operator should know of this run: what a damaged task store cost. */
  notices: readonly string[]
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered to everybody. */
    isPublic?: boolean
    /** Answered also when all connections are taken. */
    isHealth?: boolean
    /** What a token must allow. @default 'admin' */
    scope?: Scope
    /**
     * What a token for certain contents may reach here: the content of `:root`, that of the task `:id`, or what the handler checks or
     * filters itself. @default nothing
     */
    reach?: 'root' | 'task' | 'handler'
    /** What the audit log calls it; without, only refusals are logged. */
    audit?: AuditAction
    /** A signed address is enough. */
    takesSignature?: boolean
    /** Its body may take as long as it keeps coming. */
    isUpload?: boolean
  }
  interface FastifyRequest {
    caller: Caller
    /** What a handler adds to the line of the audit log. */
    audited: { target?: string; bytes?: number } | undefined
  }
}

export const Id = Type.Object({ id: Type.String({ maxLength: 64 }) })
export const Empty = Type.Null({ description: 'Nothing' })
export const Bytes = Type.Unsafe<unknown>({ type: 'string', format: 'binary' })
export const replies = <T extends Record<number, Type.TSchema>>(good: T) => ({ ...good, '4xx': ErrorBody, '5xx': ErrorBody })
