/**
 * What the node needs from the network, free of libp2p: a host with peer streams, a router (DHT) and a gossip
 * topic per root. Addresses are multiaddr strings, peers are peer-id strings.
 */

import type { BufferPool } from '../util/buffer-pool.ts'
import type { AvailabilityGossip } from '../wire/gossip.ts'
import type { Hello, Message, PieceHeader } from '../wire/messages.ts'
import type { NetworkLimits } from './limits/table.ts'

/** Options of `createHost` (host.ts); every one has a default. */
export interface HostOptions {
  /** Folder that keeps the identity key; undefined: a fresh identity that is not kept. @default undefined */
  stateDir: string | undefined
  /** Multiaddrs to listen on. @default ['/ip4/0.0.0.0/tcp/0'] */
  listen: readonly string[]
  /** Extra multiaddrs to tell others. @default [] */
  announce: readonly string[]
  /** Multiaddrs with /p2p, dialled until they answer and again when nobody is left. @default [] */
  bootstrap: readonly string[]
  /** Find peers on the local network. @default true */
  mdns: boolean
  /** Service tag of mDNS; nodes of other tags are not seen. @default '_swarm-p2p._udp.local' */
  mdnsTag: string
  /** Take part in the DHT; false: the router tells nobody and finds nobody. @default true */
  dht: boolean
  /**
   * Answer the queries of other nodes' DHT from the start; false, for a node that comes, gets something and
   * leaves: only when it has been up for ten minutes. @default true
   */
  servesDht: boolean
  /** 'tls' prefers TLS and accepts noise; 'noise' offers noise only. @default 'tls' */
  encryption: 'tls' | 'noise'
  /**
   * TLS on the TCP socket itself and a multiplexer that copies less; false: libp2p's stock modules. The wire
   * is the same, the CPU for a byte about a third. @default true
   */
  fastPaths: boolean
  /** Most connections, in and out, over all swarms. Raised: memory (about 0.5 MB each). @default 500 */
  maxConnections: number
  /** A stream that has not exchanged hellos within this is ended, in milliseconds. @default 10_000 */
  handshakeTimeoutMs: number
  /**
   * A peer stream that takes none of our bytes, or stops inside a frame, for this long is ended, in
   * milliseconds. @default 30_000
   */
  stallTimeoutMs: number
  /**
   * What one address may take of us before it has proven anything. @default NETWORK_LIMITS (limits/table.ts)
   */
  limits: NetworkLimits
  /** Where pieces are gathered; share it with the store. @default one of 32 MiB */
  buffers: BufferPool
  /** Where one line per event worth a debug log goes. @default nowhere */
  log: (line: string) => void
  /**
   * Where goes what an operator should know: what was refused, a clock that is off; at most some lines a
   * minute. @default nowhere
   */
  warn: (line: string) => void
}

/**
 * One neighbour's `/swarm/pieces/2.0.0` stream for one root, which both sides have proven to know, hello
 * exchanged and checked.
 */
export interface PeerStream {
  readonly peer: string
  readonly initiator: boolean
  /** What the other side said in its hello. */
  readonly hello: Hello
  /** Observed address of the other side, as a multiaddr. */
  readonly remoteAddress: string
  /** 'tls' | 'noise' as negotiated. */
  readonly encryption: string
  /** Bytes moved on this peer stream, payload and control. */
  readonly bytesIn: number
  readonly bytesOut: number
  /**
   * Call once, in the same turn as the peer stream was given; events that came before (even the end of the
   * peer stream) are delivered after it.
   */
  start(handlers: PeerStreamHandlers): void
  /** Queues a control message. A peer stream whose peer does not read is ended at a bound of queued bytes. */
  send(message: Message): void
  /**
   * Sends a piece frame: header, then `data`. Resolves when the transport took the last byte and has room for
   * more: with true when nothing refers to `data` any more (it may be given back to a pool), with false when
   * it is still kept by reference somewhere. Rejects when the peer stream ended; then `data` must be left to
   * the garbage collector. Control messages may overtake queued pieces, and urgent pieces others.
   */
  sendPiece(header: PieceHeader, data: Uint8Array, isUrgent?: boolean): Promise<boolean>
  /** Our pieces travel on a connection of their own. */
  readonly hasPieceConnection: boolean
  /**
   * Opens a connection of their own for the pieces that we send, so that messages do not wait behind them.
   * Resolves with whether there is one; where it cannot be had all stays on one. Never rejects.
   */
  separatePieces(): Promise<boolean>
  /** Says goodbye with the reason and ends the stream. Idempotent. */
  close(reason: string): void
}

export interface PeerStreamHandlers {
  onMessage(message: Message): void
  /**
   * `data` is a buffer of its own that the handler may keep, or give back to the host's `buffers` when it is
   * done.
   */
  onPiece(header: PieceHeader, data: Uint8Array): void
  onClose(reason: string): void
}

/** What a host must know of a root to accept peer streams for it. */
export interface SwarmListener {
  /** Root of the content, 32 bytes. Peers prove that they know it; it is told to nobody. */
  readonly root: Uint8Array
  readonly hello: Hello
  /** Longest piece that a peer may send, in bytes. */
  readonly maxPieceBytes: number
  /** False refuses (banned, too many); the peer stream is then closed with the reason 'refused'. */
  accepts(peer: string): boolean
  onPeerStream(peerStream: PeerStream): void
  /** Encoded piece list for `fetchPieceList` of others; undefined while we do not have it. */
  pieceList(): Uint8Array | undefined
}

export interface Router {
  /**
   * Tells the DHT that we hold (part of) the root; renewed until `withdraw`. Resolves when first written,
   * false when nobody could be told.
   */
  announce(root: Uint8Array, signal?: AbortSignal): Promise<boolean>
  withdraw(root: Uint8Array): Promise<void>
  /** Peers that announced the root, as found. Ends when the walk ends. */
  find(root: Uint8Array, signal?: AbortSignal): AsyncIterable<{ peer: string; addresses: string[] }>
}

export type { AvailabilityGossip }

export interface GossipTopic {
  publish(gossip: AvailabilityGossip): Promise<void>
  leave(): void
}

export interface Host {
  readonly peer: string
  readonly router: Router
  /**
   * Pieces arrive in buffers of this pool. A user who is done gives it back, so that it is used again.
   */
  readonly buffers: BufferPool
  /** Listening addresses with /p2p suffix, most useful first. */
  addresses(): string[]
  /** Where a connected peer says that it listens, without /p2p suffix; empty while it has not said. */
  addressesOf(peer: string): string[]
  /** Serve a root: inbound peer streams and piece lists. Returns a function that stops. */
  listen(listener: SwarmListener): () => void
  /**
   * Opens a peer stream (dialling when needed). When both sides dial each other exactly one peer stream
   * survives: if it is the other side's, it was given to `onPeerStream` before and this resolves with that
   * same object. Throws `NoPeersError` when unreachable, `ProtocolError` with the peer's reason when it
   * refuses or does not know the root.
   */
  connect(peer: string, addresses: string[], listener: SwarmListener, signal?: AbortSignal): Promise<PeerStream>
  /**
   * The encoded piece list of a root from one peer, at most `maxBytes`; the caller checks it against the
   * root. `onBytes` hears what comes.
   */
  fetchPieceList(
    peer: string,
    addresses: string[],
    root: Uint8Array,
    maxBytes: number,
    signal?: AbortSignal,
    onBytes?: (bytes: number) => void
  ): Promise<Uint8Array>
  /**
   * Resolves when a bootstrap peer of the options has answered for the first time; at once when there are
   * none. Never rejects.
   */
  readonly bootstrapped: Promise<void>
  /** No bootstrap peer is configured and no peer connected: a search has nobody to ask. */
  readonly knowsNobody: boolean
  /** Peers of the local network may turn up by themselves. */
  readonly usesMdns: boolean
  /** Dials a bootstrap address (no swarm implied); resolves with its peer id. */
  bootstrap(address: string, signal?: AbortSignal): Promise<string>
  join(root: Uint8Array, onGossip: (gossip: AvailabilityGossip) => void): Promise<GossipTopic>
  /** Peers seen on the LAN (mDNS); they may or may not have anything of ours. */
  onPeer(handler: (peer: string, addresses: string[]) => void): () => void
  /** Refuse a peer at connection time for so long. */
  ban(peer: string, forMs: number): void
  /** Round trip to a peer that has a peer stream, in milliseconds; undefined while unknown. */
  rttMs(peer: string): number | undefined
  /** What was refused since the start, by kind (limits/refusals.ts). */
  readonly refusals: ReadonlyMap<string, number>
  stop(): Promise<void>
}
