/**
 * Performs what the engine of one swarm asks for, and tells it what happened: the only place where engine, links and store meet.
 *
 * Invariants: the engine is entered by one input at a time (inputs that arise while outputs are performed wait in a queue); a piece's
 * bytes live here only between its arrival and its write; after `close` nothing is sent and nothing is handed in.
 * Used by transfer.ts alone.
 */

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Bitfield } from '../content/bitfield.ts'
import type { Geometry } from '../content/geometry.ts'
import type { EngineOptions } from '../engine/options.ts'
import type { RateBudget } from '../engine/rate-budget.ts'
import { Swarm } from '../engine/swarm.ts'
import type { Input, Output, PeerSource } from '../engine/types.ts'
import type { OriginError } from '../errors.ts'
import type { AvailabilityGossip, GossipTopic, Host, PeerLink, SwarmListener } from '../network/types.ts'
import { PieceLostError, type PieceStore } from '../store/piece-store.ts'
import { createRandom } from '../util/random.ts'
import { RateMeter } from '../util/rate-meter.ts'
import { type Message, WIRE_VERSION } from '../wire/messages.ts'
import { AddressBook } from './address-book.ts'
import { OriginFetcher, type OriginOptions } from './origin-fetcher.ts'
import type { UploadCount } from './upload-count.ts'
import type { UploadSlots } from './upload-slots.ts'

/** What the driver tells its owner; all optional work (events, totals) happens there. */
export interface DriverEvents {
  onPieceVerified(piece: number, peer: string | undefined): void
  onPieceLost(pieces: readonly number[], message: string): void
  onPeer(peer: string, event: 'joined' | 'left' | 'banned', reason?: string): void
  /** A piece could not be written: the download cannot go on. */
  onStoreFailed(err: unknown): void
  /** A piece could not be read; the peer that asked is served by others. */
  onReadFailed(err: unknown): void
  onCompleted(): void
  /** No origin can be used any more; peers may still have everything. */
  onOriginDead(err: OriginError): void
  /** Something about the origin that a person may want to know. */
  onOriginNote(message: string): void
  /** The engine or the driver itself failed: a bug of ours. */
  onBug(err: unknown): void
}

export interface DriverInit {
  host: Host
  root: Uint8Array
  geometry: Geometry
  store: PieceStore
  labels: Readonly<Record<string, string>>
  /** Options of this swarm's engine. */
  engine: Partial<EngineOptions>
  /** Shared by all swarms of the node. */
  uploadBudget: RateBudget
  downloadBudget: RateBudget
  uploadSlots: UploadSlots
  uploadCount: UploadCount
  pieceList: Uint8Array
  /** HTTP(S) URLs that hold the whole content. */
  origins: readonly string[]
  originOptions: Partial<OriginOptions>
  /** Extra places to look for peers when the engine asks: hints, `--peer`. */
  hints: readonly { peer: string; addresses: string[]; source: PeerSource }[]
  events: DriverEvents
}

/** Traffic with one peer, kept after it left. */
export interface PeerTraffic {
  readonly peer: string
  readonly down: RateMeter
  readonly up: RateMeter
  address: string
  encryption: string
}

const MAX_TRAFFIC_RECORDS = 1000
/** The most that is asked of an origin ahead, in bytes; how much of it is used follows the measured rate. */
const ORIGIN_WINDOW_BYTES = 256 * 1024 * 1024
/**
 * A search that meets nobody goes on for long; that nobody answered for this long is news already. Most end by themselves long before: this is
 * for machines that are busy with the start of a crowd (20 nodes on two cores), where 600 ms made members think that they are alone.
 */
const SEARCH_PATIENCE_MS = 2000
/** Until a bootstrap peer has answered, and we have announced ourselves, a search has hardly begun; for this long it may yet do so. */
const BOOTSTRAP_PATIENCE_MS = 3000
/**
 * Who begins with nothing looks for peers this long before it listens to gossip, and is announced in the DHT when it is complete or after so long: in a
 * fleet that starts at once all that telling kept processors and uplinks busy ahead of the first pieces, and a search found those who had nothing.
 * Neighbours tell of it meanwhile, and its gossip from the first piece on. Not all at the same moment.
 */
const LISTEN_AFTER_MS = 1500
const ANNOUNCE_AFTER_MS = 20_000
/** With so many links it gossips nothing as long as it has nothing. */
const ENOUGH_LINKS = 4
const DIAL_TIMEOUT_MS = 10_000
/** Links that get a lane with each piece that came or left on a slow uplink: handshakes are to take a small part of the time. */
const LANES_PER_PIECE = 1
const FIND_TIMEOUT_MS = 30_000

export class SwarmDriver {
  readonly engine: Swarm
  readonly traffic = new Map<string, PeerTraffic>()
  readonly down: RateMeter
  readonly up: RateMeter
  bytesWasted = 0
  lastServedMs = 0
  /** How often the DHT was asked and what came of it, for "what was tried". */
  readonly tried = { hints: 0, dht: 0, dhtFound: 0, mdns: 0, gossip: 0, dials: 0, dialsFailed: 0, lastDialError: '' }

  readonly #init: DriverInit
  readonly #links = new Map<string, PeerLink>()
  readonly #book = new AddressBook()
  readonly #queue: Input[] = []
  readonly #closing = new AbortController()
  readonly #cancelled = new Set<string>()
  readonly #stops: (() => void)[] = []
  #origin: OriginFetcher | undefined
  readonly originMeter: RateMeter
  #fromOrigin: { piece: number; data: Uint8Array; stored: Promise<void> } | undefined
  #arriving: { peer: string; piece: number; data: Uint8Array } | undefined
  #draining = false
  #timer: NodeJS.Timeout | undefined
  /** When {@link #timer} fires. */
  #timerMs = Number.POSITIVE_INFINITY
  #topic: GossipTopic | undefined
  #finding = false
  #announced = Promise.resolve()
  /** Settles when others have to know of us: we have something from before or everything now, or an origin whose bytes are to be shared out. */
  readonly #isOfUse = Promise.withResolvers<void>()

  constructor(init: DriverInit) {
    this.#init = init
    const nowMs = performance.now()
    this.down = new RateMeter(nowMs)
    this.up = new RateMeter(nowMs)
    this.originMeter = new RateMeter(nowMs)
    this.engine = new Swarm({
      geometry: init.geometry,
      have: init.store.have.clone(),
      options: init.engine,
      labels: init.labels,
      uploadBudget: init.uploadBudget,
      downloadBudget: init.downloadBudget,
      random: createRandom(randomBytes(4).readUInt32LE()),
      nowMs
    })
    if (!init.store.wanted.isFull) this.#queue.push({ type: 'wantedChanged', wanted: init.store.wanted.clone() })
  }

  /** Joins the swarm: listens, gossips, announces and begins to look for peers. */
  start(): void {
    const { host, hints } = this.#init
    this.#stops.push(host.listen(this.#listener))
    this.#stops.push(
      host.onPeer((peer, addresses) => {
        this.tried.mdns++
        this.discover(peer, addresses, 'mdns')
      })
    )
    for (const hint of hints) {
      this.tried.hints++
      this.discover(hint.peer, hint.addresses, hint.source)
    }
    this.#announced = this.#tell()
    this.#findPeers()
    this.setOrigins(this.#init.origins)
    this.handle({ type: 'tick' })
  }

  get linkCount(): number {
    return this.#links.size
  }

  get peers(): ReadonlyMap<string, PeerLink> {
    return this.#links
  }

  discover(peer: string, addresses: readonly string[], source: PeerSource, seeder?: boolean): void {
    if (peer === this.#init.host.peer) return
    if (addresses.length > 0) this.#book.record(peer, addresses)
    this.handle(
      seeder === undefined ? { type: 'peerDiscovered', peer, source } : { type: 'peerDiscovered', peer, source, seeder }
    )
  }

  /** Hands an input to the engine and performs its outputs. */
  handle(input: Input): void {
    this.#queue.push(input)
    if (this.#draining) return
    this.#draining = true
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        if (this.#closing.signal.aborted) break
        for (const output of this.engine.handle(next, performance.now())) this.#perform(output)
      }
    } catch (err) {
      this.#init.events.onBug(err)
    } finally {
      this.#draining = false
    }
    this.#schedule()
  }

  /** The store can no longer vouch for these pieces. */
  losePieces({ pieces, message }: PieceLostError): void {
    const { store } = this.#init
    // What cannot be written again is not to be fetched again.
    if (!store.isWritable) this.handle({ type: 'wantedChanged', wanted: store.have.clone() })
    for (const piece of pieces) this.handle({ type: 'pieceLost', piece })
    this.#init.events.onPieceLost(pieces, message)
  }

  /** URLs of the content's origins, in place of those before. */
  setOrigins(urls: readonly string[]): void {
    if (this.#closing.signal.aborted || (urls.length === 0 && this.#origin === undefined)) return
    this.#isOfUse.resolve()
    if (this.#origin !== undefined) {
      this.#origin.setUrls(urls)
      return
    }
    const { host, geometry, originOptions, events } = this.#init
    this.#origin = new OriginFetcher(urls, geometry, originOptions, host.buffers, {
      onOpen: isSequential =>
        this.handle({ type: 'originChanged', state: 'open', self: host.peer, windowBytes: ORIGIN_WINDOW_BYTES, isSequential }),
      onPiece: (piece, data) => this.#handleOriginPiece(piece, data),
      onFailed: (pieces, retryMs) => this.handle({ type: 'originFailed', pieces, retryMs }),
      onDead: err => {
        this.handle({ type: 'originChanged', state: 'closed' })
        events.onOriginDead(err)
      },
      onNote: message => events.onOriginNote(message)
    })
    this.#origin.start()
  }

  /** The origins in use, without what signs their URLs; undefined without any. */
  get origins(): ReturnType<OriginFetcher['describe']> | undefined {
    return this.#origin?.describe()
  }

  setOriginRate(bytesPerSecond: number): void {
    this.#origin?.setRate(bytesPerSecond)
  }

  /** Leaves the swarm: withdraws, says goodbye, stops all timers. The store stays open. */
  async close(reason: string): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.handle({ type: 'leaving' })
    this.#closing.abort()
    clearTimeout(this.#timer)
    for (const stop of this.#stops) stop()
    this.#topic?.leave()
    for (const link of this.#links.values()) link.close(reason)
    this.#links.clear()
    await this.#origin?.close()
    await this.#init.host.router.withdraw(this.#init.root).catch(() => {})
  }

  get #listener(): SwarmListener {
    const { root, geometry, labels, pieceList } = this.#init
    return {
      root,
      hello: { type: 'hello', version: WIRE_VERSION, pieceCount: geometry.pieceCount, labels },
      maxPieceBytes: geometry.pieceLength,
      accepts: peer => !this.#closing.signal.aborted && this.engine.accepts(peer, performance.now()),
      onLink: link => this.#handleLink(link),
      pieceList: () => pieceList
    }
  }

  #handleLink(link: PeerLink): void {
    const peer = link.peer
    if (this.#closing.signal.aborted) {
      link.close('leaving')
      return
    }
    const old = this.#links.get(peer)
    if (old !== undefined && old !== link) {
      link.close('duplicate link')
      return
    }
    this.#links.set(peer, link)
    this.#record(peer, link)
    const rttMs = this.#init.host.rttMs(peer)
    const joined: Input = { type: 'peerJoined', peer, initiator: link.initiator, labels: link.hello.labels }
    this.handle(rttMs === undefined ? joined : { ...joined, rttMs })
    this.#init.events.onPeer(peer, 'joined')
    link.start({
      onMessage: message => this.#handleMessage(peer, message),
      onPiece: (header, data) => this.#handlePiece(link, header.piece, data),
      onClose: reason => {
        if (this.#links.get(peer) !== link) return
        this.#links.delete(peer)
        this.handle({ type: 'peerLeft', peer, reason })
        this.#init.events.onPeer(peer, 'left', reason)
      }
    })
  }

  async #handleOriginPiece(piece: number, data: Uint8Array): Promise<void> {
    const nowMs = performance.now()
    this.originMeter.record(data.byteLength, nowMs)
    this.down.record(data.byteLength, nowMs)
    const arriving = { piece, data, stored: Promise.resolve() }
    this.#fromOrigin = arriving
    this.handle({ type: 'originReceived', piece })
    if (this.#fromOrigin === arriving) {
      this.bytesWasted += data.byteLength
      this.#init.host.buffers.give(data)
      this.#fromOrigin = undefined
    }
    await arriving.stored
  }

  #handleMessage(peer: string, message: Message): void {
    if (message.type === 'keepers')
      for (const keeper of message.keepers) this.discover(keeper.peer, keeper.addresses, 'neighbour')
    if (message.type === 'peers') {
      for (const { peer: other, addresses } of message.peers) {
        if (other !== this.#init.host.peer) this.#book.record(other, addresses)
      }
    }
    this.handle({ type: 'messageReceived', peer, message })
  }

  #handlePiece(link: PeerLink, piece: number, data: Uint8Array): void {
    const { peer } = link
    const nowMs = performance.now()
    this.down.record(data.byteLength, nowMs)
    this.#record(peer, link).down.record(data.byteLength, nowMs)
    this.#arriving = { peer, piece, data }
    this.handle({ type: 'pieceReceived', peer, piece, bytes: data.byteLength })
    // Outputs of that input were performed (links deliver outside of `handle`), so what is still here was neither taken nor dropped.
    if (this.#arriving !== undefined) {
      this.bytesWasted += data.byteLength
      this.#arriving = undefined
    }
  }

  #handleGossip(gossip: AvailabilityGossip): void {
    if (gossip.peer === this.#init.host.peer || gossip.pieceCount !== this.#init.geometry.pieceCount) return
    this.tried.gossip++
    this.discover(gossip.peer, gossip.addresses, 'gossip')
    try {
      this.handle({
        type: 'availabilityGossiped',
        peer: gossip.peer,
        have: Bitfield.fromBytes(gossip.bits, gossip.pieceCount)
      })
    } catch (err) {
      if (!(err instanceof RangeError)) throw err // a malformed bitfield is the gossiper's fault; nothing to do
    }
  }

  #perform(output: Output): void {
    switch (output.type) {
      case 'send':
        this.#links.get(output.peer)?.send(this.#withAddresses(output.message))
        break
      case 'broadcast':
        for (const link of this.#links.values()) link.send(output.message)
        break
      case 'servePiece':
        void this.#serve(output.peer, output.piece, output.isUrgent)
        break
      case 'cancelServe':
        this.#cancelled.add(`${output.peer} ${output.piece}`)
        break
      case 'acceptPiece': {
        const arriving = this.#arriving
        this.#arriving = undefined
        if (arriving?.piece !== output.piece) throw new Error(`engine accepted piece ${output.piece}, which did not just arrive`)
        void this.#store(arriving.peer, arriving.piece, arriving.data)
        break
      }
      case 'fetchFromOrigin':
        this.#origin?.fetch(output.pieces)
        break
      case 'cancelFromOrigin':
        this.#origin?.cancel(output.pieces)
        break
      case 'acceptOriginPiece': {
        const arriving = this.#fromOrigin
        this.#fromOrigin = undefined
        if (arriving?.piece !== output.piece) throw new Error(`engine accepted piece ${output.piece}, which no origin just gave`)
        arriving.stored = this.#store(undefined, arriving.piece, arriving.data)
        break
      }
      case 'dropPiece':
        if (this.#arriving?.piece === output.piece) {
          this.bytesWasted += this.#arriving.data.byteLength
          this.#init.host.buffers.give(this.#arriving.data)
          this.#arriving = undefined
        }
        break
      case 'disconnect': {
        const link = this.#links.get(output.peer)
        if (output.banMs > 0) {
          this.#init.host.ban(output.peer, Date.now() + output.banMs)
          this.#init.events.onPeer(output.peer, 'banned', output.reason)
        }
        link?.close(output.reason)
        break
      }
      case 'dial':
        void this.#dial(output.peer)
        break
      case 'findPeers':
        this.#findPeers()
        break
      case 'publishAvailability':
        this.#publish()
        break
      case 'completed':
        this.#isOfUse.resolve()
        this.#init.events.onCompleted()
        this.#publish()
        break
    }
  }

  /** The engine names neighbours by key only; their addresses are added here, and those without any are left out. */
  #withAddresses(message: Message): Message {
    if (message.type === 'keepers') {
      return {
        type: 'keepers',
        keepers: message.keepers.map(keeper => ({ ...keeper, addresses: this.#addressesOf(keeper.peer) }))
      }
    }
    if (message.type !== 'peers') return message
    const peers = message.peers
      .map(told => ({ ...told, addresses: this.#addressesOf(told.peer) }))
      .filter(({ addresses }) => addresses.length > 0)
    return { type: 'peers', peers }
  }

  #addressesOf(peer: string): string[] {
    const { host } = this.#init
    if (peer === host.peer) return host.addresses().map(address => address.replace(/\/p2p\/[^/]+$/, ''))
    const known = this.#book.of(peer)
    // Whoever dialled us is in no book, but said where it listens.
    return known.length > 0 ? known : host.addressesOf(peer)
  }

  async #serve(peer: string, piece: number, isUrgent: boolean): Promise<void> {
    const link = this.#links.get(peer)
    const { uploadSlots, uploadCount, host, geometry, store } = this.#init
    let sent = 0
    await uploadSlots.acquire()
    try {
      if (link === undefined || this.#cancelled.delete(`${peer} ${piece}`)) return
      const buffer = host.buffers.take(geometry.pieceBytes(piece))
      const data = await store.read(piece, buffer)
      if (this.#cancelled.delete(`${peer} ${piece}`) || this.#closing.signal.aborted) {
        host.buffers.give(buffer)
        return
      }
      const isTaken = await uploadCount.during(() => link.sendPiece({ piece, bytes: data.byteLength }, data, isUrgent))
      if (isTaken) host.buffers.give(buffer)
      sent = data.byteLength
      const nowMs = performance.now()
      this.lastServedMs = nowMs
      this.up.record(sent, nowMs)
      this.#record(peer, link).up.record(sent, nowMs)
    } catch (err) {
      if (err instanceof PieceLostError) {
        this.losePieces(err)
      } else if (this.#links.has(peer)) {
        // A link that ended while we sent is told by its onClose; what is left is the disk.
        this.#init.events.onReadFailed(err)
      }
    } finally {
      uploadSlots.release()
      this.#cancelled.delete(`${peer} ${piece}`)
      this.handle({ type: 'pieceServed', peer, piece, bytes: sent })
      this.#separatePieces()
    }
  }

  /** Where a piece takes our uplink long it holds up what is said behind it: a connection more for each neighbour is worth it then. */
  #separatePieces(): void {
    if (!this.engine.isUplinkSlow) return
    let asked = 0
    for (const link of this.#links.values()) {
      if (link.separatePieces()) asked++
      if (asked === LANES_PER_PIECE) return
    }
  }

  async #store(peer: string | undefined, piece: number, data: Uint8Array): Promise<void> {
    const from = peer === undefined ? {} : { peer }
    try {
      if (await this.#init.store.write(piece, data)) {
        this.handle({ type: 'pieceVerified', piece, ...from })
        this.#init.events.onPieceVerified(piece, peer)
        this.#separatePieces()
      } else {
        this.bytesWasted += data.byteLength
        this.handle({ type: 'pieceCorrupt', piece, ...from })
        if (peer === undefined) this.#origin?.reportCorrupt(piece)
      }
      // Not after a failure: a write of another part may still be under way.
      this.#init.host.buffers.give(data)
    } catch (err) {
      this.bytesWasted += data.byteLength
      this.handle({ type: 'storeFailed', piece, ...from, reason: (err as Error).message })
      this.#init.events.onStoreFailed(err)
    }
  }

  async #dial(peer: string): Promise<void> {
    this.tried.dials++
    try {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)])
      const link = await this.#init.host.connect(peer, this.#book.of(peer), this.#listener, signal)
      if (this.#links.get(peer) !== link) this.#handleLink(link)
    } catch (err) {
      if (this.#closing.signal.aborted) return
      this.tried.dialsFailed++
      this.tried.lastDialError = (err as Error).message
      this.handle({ type: 'dialFailed', peer, reason: (err as Error).message })
    }
  }

  /** Lets others know of us. Never rejects. */
  async #tell(): Promise<void> {
    const { host, root, store, origins } = this.#init
    const { signal } = this.#closing
    try {
      if (store.have.count > 0 || origins.length > 0) this.#isOfUse.resolve()
      await Promise.race([this.#isOfUse.promise, sleep(LISTEN_AFTER_MS, undefined, { signal, ref: false })])
      void host
        .join(root, gossip => this.#handleGossip(gossip))
        .then(
          topic => {
            if (signal.aborted) topic.leave()
            else {
              this.#topic = topic
              if (store.have.count > 0) this.#publish()
            }
          },
          () => {}
        )
      const announceMs = ANNOUNCE_AFTER_MS * (1 + Math.random())
      await Promise.race([this.#isOfUse.promise, sleep(announceMs, undefined, { signal, ref: false })])
      if (store.have.count === 0 && this.#links.size < ENOUGH_LINKS) this.#publish()
      // The router repeats and renews it until `withdraw`.
      await host.router.announce(root, signal)
    } catch {
      // We left, or it could not be told; the router tries again by itself.
    }
  }

  #findPeers(): void {
    if (this.#finding || this.#closing.signal.aborted) return
    this.#finding = true
    const walked = this.#walk().finally(() => {
      this.#finding = false
    })
    void this.#concludeSearch(walked)
  }

  /** Never rejects. */
  async #walk(): Promise<void> {
    const { host, root, hints } = this.#init
    for (const hint of hints) this.discover(hint.peer, hint.addresses, hint.source)
    try {
      this.tried.dht++
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(FIND_TIMEOUT_MS)])
      for await (const { peer, addresses } of host.router.find(root, signal)) {
        this.tried.dhtFound++
        this.discover(peer, addresses, 'dht')
      }
    } catch {
      // An unanswered walk is no fault: the engine asks again with its own backoff.
    }
  }

  /** Tells the engine when a search is over. */
  async #concludeSearch(walked: Promise<void>): Promise<void> {
    const { host } = this.#init
    const isFinal = host.knowsNobody && !host.usesMdns
    if (!host.knowsNobody) {
      await within(BOOTSTRAP_PATIENCE_MS, host.bootstrapped)
      await within(BOOTSTRAP_PATIENCE_MS, this.#announced)
      await within(SEARCH_PATIENCE_MS, walked)
      // Of peers that start together, each telling of itself before it looks, all but one find another.
      if (this.#links.size === 0) await within(SEARCH_PATIENCE_MS, this.#walk())
    }
    this.handle({ type: 'searched', isFinal })
  }

  #publish(): void {
    const { host, geometry, store } = this.#init
    this.#topic
      ?.publish({
        peer: host.peer,
        addresses: host.addresses(),
        pieceCount: geometry.pieceCount,
        bits: store.have.toBytes()
      })
      .catch(() => {})
  }

  #record(peer: string, link: PeerLink): PeerTraffic {
    let traffic = this.traffic.get(peer)
    if (traffic === undefined) {
      const nowMs = performance.now()
      traffic = { peer, down: new RateMeter(nowMs), up: new RateMeter(nowMs), address: '', encryption: '' }
      this.traffic.set(peer, traffic)
      if (this.traffic.size > MAX_TRAFFIC_RECORDS) {
        for (const key of this.traffic.keys()) {
          if (this.#links.has(key)) continue
          this.traffic.delete(key)
          break
        }
      }
    }
    traffic.address = link.remoteAddress
    traffic.encryption = link.encryption
    return traffic
  }

  /** The timer is left alone when it fires too early: setting one anew for every input costs more than looking again. */
  #schedule(): void {
    const deadlineMs = this.#closing.signal.aborted ? undefined : this.engine.deadlineMs()
    if (deadlineMs === undefined || deadlineMs >= this.#timerMs) return
    clearTimeout(this.#timer)
    this.#timerMs = deadlineMs
    this.#timer = setTimeout(() => this.#handleTimer(), Math.max(1, Math.ceil(deadlineMs - performance.now())))
  }

  #handleTimer(): void {
    this.#timerMs = Number.POSITIVE_INFINITY
    if (performance.now() >= (this.engine.deadlineMs() ?? Number.POSITIVE_INFINITY)) this.handle({ type: 'tick' })
    else this.#schedule()
  }
}

/** Resolves with the promise, or after so long; time in which this process was too busy to hear an answer does not count. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  const expired = Promise.withResolvers<void>()
  let timer: NodeJS.Timeout
  const wait = (startedMs: number): void => {
    if (performance.now() - startedMs < 1.25 * ms) expired.resolve()
    else timer = setTimeout(wait, ms, performance.now())
  }
  timer = setTimeout(wait, ms, performance.now())
  await Promise.race([promise, expired.promise])
  clearTimeout(timer)
}
