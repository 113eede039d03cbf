/**
 * Bounds of the HTTP server, and of the routes behind it.
 */

export const MAX_BODY_BYTES = 1024 * 1024
export const MAX_HEADER_BYTES = 16 * 1024
/** From the connection, or the first byte of a further request, to the end of its headers. */
export const HEADERS_TIMEOUT_MS = 5000
/** To receive a whole request that is no upload. */
export const REQUEST_TIMEOUT_MS = 60_000
export const KEEP_ALIVE_MS = 15_000
/** A client that takes no byte of an answer for this long is cut off. */
export const STALL_MS = 30_000
/** A client that sends no byte of an upload for this long is cut off. */
export const UPLOAD_STALL_MS = 60_000
