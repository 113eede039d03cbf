/**
 * Every error that crosses the public API, by who must act on it.
 *
 * Each class carries a stable `code`; {@link ERROR_TABLE} is the one place that maps a code to an exit code
 * and an HTTP status. A corrupt piece, a timeout or a full pipeline are values in the engine and never appear
 * here.
 */

export type SwarmErrorCode =
  | 'invalid_options'
  | 'invalid_manifest'
  | 'protocol_error'
  | 'no_peers'
  | 'stalled'
  | 'origin_failed'
  | 'store_error'
  | 'not_found'
  | 'range_not_satisfiable'
  | 'unauthorized'
  | 'forbidden'
  | 'conflict'
  | 'too_large'
  | 'too_many_requests'
  | 'unavailable'
  | 'aborted'
  | 'internal'

/** Exit code of the CLI and status of the HTTP API for each code. */
export const ERROR_TABLE: Readonly<Record<SwarmErrorCode, { exit: number; http: number }>> = {
  invalid_options: { exit: 2, http: 400 },
  invalid_manifest: { exit: 3, http: 422 },
  protocol_error: { exit: 70, http: 500 },
  no_peers: { exit: 4, http: 504 },
  stalled: { exit: 4, http: 504 },
  origin_failed: { exit: 4, http: 502 },
  store_error: { exit: 5, http: 500 },
  not_found: { exit: 1, http: 404 },
  range_not_satisfiable: { exit: 1, http: 416 },
  unauthorized: { exit: 2, http: 401 },
  forbidden: { exit: 2, http: 403 },
  conflict: { exit: 2, http: 409 },
  too_large: { exit: 2, http: 413 },
  too_many_requests: { exit: 4, http: 429 },
  unavailable: { exit: 4, http: 503 },
  aborted: { exit: 130, http: 500 },
  internal: { exit: 70, http: 500 }
}

export class SwarmError extends Error {
  readonly code: SwarmErrorCode
  /** Machine-readable facts that belong to the message (a path, an errno, a field). */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: SwarmErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.details = details
  }
}

/** The caller gave an option, argument or request that cannot be used. */
export class InvalidOptionsError extends SwarmError {
  constructor(message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super('invalid_options', message, details, cause)
  }
}

/**
 * A manifest, link or piece list is not well-formed. `what` is the fault, `where` the field (JSON path) or
 * byte offset.
 */
export class InvalidManifestError extends SwarmError {
  readonly what: string
  readonly where: string

  constructor(what: string, where: string, cause?: unknown) {
    super('invalid_manifest', `invalid manifest: ${what} (at ${where})`, { what, where }, cause)
    this.what = what
    this.where = where
  }
}

/** A peer broke the protocol. `reason` is sent to it before the stream ends; nobody else need act. */
export class ProtocolError extends SwarmError {
  readonly reason: string

  constructor(reason: string, cause?: unknown) {
    super('protocol_error', `protocol error: ${reason}`, { reason }, cause)
    this.reason = reason
  }
}

/** No peer with the content was found in the time allowed. Retry is safe. */
export class NoPeersError extends SwarmError {
  constructor(message: string, details: Record<string, unknown> = {}) {
    super('no_peers', message, details)
  }
}

/** Peers were there but no piece arrived in the time allowed. Retry is safe; verified pieces are kept. */
export class StalledError extends SwarmError {
  constructor(message: string, details: Record<string, unknown> = {}) {
    super('stalled', message, details)
  }
}

/** Why an origin (an HTTP(S) server that holds the content) is of no use any more. */
export type OriginFault =
  | 'changed' /** what it serves is not the content (any more) */
  | 'refused' /** it answers 401, 403, 404 or the like: the URL expired, or was never right */
  | 'unreachable' /** it does not answer, or only with failures, for a long time */
  | 'not_allowed' /** it leads to an address that this node may not ask */

/**
 * The content's origin cannot be used. `fault` says what is wrong; the message, what to do. Verified pieces
 * are kept.
 */
export class OriginError extends SwarmError {
  readonly fault: OriginFault

  constructor(fault: OriginFault, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super('origin_failed', message, { fault, ...details }, cause)
    this.fault = fault
  }
}

/** The file system refused: disk full, rights, a missing folder. Carries `path` and, where known, `errno`. */
export class StoreError extends SwarmError {
  readonly path: string
  readonly errno: string | undefined

  constructor(message: string, path: string, cause?: unknown, details: Record<string, unknown> = {}) {
    const errno = (cause as NodeErrno | undefined)?.code
    const text = errno === undefined ? `${message}: ${path}` : `${message}: ${path} (${errno})`
    super('store_error', text, { path, errno, ...details }, cause)
    this.path = path
    this.errno = errno
  }
}

/**
 * What is shared or was downloaded is not on disk any more as it was hashed. It is served again when its
 * bytes are back.
 */
export class ContentChangedError extends SwarmError {
  constructor(path: string, what = 'changed since it was hashed', cause?: unknown) {
    super('unavailable', `${what}: ${path}; it is served again when its bytes are back`, { path, content: 'changed' }, cause)
  }
}

interface NodeErrno {
  code?: string
}

export class NotFoundError extends SwarmError {
  constructor(message: string, details: Record<string, unknown> = {}) {
    super('not_found', message, details)
  }
}

export class RangeNotSatisfiableError extends SwarmError {
  constructor(message: string, details: Record<string, unknown> = {}) {
    super('range_not_satisfiable', message, details)
  }
}

/**
 * What only a daemon says to its clients: who may ask, what contradicts its state, what it cannot do just
 * now.
 */
export class RequestRefusedError extends SwarmError {
  constructor(
    code: 'unauthorized' | 'forbidden' | 'conflict' | 'too_large' | 'too_many_requests' | 'unavailable',
    message: string,
    details: Record<string, unknown> = {},
    cause?: unknown
  ) {
    super(code, message, details, cause)
  }
}

/**
 * Exit code for anything thrown: the table for our own errors, 130 for an abort, 70 (a bug of ours) for the
 * rest.
 */
export function exitCodeOf(err: unknown): number {
  if (err instanceof SwarmError) return ERROR_TABLE[err.code].exit
  if (err instanceof Error && err.name === 'AbortError') return ERROR_TABLE.aborted.exit
  return ERROR_TABLE.internal.exit
}

/** HTTP status for anything thrown. A full disk is 507, other store failures 500. */
export function httpStatusOf(err: unknown): number {
  if (err instanceof StoreError && (err.errno === 'ENOSPC' || err.errno === 'EDQUOT')) return 507
  if (err instanceof SwarmError) return ERROR_TABLE[err.code].http
  return 500
}
