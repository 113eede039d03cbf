/**
 * libp2p as our nodes use it: transport, encryption, multiplexing, DHT and gossip, with what keeps strangers
 * within bounds. Used by host.ts.
 */

import { yamux as stockYamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import type { ConnectionGater, Libp2pEvents, TypedEventTarget } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { onDemandDht } from './discovery/dht.ts'
import { DhtGuard } from './discovery/dht-guard.ts'
import { gossipsubOptions } from './discovery/gossip.ts'
import type { GossipGate } from './discovery/gossip-gate.ts'
import type { RecordStore } from './discovery/record-store.ts'
import { loadIdentity } from './identity.ts'
import type { Bans } from './limits/bans.ts'
import type { Refusals } from './limits/refusals.ts'
import { addressOf } from './limits/remote-address.ts'
import { loggerUnlessWanted } from './quiet-logger.ts'
import { ClockWatch } from './transport/clock-watch.ts'
import { lazyNoise } from './transport/lazy-noise.ts'
import { rawTls } from './transport/raw-tls.ts'
import { yamux } from './transport/yamux.ts'
import type { HostOptions } from './types.ts'

/**
 * Largest receive window of one stream: fills a 1 Gbit/s line up to 130 ms away. It is no memory: a peer
 * stream takes bytes as they come.
 */
const MAX_STREAM_WINDOW_BYTES = 16 * 1024 * 1024
const MAX_WRITE_BUFFER_BYTES = 32 * 1024 * 1024
const MAX_MUXED_STREAMS = 1024
/** Those that give way to others take a moment to be gone. */
const CONNECTIONS_BEING_CLOSED = 64
export const DIAL_TIMEOUT_MS = 10_000

/** What keeps strangers within bounds. */
export interface Guards {
  readonly bans: Bans
  readonly refusals: Refusals
  readonly gossipGate: GossipGate
  readonly records: RecordStore
  readonly connectionGater: ConnectionGater
}

export async function createLibp2pNode(options: HostOptions, { connectionGater, refusals, gossipGate, records }: Guards) {
  const logger = loggerUnlessWanted()
  return createLibp2p({
    ...(logger === undefined ? {} : { logger }),
    privateKey: await loadIdentity(options.stateDir),
    start: false,
    addresses: { listen: [...options.listen], appendAnnounce: [...options.announce] },
    transports: [tcp({ dialOpts: { noDelay: true, keepAlive: true }, listenOpts: { noDelay: true, keepAlive: true } })],
    // The dialler's order wins; noise is always there for peers that have nothing else.
    connectionEncrypters: options.encryption === 'noise' ? [lazyNoise()] : [await loadTls(options, refusals), lazyNoise()],
    streamMuxers: [muxer(options, refusals)],
    connectionManager: {
      // The doorkeeper's bounds are by address and let in those that hold fewest connections; libp2p's own
      // bound would refuse everybody.
      maxConnections: options.maxConnections + CONNECTIONS_BEING_CLOSED,
      maxIncomingPendingConnections: Number.MAX_SAFE_INTEGER,
      inboundConnectionThreshold: Number.MAX_SAFE_INTEGER,
      dialTimeout: DIAL_TIMEOUT_MS
    },
    // heartbeat.ts does it for less.
    connectionMonitor: { enabled: false },
    connectionGater,
    datastore: records,
    services: {
      // Libp2pHost starts it, once for each peer.
      identify: identify({ runOnConnectionOpen: false }),
      identifyPush: identifyPush(),
      ping: ping(),
      internals: ({ addressManager, logger, events }: Internals): Internals => ({ addressManager, logger, events }),
      pubsub: gossipsub(gossipsubOptions(gossipGate)),
      ...(options.dht ? { dht: onDemandDht(options, new DhtGuard(refusals)) } : {})
    }
  })
}

/** Parts of libp2p that have no other door. */
type Internals = MulticastDNSComponents & { events: TypedEventTarget<Libp2pEvents> }

export type Libp2pNode = Awaited<ReturnType<typeof createLibp2pNode>>

async function loadTls({ fastPaths, log, warn }: HostOptions, refusals: Refusals) {
  if (!fastPaths) return (await import('@libp2p/tls')).tls()
  const clock = new ClockWatch(warn)
  return rawTls({
    log,
    onClockDifference: (ms, connection) => clock.handleDifference(ms, connection),
    onRefused: connection => refusals.count('certificate', addressOf(connection))
  })
}

function muxer(options: HostOptions, refusals: Refusals) {
  const streams = { maxInboundStreams: MAX_MUXED_STREAMS, maxOutboundStreams: MAX_MUXED_STREAMS }
  if (options.fastPaths) {
    const onFlood = (connection: object) => refusals.count('stream-flood', addressOf(connection))
    return yamux({ ...streams, maxWindowBytes: MAX_STREAM_WINDOW_BYTES, maxWriteBufferBytes: MAX_WRITE_BUFFER_BYTES, onFlood })
  }
  const streamOptions = { maxReadBufferLength: MAX_STREAM_WINDOW_BYTES, maxWriteBufferLength: MAX_WRITE_BUFFER_BYTES }
  return stockYamux({ ...streams, streamOptions })
}
