/**
 * Kademlia as our nodes use it: a DHT of their own, which rests until it is of use and is served by nodes
 * that stay. Used by host.ts.
 */

import type { PeerId, PeerInfo } from '@libp2p/interface'
import { fromOf } from '../limits/remote-address.ts'
import type { HostOptions } from '../types.ts'
import type { DhtGuard } from './dht-guard.ts'
import { PROVIDER_VALIDITY_MS } from './dht-router.ts'
import { type DhtComponents, OnDemandDht } from './on-demand-dht.ts'

/**
 * Our nodes form a DHT of their own. Identify and ping keep libp2p's common names, so that any libp2p peer
 * can connect to us.
 */
const DHT_PROTOCOL = '/swarm/kad/1.0.0'
/**
 * A node that only asks serves once it has been up for so long. Every query of everybody dials, asks and
 * names the nodes that serve, which in a crowd of downloads that last a minute made a full mesh of
 * connections (docs/PERFORMANCE.md). Raised: a network of downloads alone has nobody to ask for longer.
 */
const SERVE_AFTER_MS = 10 * 60_000

/** libp2p's service. */
export function onDemandDht({ servesDht, log }: HostOptions, guard: DhtGuard): (components: DhtComponents) => OnDemandDht {
  const serveAfterMs = servesDht ? 0 : SERVE_AFTER_MS
  const load = async (components: DhtComponents, clientMode: boolean) => {
    const dht = await loadKad(components, clientMode)
    filter(dht as unknown as Internals, components, guard)
    admitServersOnly(dht as unknown as Internals, components)
    return dht
  }
  return components => new OnDemandDht(components, { protocol: DHT_PROTOCOL, load, log, serveAfterMs })
}

/** What the DHT does with each message that comes; not published in its types. */
interface Internals {
  /** Takes a peer that it heard of into the routing table, after it has dialled and pinged it. */
  onPeerConnect(peer: PeerInfo): Promise<void>
  rpc: { handleMessage(peer: PeerId, message: { type: string }): Promise<unknown> }
}

/** Puts the guard before it. */
function filter({ rpc }: Internals, { connectionManager }: DhtComponents, guard: DhtGuard): void {
  const handle = rpc.handleMessage.bind(rpc)
  rpc.handleMessage = async (peer, message) => {
    const from = fromOf(connectionManager.getConnections(peer)[0])
    const isRecord = message.type === 'ADD_PROVIDER'
    return (await guard.admits(peer.toString(), from, isRecord)) ? handle(peer, message) : undefined
  }
}

/**
 * Only a peer that has told us itself that it serves comes into the routing table. The module takes every
 * peer that an answer names, also as a provider, and dials and pings it first: in a crowd of leechers, which
 * serve nobody, that is a fifth of all connections.
 */
function admitServersOnly(dht: Internals, { peerStore }: DhtComponents): void {
  const admit = dht.onPeerConnect.bind(dht)
  dht.onPeerConnect = async peer => {
    const known = await peerStore.get(peer.id).catch(() => undefined)
    if (known?.protocols.includes(DHT_PROTOCOL) === true) await admit(peer)
  }
}

async function loadKad(components: DhtComponents, clientMode: boolean) {
  const { kadDHT, passthroughMapper } = await import('@libp2p/kad-dht')
  return kadDHT({
    protocol: DHT_PROTOCOL,
    // The default is to serve only once a public address is confirmed, and to strip private ones: an empty
    // DHT on every LAN.
    clientMode,
    peerInfoMapper: passthroughMapper,
    // As in BitTorrent's DHT (BEP 5). With libp2p's 20 every announcement in a fleet of dozens asks and tells
    // nearly all of it.
    kBucketSize: 8,
    alpha: 3,
    disjointPaths: 2,
    // The first query of a newcomer waits for this.
    initialQuerySelfInterval: 100,
    querySelfInterval: 300_000,
    // Renewal is the router's; here only expired records are thrown away.
    reprovide: { validity: PROVIDER_VALIDITY_MS, threshold: 60_000, interval: 60_000 }
  })(components)
}
