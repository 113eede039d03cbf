/**
 * An error as data: kept with a task, and answered by the API in this one shape.
 */

import { SwarmError } from '../errors.ts'

export interface Fault {
  /** Stable name of the error. */
  code: string
  /** What happened, for people. */
  message: string
  /** Facts for programs: a path, a field, an errno. */
  details: Record<string, unknown>
}

export function faultOf(err: unknown): Fault {
  if (err instanceof SwarmError) return { code: err.code, message: err.message, details: { ...err.details } }
  return { code: 'internal', message: err instanceof Error ? err.message : String(err), details: {} }
}
