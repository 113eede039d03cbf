/**
 * Where peers can be reached, as far as we were told. Bounded: the oldest entry makes room.
 *
 * Addresses come from strangers, so they are only ever dialled, never trusted: the connection proves the peer
 * id.
 */

const MAX_PEERS = 2000
const MAX_ADDRESSES_PER_PEER = 8

export class AddressBook {
  readonly #addresses = new Map<string, string[]>()

  /** Adds addresses, newest first; drops a trailing /p2p/<id>. */
  record(peer: string, addresses: readonly string[]): void {
    const fresh = addresses.map(address => address.replace(/\/p2p\/[^/]+$/, ''))
    const known = this.#addresses.get(peer) ?? []
    this.#addresses.delete(peer)
    this.#addresses.set(peer, [...new Set([...fresh, ...known])].slice(0, MAX_ADDRESSES_PER_PEER))
    if (this.#addresses.size > MAX_PEERS) {
      const oldest = this.#addresses.keys().next().value
      if (oldest !== undefined) this.#addresses.delete(oldest)
    }
  }

  of(peer: string): string[] {
    return this.#addresses.get(peer) ?? []
  }

  peers(): string[] {
    return [...this.#addresses.keys()]
  }
}

/** Splits `<multiaddr>/p2p/<peer id>`; undefined when the text has no peer id at its end. */
export function splitPeerHint(hint: string): { peer: string; address: string } | undefined {
  const match = /^(\/.+)\/p2p\/([A-Za-z0-9]+)$/.exec(hint)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return { address: match[1], peer: match[2] }
}
