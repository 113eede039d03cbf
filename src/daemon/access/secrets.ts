/**
 * Secrets: making them, comparing them, keeping their hashes.
 *
 * Those that we make have 256 bits, so a plain SHA-256 of them can be kept and nobody guesses one.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** By which a token of ours is known, also to programs that look for leaked ones. */
const TOKEN_PREFIX = 'swarm_'

export function newToken(): string {
  return TOKEN_PREFIX + newSecret()
}

export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** In constant time. */
export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}
