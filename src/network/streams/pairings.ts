/**
 * What we know of each peer and root: the link that stands, and attempts at one. Used by peer-streams.ts.
 */

import { encodeHex } from '../../util/bytes.ts'
import type { RootKey } from '../../wire/handshake.ts'
import type { PeerLink } from '../types.ts'
import type { StreamLink } from './peer-stream.ts'

export interface Pairing {
  readonly key: RootKey
  link: StreamLink | undefined
  /** Our attempt, shared by all who ask for it. */
  opening: Promise<PeerLink> | undefined
  /** Our `open` is sent and not answered. */
  openSent: boolean
  /** The peer's stream that we have answered and that is not confirmed. */
  answered: StreamLink | undefined
  /** Attempts that lost to the other side's stream. */
  readonly waiters: Set<(link: StreamLink) => void>
}

export class Pairings {
  readonly #byKey = new Map<string, Pairing>()

  /** The pairing with a peer for the content with this key digest, where there is one. */
  find(peer: string, digest: Uint8Array): Pairing | undefined {
    return this.#byKey.get(keyOf(peer, digest))
  }

  /** The same, made where there is none. */
  of(peer: string, key: RootKey): Pairing {
    const found = this.find(peer, key.digest)
    if (found !== undefined) return found
    const pairing = { key, link: undefined, opening: undefined, openSent: false, answered: undefined, waiters: new Set<never>() }
    this.keep(peer, pairing)
    return pairing
  }

  keep(peer: string, pairing: Pairing): void {
    this.#byKey.set(keyOf(peer, pairing.key.digest), pairing)
  }

  /** Forgets a pairing in which nothing is left. */
  tidy(peer: string, { digest }: RootKey): void {
    const pairing = this.find(peer, digest)
    if (pairing === undefined || pairing.link !== undefined || pairing.opening !== undefined || pairing.answered !== undefined)
      return
    this.#byKey.delete(keyOf(peer, digest))
  }
}

function keyOf(peer: string, digest: Uint8Array): string {
  return `${peer} ${encodeHex(digest)}`
}
