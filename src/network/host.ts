/**
 * libp2p (composed in libp2p-node.ts) and LAN discovery behind the plain interface of types.ts.
 *
 * Invariants: at most one peer stream per peer and root (peer-streams.ts); a banned peer is neither dialled
 * nor accepted nor kept; nothing that a remote does can throw outside of its own stream. Called by the node,
 * which creates one host per process.
 */

import type { Connection, PeerId, Stream, StreamHandler } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { keyOfDigest } from '../content/dht-key.ts'
import { InvalidOptionsError, NoPeersError } from '../errors.ts'
import { BufferPool } from '../util/buffer-pool.ts'
import { PIECE_CONNECTION_PROTOCOL, PIECE_LIST_PROTOCOL, PIECES_PROTOCOL } from '../wire/messages.ts'
import { parseOption, peerOf, rankOf } from './addresses.ts'
import { Dialler, withTimeout } from './dialler.ts'
import { BootstrapLoop } from './discovery/bootstrap.ts'
import { DhtRouter, NoRouter } from './discovery/dht-router.ts'
import { Gossip } from './discovery/gossip.ts'
import { GossipGate } from './discovery/gossip-gate.ts'
import { type StartedMdns, startMdns } from './discovery/mdns.ts'
import { keepPeersInMemory } from './discovery/peer-table.ts'
import { RecordStore } from './discovery/record-store.ts'
import { readWithdrawal, sendWithdrawal, WITHDRAW_PROTOCOL, WITHDRAW_TIMEOUT_MS } from './discovery/withdrawal.ts'
import { IdentifiedPeers } from './identified-peers.ts'
import { createLibp2pNode, DIAL_TIMEOUT_MS, type Guards, type Libp2pNode } from './libp2p-node.ts'
import { Bans } from './limits/bans.ts'
import { Doorkeeper } from './limits/doorkeeper.ts'
import { gaterOf } from './limits/gater.ts'
import { PieceListDesk } from './limits/piece-list-desk.ts'
import { Refusals } from './limits/refusals.ts'
import { addressOf, fromOf } from './limits/remote-address.ts'
import { NETWORK_LIMITS } from './limits/table.ts'
import { MAX_STREAMS_PER_CONNECTION, PeerStreams } from './streams/peer-streams.ts'
import { fetchPieceList, servePieceList } from './streams/piece-list-fetch.ts'
import { AddressWatch } from './transport/address-watch.ts'
import { Heartbeat } from './transport/heartbeat.ts'
import type { AvailabilityGossip, GossipTopic, Host, HostOptions, PeerStream, Router, SwarmListener } from './types.ts'

const DEFAULTS: Omit<HostOptions, 'buffers'> = {
  stateDir: undefined,
  listen: ['/ip4/0.0.0.0/tcp/0'],
  announce: [],
  bootstrap: [],
  mdns: true,
  mdnsTag: '_swarm-p2p._udp.local',
  dht: true,
  servesDht: true,
  encryption: 'tls',
  fastPaths: true,
  maxConnections: 500,
  handshakeTimeoutMs: 10_000,
  stallTimeoutMs: 30_000,
  limits: NETWORK_LIMITS,
  log: () => {},
  warn: () => {}
}

const NEIGHBOUR_TAG = 'swarm-link'
const ADDRESS_CHECK_MS = 10_000
/** As good as for ever; libp2p wants a time. */
const ADDRESS_TTL_MS = 365 * 86_400_000
const PING_INTERVAL_MS = 30_000
const PING_TIMEOUT_MS = 30_000
/** Unused piece buffers that are kept: a pipeline's worth, and little beside what a process takes anyway. */
const POOL_BYTES = 32 * 1024 * 1024
/**
 * Without bootstrap peers the DHT is left alone until a connection is this old: with peer streams, which tell
 * of other peers, and without any.
 */
const DHT_REST_MS = 30_000
const DHT_WAIT_MS = 2000

/**
 * Starts a host: resolves once it listens. Throws `InvalidOptionsError` for addresses, `StoreError` for the
 * identity key.
 */
export async function createHost(options: Partial<HostOptions> = {}): Promise<Host> {
  const resolved: HostOptions = { buffers: new BufferPool(POOL_BYTES), ...DEFAULTS, ...options }
  for (const address of [...resolved.listen, ...resolved.announce]) parseOption(address)
  for (const address of resolved.bootstrap) peerOf(parseOption(address), address)
  const bans = new Bans()
  const refusals = new Refusals(resolved.warn)
  const doorkeeper = new Doorkeeper({
    limits: resolved.limits,
    maxConnections: resolved.maxConnections,
    refusals,
    connectionCount: () => node.getConnections().length,
    isNeighbour: peer => host?.isNeighbour(peer) === true
  })
  const gossipGate = new GossipGate(refusals)
  const records = new RecordStore(peer => fromOf(node.getConnections(peerIdFromString(peer))[0]))
  const guards: Guards = { bans, refusals, gossipGate, records, connectionGater: gaterOf(bans, doorkeeper, refusals) }
  const node = await createLibp2pNode(resolved, guards)
  let host: Libp2pHost | undefined
  try {
    keepPeersInMemory(node.peerStore, { self: node.peerId, events: node.services.internals.events })
    host = new Libp2pHost(node, resolved, guards)
    await host.start()
    return host
  } catch (err) {
    await node.stop()
    throw err
  }
}

class Libp2pHost implements Host {
  readonly peer: string
  readonly router: Router
  readonly buffers: BufferPool

  readonly #node: Libp2pNode
  readonly #options: HostOptions
  readonly #bans: Bans
  readonly #refusals: Refusals
  readonly #peerStreams: PeerStreams
  readonly #gossip: Gossip
  readonly #dhtRouter: DhtRouter | undefined
  readonly #identified: IdentifiedPeers
  readonly #dialler: Dialler
  readonly #peerHandlers = new Set<(peer: string, addresses: string[]) => void>()
  #bootstrapLoop: BootstrapLoop | undefined
  #heartbeat: Heartbeat | undefined
  #discovery: Promise<StartedMdns | undefined> | undefined
  #addressTimer: NodeJS.Timeout | undefined
  #addressWatch: AddressWatch | undefined
  #stopped: Promise<void> | undefined

  constructor(node: Libp2pNode, options: HostOptions, { bans, refusals, gossipGate }: Guards) {
    this.#node = node
    this.#options = options
    this.#bans = bans
    this.#refusals = refusals
    this.peer = node.peerId.toString()
    const { log, handshakeTimeoutMs, stallTimeoutMs } = options
    this.buffers = options.buffers
    this.#peerStreams = new PeerStreams({
      self: this.peer,
      handshakeTimeoutMs,
      stallTimeoutMs,
      buffers: this.buffers,
      limits: options.limits,
      refusals,
      log,
      dialAnother: (connection, signal) => this.#dialler.dialAnother(connection, signal),
      onNeighbour: (peer, isNeighbour) => this.#protect(peer, isNeighbour)
    })
    this.#dialler = new Dialler({
      node,
      self: this.peer,
      bans,
      isPieceConnection: connection => this.#peerStreams.isPieceConnection(connection),
      log
    })
    this.#identified = new IdentifiedPeers({ node, onIdentified: () => this.#dhtRouter?.handlePeerJoined(), log })
    this.#gossip = new Gossip({
      pubsub: node.services.pubsub,
      self: this.peer,
      gate: gossipGate,
      log,
      addressOf: peer => addressOf(node.getConnections(peer)[0] ?? {})
    })
    node.addEventListener('peer:connect', ({ detail }) => gossipGate.handleMet(detail.toString()))
    const { dht } = node.services
    this.#dhtRouter =
      dht === undefined ? undefined : new DhtRouter(dht, this.peer, log, (peer, digest) => this.#tellWithdrawn(peer, digest))
    this.router = this.#dhtRouter ?? new NoRouter()
    if (dht !== undefined) dht.isUseful = () => this.#isDhtUseful()
  }

  /** There is a network to join, or nobody whom we are connected to has anything to do with us. */
  #isDhtUseful(): boolean {
    if (this.#options.bootstrap.length > 0) return true
    const ages = this.#node.getConnections().map(({ timeline }) => Date.now() - timeline.open)
    return Math.max(0, ...ages) > (this.#peerStreams.hasAny ? DHT_REST_MS : DHT_WAIT_MS)
  }

  async start(): Promise<void> {
    const node = this.#node
    const streams = { maxInboundStreams: MAX_STREAMS_PER_CONNECTION, maxOutboundStreams: MAX_STREAMS_PER_CONNECTION }
    await node.handle(PIECES_PROTOCOL, (stream, connection) => this.#peerStreams.handleStream(stream, connection), streams)
    const one = { maxInboundStreams: 1, maxOutboundStreams: 1 }
    const onPieces: StreamHandler = (stream, connection) => this.#peerStreams.handlePieceConnection(stream, connection)
    await node.handle(PIECE_CONNECTION_PROTOCOL, onPieces, one)
    const desk = new PieceListDesk(this.#options.limits, this.#refusals)
    const pieceLists = { self: this.peer, desk, listeningTo: (digest: Uint8Array) => this.#peerStreams.listeningTo(digest) }
    await node.handle(PIECE_LIST_PROTOCOL, (stream, connection) => servePieceList(stream, connection, pieceLists), {
      maxInboundStreams: 4,
      maxOutboundStreams: MAX_STREAMS_PER_CONNECTION
    })
    await node.handle(WITHDRAW_PROTOCOL, (stream, connection) => this.#handleWithdrawal(stream, connection), {
      maxInboundStreams: 4,
      maxOutboundStreams: MAX_STREAMS_PER_CONNECTION
    })
    node.addEventListener('connection:open', event => void this.#identified.handleConnection(event.detail))
    node.addEventListener('peer:identify', ({ detail: { peerId, listenAddrs } }) => {
      this.#identified.handleAnswer(peerId, listenAddrs)
    })
    node.addEventListener('peer:disconnect', ({ detail: peerId }) => {
      this.#identified.handleDisconnected(peerId)
      this.#bootstrapLoop?.handlePeerLeft()
    })
    try {
      await node.start()
    } catch (err) {
      throw new InvalidOptionsError(`cannot listen on ${this.#options.listen.join(', ')}: ${(err as Error).message}`, {}, err)
    }
    this.#heartbeat = new Heartbeat({
      connections: () => node.getConnections(),
      heardMs: connection => this.#peerStreams.heardMs(connection),
      log: this.#options.log,
      intervalMs: PING_INTERVAL_MS,
      timeoutMs: PING_TIMEOUT_MS
    })
    this.#watchAddresses()
    if (this.#options.mdns) this.#discovery = this.#startMdns()
    this.#bootstrapLoop = new BootstrapLoop({
      addresses: this.#options.bootstrap,
      dial: (address, signal) => this.bootstrap(address, signal),
      connectedPeers: () => node.getPeers().length,
      log: this.#options.log
    })
  }

  /**
   * Tells of every address that we have, and again when they change. libp2p keeps a public address to itself
   * until some other node has confirmed it; one that is on an interface of ours is as good as given.
   */
  #watchAddresses(): void {
    const { addressManager } = this.#node.services.internals
    let told = ''
    const look = () => {
      for (const { multiaddr, verified, type } of addressManager.getAddressesWithMetadata()) {
        if (type === 'transport' && !verified) addressManager.confirmObservedAddr(multiaddr, { type, ttl: ADDRESS_TTL_MS })
      }
      const now = this.addresses().join()
      if (told !== '' && now !== told) this.#dhtRouter?.handleAddressesChanged()
      told = now
    }
    look()
    this.#addressTimer = setInterval(look, ADDRESS_CHECK_MS).unref()
    const connections = () => this.#node.getConnections()
    this.#addressWatch = new AddressWatch({ connections, onChange: look, log: this.#options.log })
  }

  #startMdns(): Promise<StartedMdns | undefined> {
    const { mdnsTag, log } = this.#options
    const onPeer = (id: PeerId, addresses: readonly Multiaddr[]) => this.#handleDiscovered(id, addresses)
    return startMdns(this.#node.services.internals, { tag: mdnsTag, onPeer, isStopped: () => this.#stopped !== undefined, log })
  }

  addresses(): string[] {
    const listening = this.#node.getMultiaddrs().map(address => address.toString())
    const suffix = `/p2p/${this.peer}`
    const { announce } = this.#options
    const all = [...announce, ...listening].map(address => (address.includes('/p2p/') ? address : address + suffix))
    return [...new Set(all)].sort((a, b) => rankOf(a, announce) - rankOf(b, announce))
  }

  addressesOf(peer: string): string[] {
    return this.#identified.addressesOf(peer)
  }

  listen(listener: SwarmListener): () => void {
    return this.#peerStreams.listen(listener)
  }

  async connect(peer: string, addresses: string[], listener: SwarmListener, signal?: AbortSignal): Promise<PeerStream> {
    const limit = withTimeout(signal, DIAL_TIMEOUT_MS + this.#options.handshakeTimeoutMs)
    return this.#peerStreams.open(peer, listener, dialSignal => this.#dialler.dial(peer, addresses, dialSignal), limit)
  }

  async fetchPieceList(
    peer: string,
    addresses: string[],
    root: Uint8Array,
    maxBytes: number,
    signal?: AbortSignal,
    onBytes?: (bytes: number) => void
  ): Promise<Uint8Array> {
    const connection = await this.#dialler.dial(peer, addresses, withTimeout(signal, DIAL_TIMEOUT_MS))
    return fetchPieceList(connection, this.peer, root, maxBytes, signal ?? new AbortController().signal, onBytes)
  }

  get bootstrapped(): Promise<void> {
    return this.#bootstrapLoop?.answered ?? Promise.resolve()
  }

  get knowsNobody(): boolean {
    return this.#options.bootstrap.length === 0 && this.#node.getPeers().length === 0
  }

  get usesMdns(): boolean {
    return this.#options.mdns
  }

  async bootstrap(address: string, signal?: AbortSignal): Promise<string> {
    const parsed = parseOption(address)
    const peer = peerOf(parsed, address)
    try {
      await this.#node.dial(parsed, { signal: withTimeout(signal, DIAL_TIMEOUT_MS) })
      await this.#node.services.dht?.wake()
    } catch (err) {
      signal?.throwIfAborted()
      throw new NoPeersError(`cannot reach ${address}: ${(err as Error).message}`, { address })
    }
    return peer
  }

  async join(root: Uint8Array, onGossip: (gossip: AvailabilityGossip) => void): Promise<GossipTopic> {
    return this.#gossip.join(root, onGossip)
  }

  onPeer(handler: (peer: string, addresses: string[]) => void): () => void {
    this.#peerHandlers.add(handler)
    return () => this.#peerHandlers.delete(handler)
  }

  ban(peer: string, forMs: number): void {
    this.#bans.add(peer, Date.now() + forMs)
    this.#peerStreams.closePeer(peer, 'banned')
    for (const connection of this.#connections(peer)) {
      // The goodbye above leaves first.
      connection.close().catch(err => connection.abort(err as Error))
    }
  }

  rttMs(peer: string): number | undefined {
    return this.#peerStreams.rttMs(peer)
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#bootstrapLoop?.stop()
    this.#heartbeat?.stop()
    this.#dhtRouter?.stop()
    this.#refusals.stop()
    clearInterval(this.#addressTimer)
    this.#addressWatch?.stop()
    this.#peerStreams.closeAll('leaving')
    await (await this.#discovery)?.stop()
    await this.#node.stop()
  }

  get refusals(): ReadonlyMap<string, number> {
    return this.#refusals.counts
  }

  isNeighbour(peer: string): boolean {
    return this.#peerStreams.isNeighbour(peer)
  }

  /** When there are too many connections, those that carry peer streams are the last to go. */
  #protect(peer: string, isNeighbour: boolean): void {
    const tags = { [NEIGHBOUR_TAG]: isNeighbour ? { value: 50 } : undefined }
    this.#node.peerStore.merge(peerIdFromString(peer), { tags }).catch(err => {
      this.#options.log(`could not tag ${peer}: ${(err as Error).message}`)
    })
  }

  async #tellWithdrawn(peer: string, digest: Uint8Array): Promise<void> {
    const [connection] = this.#connections(peer)
    if (connection !== undefined) await sendWithdrawal(connection, digest, AbortSignal.timeout(WITHDRAW_TIMEOUT_MS))
  }

  /** Removes the sender's record, and no other. */
  async #handleWithdrawal(stream: Stream, { remotePeer }: Connection): Promise<void> {
    try {
      const digest = await readWithdrawal(stream)
      await this.#node.services.dht?.removeProvider(keyOfDigest(digest), remotePeer)
    } catch (err) {
      this.#options.log(`withdrawal of ${remotePeer} failed: ${(err as Error).message}`)
    }
  }

  #connections(peer: string): Connection[] {
    return this.#node.getConnections(peerIdFromString(peer))
  }

  #handleDiscovered(id: PeerId, multiaddrs: readonly Multiaddr[]): void {
    const peer = id.toString()
    for (const handler of this.#peerHandlers) {
      try {
        handler(
          peer,
          multiaddrs.map(address => address.toString())
        )
      } catch (err) {
        this.#options.log(`mdns: handler failed: ${(err as Error).stack}`)
      }
    }
  }
}
