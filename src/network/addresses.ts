/**
 * Multiaddrs that options and peers give us: read, checked, put in order. Used by host.ts.
 */

import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { InvalidOptionsError } from '../errors.ts'

/** Addresses that are tried of those given for a peer. */
const MAX_ADDRESSES_DIALLED = 16

export function parseOption(address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (err) {
    throw new InvalidOptionsError(`${address} is no multiaddr: ${(err as Error).message}`, { address }, err)
  }
}

export function peerOf(address: Multiaddr, text: string): string {
  const peer = address.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
  if (peer === undefined) throw new InvalidOptionsError(`${text} does not end in /p2p/<peer id>`, { address: text })
  return peer
}

/**
 * Those of the addresses that can be read and do not name another peer; what peers tell us is not to be
 * trusted.
 */
export function parseAddresses(addresses: readonly string[], peer: string): Multiaddr[] {
  const parsed: Multiaddr[] = []
  for (const text of addresses.slice(0, MAX_ADDRESSES_DIALLED)) {
    try {
      const address = multiaddr(text)
      const named = address.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
      if (named === undefined) parsed.push(address.encapsulate(`/p2p/${peer}`))
      else if (named === peer) parsed.push(address)
    } catch {
      // Not an address: somebody's mistake or mischief, and no reason not to try the others.
    }
  }
  return parsed
}

/** Order of usefulness to others: announced, then reachable from elsewhere, then only from this machine. */
export function rankOf(address: string, announce: readonly string[]): number {
  if (announce.some(announced => address.startsWith(announced))) return 0
  return /^\/ip4\/127\.|^\/ip6\/::1\//.test(address) ? 2 : 1
}
