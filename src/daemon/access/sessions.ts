/**
 * Browsers that logged in, and codes for one login each.
 *
 * Invariants: a session is a random text, says nothing of the token, and ends after half a day, with its
 * token, or with the daemon; a code works once and for a minute. Both are bounded: the oldest gives way.
 * Called by access.ts.
 */

import { hashSecret, newSecret } from './secrets.ts'

export const SESSION_MS = 12 * 3600_000
const CODE_MS = 60_000
const MAX_ENTRIES = 1000

export class Sessions {
  readonly #sessions = new Expiring(SESSION_MS)
  readonly #codes = new Expiring(CODE_MS)

  /** A session for the holder of a token; what the cookie carries. */
  begin(tokenId: string, nowMs: number): string {
    return this.#sessions.add(tokenId, nowMs)
  }

  /** The token that a session was begun with. */
  tokenOf(session: string, nowMs: number): string | undefined {
    return this.#sessions.get(session, nowMs)
  }

  end(session: string): void {
    this.#sessions.delete(session)
  }

  newCode(tokenId: string, nowMs: number): string {
    return this.#codes.add(tokenId, nowMs)
  }

  /** The token that a code was made with; the code is used up. */
  useCode(code: string, nowMs: number): string | undefined {
    const tokenId = this.#codes.get(code, nowMs)
    this.#codes.delete(code)
    return tokenId
  }
}

/** Token ids by random texts, of which only the hash is kept. */
class Expiring {
  readonly #lifeMs: number
  readonly #byHash = new Map<string, { tokenId: string; endsMs: number }>()

  constructor(lifeMs: number) {
    this.#lifeMs = lifeMs
  }

  add(tokenId: string, nowMs: number): string {
    const text = newSecret()
    for (const [hash, { endsMs }] of this.#byHash) {
      // In order of their ends, for all live equally long.
      if (endsMs > nowMs && this.#byHash.size < MAX_ENTRIES) break
      this.#byHash.delete(hash)
    }
    this.#byHash.set(hashSecret(text), { tokenId, endsMs: nowMs + this.#lifeMs })
    return text
  }

  get(text: string, nowMs: number): string | undefined {
    const entry = this.#byHash.get(hashSecret(text))
    return entry !== undefined && entry.endsMs > nowMs ? entry.tokenId : undefined
  }

  delete(text: string): void {
    this.#byHash.delete(hashSecret(text))
  }
}
