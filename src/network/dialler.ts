/**
 * Connections to peers: the one that we have, or a new one. Used by host.ts.
 */

import type { Connection, PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { NoPeersError } from '../errors.ts'
import { parseAddresses } from './addresses.ts'
import type { Libp2pNode } from './libp2p-node.ts'
import type { Bans } from './limits/bans.ts'

interface DiallerInit {
  readonly node: Libp2pNode
  /** Our own peer id. */
  readonly self: string
  readonly bans: Bans
  /** Whether nothing else should begin on this connection. */
  isPieceConnection(connection: Connection): boolean
  log(line: string): void
}

export class Dialler {
  readonly #init: DiallerInit

  constructor(init: DiallerInit) {
    this.#init = init
  }

  /**
   * The connection to a peer that we have, or a new one: by the addresses given, else by those that libp2p
   * knows.
   */
  async dial(peer: string, addresses: readonly string[], signal: AbortSignal): Promise<Connection> {
    const { node, self, bans, isPieceConnection, log } = this.#init
    let peerId: PeerId
    try {
      peerId = peerIdFromString(peer)
    } catch (err) {
      throw new NoPeersError(`${peer} is no peer id: ${(err as Error).message}`, { peer })
    }
    if (peer === self) throw new NoPeersError('that is this node itself', { peer })
    // Its connection may still be closing.
    if (bans.has(peer)) throw new NoPeersError(`${peer} is banned`, { peer })
    const open = node.getConnections(peerId).find(connection => connection.status === 'open' && !isPieceConnection(connection))
    if (open !== undefined) return open
    const given = parseAddresses(addresses, peer)
    try {
      if (given.length > 0) {
        try {
          return await node.dial(given, { signal })
        } catch (err) {
          signal.throwIfAborted()
          log(`dial: ${peer} is not at ${given.join(', ')}: ${(err as Error).message}`)
        }
      }
      return await node.dial(peerId, { signal })
    } catch (err) {
      signal.throwIfAborted()
      throw new NoPeersError(`cannot reach ${peer}: ${(err as Error).message}`, { peer })
    }
  }

  /** To where we reached the peer, else to where it says that it listens. */
  dialAnother({ direction, remotePeer, remoteAddr }: Connection, signal: AbortSignal): Promise<Connection> {
    const [reached] = direction === 'outbound' ? parseAddresses([remoteAddr.toString()], remotePeer.toString()) : []
    return this.#init.node.dial(reached ?? remotePeer, { force: true, signal })
  }
}

export function withTimeout(signal: AbortSignal | undefined, ms: number): AbortSignal {
  const timeout = AbortSignal.timeout(ms)
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout])
}
