/**
 * What we know of each peer and root: the peer stream that stands, and attempts at one. Used by
 * peer-streams.ts.
 */

import { encodeHex } from '../../util/bytes.ts'
import type { RootKey } from '../../wire/handshake.ts'
import type { PeerStream } from '../types.ts'
import type { Libp2pPeerStream } from './peer-stream.ts'

export interface Pairing {
  readonly key: RootKey
  peerStream: Libp2pPeerStream | undefined
  /** Our attempt, shared by all who ask for it. */
  opening: Promise<PeerStream> | undefined
  /** Our `open` is sent and not answered. */
  openSent: boolean
  /** The peer's stream that we have answered and that is not confirmed. */
  answered: Libp2pPeerStream | undefined
  /** Attempts that lost to the other side's stream. */
  readonly waiters: Set<(peerStream: Libp2pPeerStream) => void>
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
    const pairing = {
      key,
      peerStream: undefined,
      opening: undefined,
      openSent: false,
      answered: undefined,
      waiters: new Set<never>()
    }
    this.keep(peer, pairing)
    return pairing
  }

  keep(peer: string, pairing: Pairing): void {
    this.#byKey.set(keyOf(peer, pairing.key.digest), pairing)
  }

  /** Forgets a pairing in which nothing is left. */
  tidy(peer: string, { digest }: RootKey): void {
    const pairing = this.find(peer, digest)
    if (
      pairing === undefined ||
      pairing.peerStream !== undefined ||
      pairing.opening !== undefined ||
      pairing.answered !== undefined
    )
      return
    this.#byKey.delete(keyOf(peer, digest))
  }
}

function keyOf(peer: string, digest: Uint8Array): string {
  return `${peer} ${encodeHex(digest)}`
}
