/**
 * How a node uses origins: what programs and the command line may set.
 */

import { MAX_ORIGINS } from '../content/hints.ts'
import { InvalidOptionsError } from '../errors.ts'
import { defaultOf } from '../options/kinds.ts'

/** How this node uses origins: HTTP(S) servers that hold a content. */
export interface OriginSettings {
  /** Bytes per second taken from the origins of one content; 0: no limit. @default 0 */
  bytesPerSecond: number
  /** Requests side by side to one origin. 1..16. @default 4 */
  connections: number
  /** Whether private, loopback and link-local addresses may be asked. @default true */
  allowPrivate: boolean
  /**
   * Asked for a new URL when an origin refuses one: a presigned URL expired half way. `why` is the refusal in
   * words. Undefined, or the same URL again: there is none, and the origin is given up.
   */
  freshUrl: ((url: string, why: string) => Promise<string | undefined>) | undefined
}

export interface OriginOptions extends OriginSettings {
  /** A request without a byte for this long has failed, in ms. @default 15000 */
  stallTimeoutMs: number
  /** An origin that gives nothing but failures for this long is given up, in ms. @default 30000 */
  giveUpMs: number
}

export const DEFAULT_ORIGIN_OPTIONS: OriginOptions = {
  bytesPerSecond: 0,
  connections: defaultOf('origin-connections'),
  allowPrivate: true,
  stallTimeoutMs: 15_000,
  giveUpMs: 30_000,
  freshUrl: undefined
}

/** Throws `InvalidOptionsError` for what is no http(s) URL. */
export function checkOrigins(urls: readonly string[]): void {
  for (const url of urls) {
    const protocol = URL.parse(url)?.protocol
    if (protocol !== 'http:' && protocol !== 'https:')
      throw new InvalidOptionsError('an origin is no http(s) URL', { field: 'origins' })
  }
  if (urls.length > MAX_ORIGINS) throw new InvalidOptionsError(`more than ${MAX_ORIGINS} origins`, { field: 'origins' })
}
