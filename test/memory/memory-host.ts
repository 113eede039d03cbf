/**
 * The host's twin in memory, on virtual time: peers, peer streams, a DHT and gossip with the delays and
 * uplinks of the simulator's model, written apart from it. Downlinks have no limit. For tests of what uses a
 * host; test/compliance/host.ts runs on this and on the real one.
 */

import { NoPeersError, ProtocolError } from '../../src/errors.ts'
import type { AvailabilityGossip, GossipTopic, Host, PeerStream, Router, SwarmListener } from '../../src/network/types.ts'
import { BufferPool } from '../../src/util/buffer-pool.ts'
import { encodeHex } from '../../src/util/bytes.ts'
import type { Random } from '../../src/util/random.ts'
import { DIAL_DELAYS, MemoryPeerStream, type Sending } from './memory-peer-stream.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface MemoryNetworkInit {
  time: VirtualTime
  random: Random
  /** One way, ms, and the largest deviation as a share of it. */
  latencyMs: number
  jitter: number
  /** Bytes per ms that each host sends. */
  uplink: number
}

/**
 * How long a DHT lookup takes, and a record until others find it, ms; how many a lookup finds; and how many
 * listeners hear what is gossiped.
 */
const LOOKUP_LOW_MS = 150
const LOOKUP_HIGH_MS = 600
const LOOKUP_PEERS = 20
const GOSSIP_PEERS = 6
const GOSSIP_HOPS = 3
const DIAL_TIMEOUT_MS = 5000

interface Listening {
  readonly peer: string
  hear(gossip: AvailabilityGossip): void
}

export class MemoryNetwork {
  readonly init: MemoryNetworkInit
  readonly hosts = new Map<string, MemoryHost>()
  /** By root, then by peer: since when the record is found. */
  readonly records = new Map<string, Map<string, number>>()
  readonly topics = new Map<string, Set<Listening>>()

  constructor(init: MemoryNetworkInit) {
    this.init = init
  }

  createHost(peer: string): MemoryHost {
    const host = new MemoryHost(this, peer)
    this.hosts.set(peer, host)
    return host
  }

  drawDelay(): number {
    const { latencyMs, jitter, random } = this.init
    return latencyMs * (1 + jitter * (2 * random.nextFloat() - 1))
  }

  drawLookup(): number {
    return this.init.random.nextBetween(LOOKUP_LOW_MS, LOOKUP_HIGH_MS)
  }
}

/** Sends one piece after another, urgent ones before those that have not begun. */
class Uplink {
  readonly #time: VirtualTime
  readonly #rate: number
  readonly #queue: Sending[] = []
  #isBusy = false
  #owedBytes = 0

  constructor(time: VirtualTime, rate: number) {
    this.#time = time
    this.#rate = rate
  }

  /** Small messages go at once, and the next piece waits for what they take. */
  owe(bytes: number): void {
    this.#owedBytes += bytes
  }

  send(sending: Sending): void {
    const before = sending.isUrgent ? this.#queue.findIndex(({ isUrgent }) => !isUrgent) : -1
    this.#queue.splice(before < 0 ? this.#queue.length : before, 0, sending)
    this.#next()
  }

  /** What has not begun on this peer stream does not leave any more. */
  drop(peerStream: MemoryPeerStream): void {
    for (const sending of this.#queue.filter(each => each.peerStream === peerStream)) {
      this.#queue.splice(this.#queue.indexOf(sending), 1)
      sending.settle.reject(new Error('link ended'))
    }
  }

  #next(): void {
    if (this.#isBusy) return
    const sending = this.#queue.shift()
    if (sending === undefined) return
    this.#isBusy = true
    const takesMs = (sending.data.byteLength + this.#owedBytes) / this.#rate
    this.#owedBytes = 0
    this.#time.after(takesMs, () => {
      this.#isBusy = false
      if (sending.peerStream.isEnded) sending.settle.reject(new Error('link ended'))
      else sending.peerStream.handleSent(sending)
      this.#next()
    })
  }
}

export class MemoryHost implements Host {
  readonly peer: string
  readonly router: Router
  readonly buffers = new BufferPool(32 * 1024 * 1024)
  readonly uplink: Uplink
  readonly bootstrapped: Promise<void>
  readonly knowsNobody = false
  readonly usesMdns = false
  readonly refusals: ReadonlyMap<string, number> = new Map()

  readonly #network: MemoryNetwork
  readonly #listeners = new Map<string, SwarmListener>()
  /** By root and peer. */
  readonly #peerStreams = new Map<string, MemoryPeerStream>()
  readonly #bans = new Map<string, number>()

  constructor(network: MemoryNetwork, peer: string) {
    this.#network = network
    this.peer = peer
    this.uplink = new Uplink(network.init.time, network.init.uplink)
    this.router = this.#createRouter()
    this.bootstrapped = this.time.pass(DIAL_DELAYS * this.drawDelay())
  }

  get time(): VirtualTime {
    return this.#network.init.time
  }

  drawDelay(): number {
    return this.#network.drawDelay()
  }

  addresses(): string[] {
    return [`/memory/${this.peer}/p2p/${this.peer}`]
  }

  addressesOf(peer: string): string[] {
    return this.rttMs(peer) === undefined ? [] : [`/memory/${peer}`]
  }

  listen(listener: SwarmListener): () => void {
    const key = encodeHex(listener.root)
    this.#listeners.set(key, listener)
    return () => this.#listeners.delete(key)
  }

  listener(root: Uint8Array): SwarmListener | undefined {
    return this.#listeners.get(encodeHex(root))
  }

  async connect(peer: string, _addresses: string[], listener: SwarmListener, signal?: AbortSignal): Promise<PeerStream> {
    const delayMs = this.drawDelay()
    await this.time.pass(DIAL_DELAYS * delayMs)
    signal?.throwIfAborted()
    const key = encodeHex(listener.root)
    const standing = this.#peerStreams.get(`${key} ${peer}`)
    if (standing !== undefined) return standing
    const other = this.#network.hosts.get(peer)
    if (other === undefined || this.isBanned(peer) || other.isBanned(this.peer)) {
      await this.time.pass(DIAL_TIMEOUT_MS)
      throw new NoPeersError(`cannot reach ${peer}`, { peer })
    }
    const theirs = other.listener(listener.root)
    if (theirs?.accepts(this.peer) !== true) {
      await this.time.pass(this.#network.init.latencyMs)
      throw new ProtocolError(theirs === undefined ? 'unknown root' : 'refused')
    }
    const latencyMs = this.drawDelay()
    const peerStream = new MemoryPeerStream(this, peer, { initiator: true, hello: theirs.hello, delayMs: latencyMs })
    const back = new MemoryPeerStream(other, this.peer, { initiator: false, hello: listener.hello, delayMs: latencyMs })
    peerStream.back = back
    back.back = peerStream
    this.#peerStreams.set(`${key} ${peer}`, peerStream)
    other.#peerStreams.set(`${key} ${this.peer}`, back)
    theirs.onPeerStream(back)
    return peerStream
  }

  /** The peer stream has ended at this side. */
  forget(peerStream: MemoryPeerStream): void {
    for (const [key, each] of this.#peerStreams) if (each === peerStream) this.#peerStreams.delete(key)
    this.uplink.drop(peerStream)
  }

  async fetchPieceList(peer: string, _addresses: string[], root: Uint8Array): Promise<Uint8Array> {
    await this.time.pass((DIAL_DELAYS + 2) * this.drawDelay())
    const list = this.#network.hosts.get(peer)?.listener(root)?.pieceList()
    if (list === undefined) throw new ProtocolError('unknown root')
    return list
  }

  async bootstrap(address: string): Promise<string> {
    await this.time.pass(DIAL_DELAYS * this.drawDelay())
    return address.split('/').at(-1) as string
  }

  async join(root: Uint8Array, onGossip: (gossip: AvailabilityGossip) => void): Promise<GossipTopic> {
    const { topics } = this.#network
    const listening: Listening = { peer: this.peer, hear: onGossip }
    const topic = topics.get(encodeHex(root)) ?? new Set()
    topics.set(encodeHex(root), topic)
    topic.add(listening)
    return {
      publish: async gossip => {
        for (let i = 0; i < GOSSIP_PEERS; i++) {
          const other = this.#network.init.random.pick([...topic])
          if (other !== listening) this.time.after(GOSSIP_HOPS * this.drawDelay(), () => topic.has(other) && other.hear(gossip))
        }
      },
      leave: () => topic.delete(listening)
    }
  }

  onPeer(): () => void {
    return () => {}
  }

  ban(peer: string, forMs: number): void {
    this.#bans.set(peer, this.time.nowMs() + forMs)
    for (const peerStream of [...this.#peerStreams.values()]) if (peerStream.peer === peer) peerStream.close('banned')
  }

  rttMs(peer: string): number | undefined {
    for (const peerStream of this.#peerStreams.values()) if (peerStream.peer === peer) return 2 * peerStream.delayMs
    return undefined
  }

  async stop(): Promise<void> {
    for (const peerStream of [...this.#peerStreams.values()]) peerStream.close('leaving')
    this.#network.hosts.delete(this.peer)
  }

  isBanned(peer: string): boolean {
    return (this.#bans.get(peer) ?? Number.NEGATIVE_INFINITY) > this.time.nowMs()
  }

  #createRouter(): Router {
    const network = this.#network
    const { records, init } = network
    const recordsOf = (root: Uint8Array): Map<string, number> => {
      const found = records.get(encodeHex(root)) ?? new Map<string, number>()
      records.set(encodeHex(root), found)
      return found
    }
    const { peer, time } = this
    return {
      async announce(root, signal) {
        signal?.throwIfAborted()
        const visibleMs = time.nowMs() + network.drawLookup()
        recordsOf(root).set(peer, visibleMs)
        await time.pass(visibleMs - time.nowMs())
        return true
      },
      async withdraw(root) {
        recordsOf(root).delete(peer)
      },
      async *find(root, signal) {
        await time.pass(network.drawLookup())
        const found = [...recordsOf(root)].filter(([other, sinceMs]) => other !== peer && sinceMs <= time.nowMs())
        for (const [other] of init.random.shuffle(found).slice(0, LOOKUP_PEERS)) {
          signal?.throwIfAborted()
          yield { peer: other, addresses: [`/memory/${other}`] }
        }
      }
    }
  }
}
