/**
 * Errors as the API shows them.
 */

import type { ErrorBody } from '../../api/schema.ts'
import { SwarmError } from '../../errors.ts'

/** Anything thrown in the one shape of the API. */
export function errorBody(err: unknown): ErrorBody {
  if (err instanceof SwarmError) return { code: err.code, message: err.message, details: { ...err.details } }
  return { code: 'internal', message: err instanceof Error ? err.message : String(err), details: {} }
}
