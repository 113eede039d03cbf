/**
 * Peers of the local network by mDNS. Used by host.ts.
 */

import type { PeerDiscovery, PeerId, Startable } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import type { Multiaddr } from '@multiformats/multiaddr'

const INTERVAL_MS = 10_000

export type StartedMdns = PeerDiscovery & Startable

interface MdnsInit {
  readonly tag: string
  onPeer(peer: PeerId, addresses: readonly Multiaddr[]): void
  /** The host ended while the module was being loaded. */
  isStopped(): boolean
  log(line: string): void
}

/** After the host's start: it costs a module to load and nobody waits for it. Never rejects. */
export async function startMdns(components: MulticastDNSComponents, init: MdnsInit): Promise<StartedMdns | undefined> {
  try {
    const { mdns } = await import('@libp2p/mdns')
    const discovery = mdns({ serviceTag: init.tag, interval: INTERVAL_MS })(components) as StartedMdns
    discovery.addEventListener('peer', event => init.onPeer(event.detail.id, event.detail.multiaddrs))
    if (!init.isStopped()) await discovery.start()
    return discovery
  } catch (err) {
    init.log(`mdns: not available: ${(err as Error).message}`)
    return undefined
  }
}
