/**
 * What a route says about itself (`config`), and what a request carries once the guard has let it in.
 */

import type { Caller, Scope } from '../daemon/access/caller.ts'
import type { AuditAction } from '../daemon/audit.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered to everybody. */
    isPublic?: boolean
    /** Answered also when all connections are taken. */
    isHealth?: boolean
    /** What a token must allow. @default 'admin' */
    scope?: Scope
    /**
     * What a token for certain contents may reach here: the content of `:root`, that of the task `:id`, or
     * what the handler checks or filters itself. @default nothing
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
