/**
 * Asks connected peers who they are, and keeps where each says that it listens for as long as it is
 * connected. Used by host.ts.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2pNode } from './libp2p-node.ts'

/** Of what a peer says of where it listens. */
const MAX_ADDRESSES_TOLD = 8
/** Before each time that a peer is asked who it is, as long as it does not answer. */
const IDENTIFY_PAUSES_MS = [0, 1000, 5000, 20_000]

interface IdentifiedPeersInit {
  readonly node: Libp2pNode
  /** A connected peer has said who it is. */
  onIdentified(): void
  log(line: string): void
}

export class IdentifiedPeers {
  readonly #init: IdentifiedPeersInit
  readonly #asking = new Set<string>()
  readonly #addresses = new Map<string, string[]>()

  constructor(init: IdentifiedPeersInit) {
    this.#init = init
  }

  addressesOf(peer: string): string[] {
    return this.#addresses.get(peer) ?? []
  }

  handleAnswer(peer: PeerId, listening: readonly Multiaddr[]): void {
    // It may be gone since it answered; a peer that comes back is asked again.
    if (this.#init.node.getConnections(peer).length === 0) return
    const told = listening.slice(0, MAX_ADDRESSES_TOLD).map(address => address.toString())
    this.#addresses.set(peer.toString(), told)
    this.#init.onIdentified()
  }

  handleDisconnected(peer: PeerId): void {
    this.#addresses.delete(peer.toString())
  }

  /**
   * Asks who the peer is, once however many connections there are: a piece connection brings no news, and the
   * question costs as much as the connection. DHT and gossip know a peer only by its answer, which a busy
   * machine may owe us for longer than libp2p waits: so it is asked again. Never rejects.
   */
  async handleConnection({ remotePeer }: Connection): Promise<void> {
    const { node, log } = this.#init
    const peer = remotePeer.toString()
    if (this.#asking.has(peer) || this.#addresses.has(peer)) return
    this.#asking.add(peer)
    for (const pauseMs of IDENTIFY_PAUSES_MS) {
      if (pauseMs > 0) await sleep(pauseMs, undefined, { ref: false })
      const [connection] = node.getConnections(remotePeer)
      if (connection === undefined) break
      try {
        await node.services.identify.identify(connection)
        break
      } catch (err) {
        if ((err as Error).name === 'UnsupportedProtocolError') break
        log(`identify: no answer from ${peer}: ${(err as Error).message}`)
      }
    }
    this.#asking.delete(peer)
  }
}
