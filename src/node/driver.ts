/**
 * Performs what the engine of one swarm asks for, and tells it what happened: where engine, peer streams and
 * store meet. It decides nothing, draws nothing, and its only timer is the engine's deadline.
 *
 * Invariants: outputs are performed in the order in which the engine gave them; a piece's bytes live here
 * only between its arrival and its write; after `close` nothing is sent and nothing is handed in. Used by
 * transfer.ts alone.
 */

import type { Geometry } from '../content/geometry.ts'
import type { Input, Output, PeerSource } from '../engine/contract.ts'
import type { EngineOptions } from '../engine/options.ts'
import { Swarm } from '../engine/swarm.ts'
import type { OriginError } from '../errors.ts'
import type { Host, PeerStream, SwarmListener } from '../network/types.ts'
import { OriginFetcher } from '../origin/origin-fetcher.ts'
import type { OriginOptions } from '../origin/settings.ts'
import type { PieceLostError, PieceStore } from '../store/piece-store.ts'
import type { Random } from '../util/random.ts'
import type { RateBudget } from '../util/rate-budget.ts'
import { WIRE_VERSION } from '../wire/messages.ts'
import type { Clock } from './clock.ts'
import { Discovery, type Hint } from './discovery.ts'
import { Serving } from './serving.ts'
import { Traffic } from './traffic.ts'
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
  clock: Clock
  /** All that this swarm's engine draws comes from here. */
  random: Random
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
  /** Peers that the caller or the manifest names. */
  hints: readonly Hint[]
  events: DriverEvents
}

/** The most that is asked of an origin ahead, in bytes; how much is used follows its rate. */
const ORIGIN_WINDOW_BYTES = 256 * 1024 * 1024

export class SwarmDriver {
  readonly engine: Swarm
  readonly traffic: Traffic
  /** Connections that were tried, for "what was tried". */
  readonly dials = { tried: 0, failed: 0, lastError: '' }

  readonly #init: DriverInit
  readonly #peerStreams = new Map<string, PeerStream>()
  readonly #discovery: Discovery
  readonly #serving: Serving
  readonly #listener: SwarmListener
  readonly #outputs: Output[] = []
  readonly #closing = new AbortController()
  #stopListening: () => void = () => {}
  #origin: OriginFetcher | undefined
  #isPerforming = false
  #stopTimer: () => void = () => {}
  /** When the timer fires. */
  #timerMs = Number.POSITIVE_INFINITY

  constructor(init: DriverInit) {
    this.#init = init
    const { host, root, geometry, store, labels, clock, pieceList, events } = init
    const nowMs = clock.nowMs()
    this.traffic = new Traffic(nowMs, peer => this.#peerStreams.has(peer))
    this.engine = new Swarm({
      geometry,
      have: store.have.clone(),
      options: init.engine,
      labels,
      uploadBudget: init.uploadBudget,
      downloadBudget: init.downloadBudget,
      random: init.random,
      nowMs
    })
    this.#discovery = new Discovery({ host, root, geometry, store, hints: init.hints, handle: input => this.handle(input) })
    this.#serving = new Serving({
      geometry,
      store,
      buffers: host.buffers,
      uploadSlots: init.uploadSlots,
      uploadCount: init.uploadCount,
      peerStreamOf: peer => this.#peerStreams.get(peer),
      onServed: (peer, piece, bytes, peerStream) => this.#handleServed(peer, piece, bytes, peerStream),
      onLost: err => this.losePieces(err),
      onReadFailed: err => events.onReadFailed(err)
    })
    this.#listener = {
      root,
      hello: { type: 'hello', version: WIRE_VERSION, pieceCount: geometry.pieceCount, labels },
      maxPieceBytes: geometry.pieceLength,
      accepts: peer => !this.#closing.signal.aborted && this.engine.accepts(peer, clock.nowMs()),
      onPeerStream: peerStream => this.#handlePeerStream(peerStream),
      pieceList: () => pieceList
    }
  }

  /** Joins the swarm. */
  start(): void {
    const { host, store, origins } = this.#init
    if (!store.wanted.isFull) this.handle({ type: 'wantedChanged', wanted: store.wanted.clone() })
    this.#stopListening = host.listen(this.#listener)
    this.#discovery.start()
    this.setOrigins(origins)
    this.handle({ type: 'tick' })
  }

  get peers(): ReadonlyMap<string, PeerStream> {
    return this.#peerStreams
  }

  get tried(): Discovery['tried'] {
    return this.#discovery.tried
  }

  discover(peer: string, addresses: readonly string[], source: PeerSource): void {
    this.#discovery.discover(peer, addresses, source)
  }

  /**
   * Hands an input to the engine and performs its outputs. True when these say that the piece of the input is
   * to be verified and stored: its bytes are the caller's, and so is that work.
   */
  handle(input: Input): boolean {
    if (this.#closing.signal.aborted) return false
    let isAccepted = false
    try {
      for (const output of this.engine.handle(input, this.#init.clock.nowMs())) {
        if (output.type === 'acceptPiece' || output.type === 'acceptOriginPiece') isAccepted = true
        else if (output.type !== 'dropPiece') this.#outputs.push(output)
      }
      this.#performAll()
    } catch (err) {
      this.#init.events.onBug(err)
    }
    this.#schedule()
    return isAccepted
  }

  /** The store can no longer vouch for these pieces. */
  losePieces({ pieces, message }: PieceLostError): void {
    const { store } = this.#init
    // What cannot be written again is not to be fetched again.
    if (!store.isWritable) this.handle({ type: 'wantedChanged', wanted: store.have.clone() })
    for (const piece of pieces) this.handle({ type: 'pieceLost', piece })
    this.#init.events.onPieceLost(pieces, message)
  }

  /** URLs of the content's origins, which replace those before. */
  setOrigins(urls: readonly string[]): void {
    if (this.#closing.signal.aborted || (urls.length === 0 && this.#origin === undefined)) return
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

  /** Leaves the swarm: withdraws, says goodbye, stops the timer. The store stays open. */
  async close(reason: string): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.handle({ type: 'leaving' })
    this.#closing.abort()
    this.#stopTimer()
    this.#stopListening()
    this.#serving.close()
    for (const peerStream of this.#peerStreams.values()) peerStream.close(reason)
    this.#peerStreams.clear()
    await this.#origin?.close()
    await this.#discovery.withdraw()
  }

  #handlePeerStream(peerStream: PeerStream): void {
    const peer = peerStream.peer
    if (this.#closing.signal.aborted) {
      peerStream.close('leaving')
      return
    }
    const old = this.#peerStreams.get(peer)
    if (old !== undefined && old !== peerStream) {
      peerStream.close('duplicate link')
      return
    }
    this.#peerStreams.set(peer, peerStream)
    this.traffic.of(peerStream, this.#init.clock.nowMs())
    const rttMs = this.#init.host.rttMs(peer)
    const joined: Input = { type: 'peerJoined', peer, initiator: peerStream.initiator, labels: peerStream.hello.labels }
    this.handle(rttMs === undefined ? joined : { ...joined, rttMs })
    this.#init.events.onPeer(peer, 'joined')
    peerStream.start({
      onMessage: message => {
        this.#discovery.handleTold(message)
        this.handle({ type: 'messageReceived', peer, message })
      },
      onPiece: (header, data) => this.#handlePiece(peerStream, header.piece, data),
      onClose: reason => {
        if (this.#peerStreams.get(peer) !== peerStream) return
        this.#peerStreams.delete(peer)
        this.handle({ type: 'peerLeft', peer, reason })
        this.#init.events.onPeer(peer, 'left', reason)
      }
    })
  }

  #handlePiece(peerStream: PeerStream, piece: number, data: Uint8Array): void {
    const { peer } = peerStream
    this.traffic.recordReceived(peerStream, data.byteLength, this.#init.clock.nowMs())
    if (this.handle({ type: 'pieceReceived', peer, piece, bytes: data.byteLength })) void this.#store(peer, piece, data)
    else this.#discard(data)
  }

  /** Resolves when the piece is stored or was thrown away: the origin's next ones wait for that. */
  async #handleOriginPiece(piece: number, data: Uint8Array): Promise<void> {
    this.traffic.recordFromOrigin(data.byteLength, this.#init.clock.nowMs())
    if (this.handle({ type: 'originReceived', piece })) await this.#store(undefined, piece, data)
    else this.#discard(data)
  }

  #discard(data: Uint8Array): void {
    this.traffic.bytesWasted += data.byteLength
    this.#init.host.buffers.give(data)
  }

  /** Verifies and stores a piece that the engine accepted. Never rejects. */
  async #store(peer: string | undefined, piece: number, data: Uint8Array): Promise<void> {
    const from = peer === undefined ? {} : { peer }
    try {
      if (await this.#init.store.write(piece, data)) {
        this.handle({ type: 'pieceVerified', piece, ...from })
        this.#init.events.onPieceVerified(piece, peer)
      } else {
        this.traffic.bytesWasted += data.byteLength
        this.handle({ type: 'pieceCorrupt', piece, ...from })
        if (peer === undefined) this.#origin?.reportCorrupt(piece)
      }
      // Not after a failure: a write of another part may still be under way.
      this.#init.host.buffers.give(data)
    } catch (err) {
      this.traffic.bytesWasted += data.byteLength
      this.handle({ type: 'storeFailed', piece, ...from, reason: (err as Error).message })
      this.#init.events.onStoreFailed(err)
    }
  }

  #handleServed(peer: string, piece: number, bytes: number, peerStream: PeerStream | undefined): void {
    if (peerStream !== undefined && bytes > 0) this.traffic.recordSent(peerStream, bytes, this.#init.clock.nowMs())
    this.handle({ type: 'pieceServed', peer, piece, bytes })
  }

  /** Performing may lead to inputs, whose outputs come behind those that wait. */
  #performAll(): void {
    if (this.#isPerforming) return
    this.#isPerforming = true
    try {
      for (let next = this.#outputs.shift(); next !== undefined; next = this.#outputs.shift()) this.#perform(next)
    } finally {
      this.#isPerforming = false
    }
  }

  #perform(output: Output): void {
    switch (output.type) {
      case 'send':
        this.#peerStreams.get(output.peer)?.send(this.#discovery.withAddresses(output.message))
        return
      case 'broadcast':
        for (const peerStream of this.#peerStreams.values()) peerStream.send(output.message)
        return
      case 'servePiece':
        void this.#serving.serve(output.peer, output.piece, output.isUrgent)
        return
      case 'cancelServe':
        this.#serving.cancel(output.peer, output.piece)
        return
      case 'fetchFromOrigin':
        this.#origin?.fetch(output.pieces)
        return
      case 'cancelFromOrigin':
        this.#origin?.cancel(output.pieces)
        return
      case 'disconnect':
        if (output.banMs > 0) {
          this.#init.host.ban(output.peer, output.banMs)
          this.#init.events.onPeer(output.peer, 'banned', output.reason)
        }
        this.#peerStreams.get(output.peer)?.close(output.reason)
        return
      case 'dial':
        void this.#dial(output.peer)
        return
      case 'openPieceConnection':
        void this.#openPieceConnection(output.peer)
        return
      case 'findPeers':
        void this.#discovery.findPeers()
        return
      case 'listenToGossip':
        this.#discovery.listenToGossip()
        return
      case 'announce':
        void this.#discovery.announce()
        return
      case 'publishAvailability':
        void this.#discovery.publish()
        return
      case 'withdraw':
        void this.#discovery.withdraw()
        return
      case 'completed':
        this.#init.events.onCompleted()
        return
      // `acceptPiece`, `acceptOriginPiece` and `dropPiece` are answers of `handle`.
    }
  }

  async #dial(peer: string): Promise<void> {
    this.dials.tried++
    try {
      const addresses = this.#discovery.whereIs(peer)
      const peerStream = await this.#init.host.connect(peer, addresses, this.#listener, this.#closing.signal)
      if (this.#peerStreams.get(peer) !== peerStream) this.#handlePeerStream(peerStream)
    } catch (err) {
      if (this.#closing.signal.aborted) return
      this.dials.failed++
      this.dials.lastError = (err as Error).message
      this.handle({ type: 'dialFailed', peer, reason: (err as Error).message })
    }
  }

  async #openPieceConnection(peer: string): Promise<void> {
    const peerStream = this.#peerStreams.get(peer)
    if (peerStream !== undefined && !(await peerStream.separatePieces())) this.handle({ type: 'pieceConnectionFailed', peer })
  }

  /** A timer that fires too early is left alone: setting it for every input costs more than looking again. */
  #schedule(): void {
    const deadlineMs = this.#closing.signal.aborted ? undefined : this.engine.deadlineMs()
    if (deadlineMs === undefined || deadlineMs >= this.#timerMs) return
    this.#stopTimer()
    this.#timerMs = deadlineMs
    this.#stopTimer = this.#init.clock.setDeadline(deadlineMs, () => this.#handleTimer())
  }

  #handleTimer(): void {
    this.#timerMs = Number.POSITIVE_INFINITY
    if (this.#init.clock.nowMs() >= (this.engine.deadlineMs() ?? Number.POSITIVE_INFINITY)) this.handle({ type: 'tick' })
    else this.#schedule()
  }
}
