/**
 * The world in one process: thousands of real engines over a modelled network, in virtual time.
 *
 * The model: a host's uplink sends one piece after another; its downlink takes them in order of arrival; small messages take a delay
 * with jitter, never overtake each other on a connection, queue behind the pieces of their connection, and are paid for on the uplink.
 * A peer learns of others only as a real one would: a hint in the manifest, a DHT lookup that takes its time and knows only who
 * announced, gossip that reaches some, and the lists that neighbours send. Dialling takes round trips and may be refused.
 *
 * Hosts take turns in windows of a few milliseconds (timetable.ts), so what one does to another is an event of the other; what concerns
 * several at once (dialling, ends of connections, links between racks, the origin) is done between windows.
 *
 * Deterministic: hosts have an order, events of one are ordered by time and by the order of their making; each part draws from its own
 * generator; no transcendental function touches a time. Used by run.ts; drives `Swarm` exactly as the real node does.
 */

import { Bitfield } from '../content/bitfield.ts'
import { Geometry } from '../content/geometry.ts'
import { Swarm } from '../engine/swarm.ts'
import type { Input, Output } from '../engine/types.ts'
import { Heap } from '../util/heap.ts'
import type { Random } from '../util/random.ts'
import type { Message } from '../wire/messages.ts'
import type { Checker } from './checkers/checker.ts'
import { Host, type HostSpec, type Transfer } from './host.ts'
import type { SimulationOptions } from './options.ts'
import { type Behaviour, Link, SimPeer } from './peer.ts'
import { Timetable } from './timetable.ts'

/** A DHT lookup takes from LOW to HIGH ms (several hops), an announcement as long until others find it; a lookup finds at most so many. */
const LOOKUP_LOW_MS = 150
const LOOKUP_HIGH_MS = 600
const LOOKUP_PEERS = 20
/** Peers that a gossiped bitfield reaches in the model (a real topic reaches more). */
const GOSSIP_PEERS = 6
/** Hashing and writing a piece, ms per MiB (about 500 MB/s). */
const VERIFY_MS_PER_MIB = 2
/** How long others take to notice that a host is gone without a word. */
const CRASH_NOTICE_LOW_MS = 200
const CRASH_NOTICE_HIGH_MS = 5000
/** From asking the origin to its first byte, beside the round trip: a server that looks for the object. */
const ORIGIN_ANSWER_MS = 20
/** Bytes of a small message on the wire with its headers, and of each piece number in it. */
const MESSAGE_BYTES = 70
const PIECE_NUMBER_BYTES = 3
const FRAME_HEADER_BYTES = 5
/** What a reader asks for ahead of where it is; how often it looks whether it can go on. */
const READ_AHEAD_BYTES = 8 * 1024 ** 2
const READER_LOOK_MS = 1
/** A dial to nobody fails after this long. */
const DIAL_TIMEOUT_MS = 5000

export interface PeerSpec {
  readonly host: HostSpec
  readonly content: number
  readonly behaviour: Behaviour
  readonly isSeeder: boolean
  readonly joinMs: number
}

/** How somebody who reads in order fared. Times in ms. */
export interface Playback {
  readonly askedMs: number
  /** When the first piece was there. */
  startedMs: number | undefined
  /** Times that the next piece was not there when its turn came, and how long that lasted in all. */
  stalls: number
  stalledMs: number
  isOver: boolean
}

type MessageInput = Extract<Input, { type: 'messageReceived' }>

type Event =
  | { readonly kind: 'tick'; readonly peer: SimPeer; readonly atMs: number }
  | { readonly kind: 'input'; readonly peer: SimPeer; readonly input: Input }
  | { readonly kind: 'message'; readonly link: Link; readonly input: MessageInput }
  /** Messages to many; who they go to now is the host whose turn it is. */
  | { readonly kind: 'broadcast'; readonly from: SimPeer; readonly inputs: readonly MessageInput[] }
  | { readonly kind: 'sent'; readonly host: Host; readonly transfer: Transfer }
  /** Its last byte is at the receiver's downlink, which may have others to take before. */
  | { readonly kind: 'landed'; readonly transfer: Transfer; readonly link: Link }
  | { readonly kind: 'arrived'; readonly transfer: Transfer; readonly link: Link }
  | {
      readonly kind: 'verified'
      readonly peer: SimPeer
      readonly piece: number
      readonly from: SimPeer
      readonly isCorrupt: boolean
    }
  | { readonly kind: 'found'; readonly peer: SimPeer }
  | { readonly kind: 'call'; readonly call: () => void }

export class World {
  readonly options: SimulationOptions
  readonly geometry: Geometry
  readonly hosts = new Map<string, Host>()
  readonly peers: SimPeer[] = []
  readonly checkers: readonly Checker[]
  nowMs = 0
  /** Events handled so far. */
  steps = 0
  /** Bytes of small messages, and pieces delivered. */
  controlBytes = 0
  piecesDelivered = 0
  /** Payload bytes between hosts whose rack labels differ. */
  crossRackBytes = 0
  /** What a rack's link to the others carries each way, in bytes per ms: shared first come, first served. */
  rackRate = Number.POSITIVE_INFINITY
  /** When each rack's link has carried everything under way, by rack and direction. */
  readonly #rackFreeMs = new Map<string, number>()
  /** Payload bytes that the origin sent (it has an uplink of its own, shared first come, first served). */
  originBytes = 0
  #originFreeMs = 0
  /** True while the network is in two: hosts on different sides do not reach each other. */
  isPartitioned = false
  /** Whose completion the run waits for. */
  isMeasured: (peer: SimPeer) => boolean = () => true
  /** Measured leechers that have not completed yet. */
  openLeechers = 0
  /** Called when a leecher has everything. */
  onCompleted: (peer: SimPeer) => void = () => {}
  /** Called when a piece left an uplink. */
  onSent: (peer: SimPeer) => void = () => {}
  /** What a reader saw, in the scenario that has one. */
  playback: Playback | undefined
  readonly #peersOf: Map<string, SimPeer>[] = []
  readonly #joined: SimPeer[][] = []
  readonly #seeders: SimPeer[][] = []
  readonly #hostAt: Host[] = []
  readonly #timetable: Timetable<Event>
  /** What concerns several hosts, by its time. */
  readonly #calls = new Heap<() => void>()
  readonly #random: { delay: Random; discovery: Random; verify: Random; engine: Random }
  readonly #verifyMs: number
  readonly #swarmClass: typeof Swarm

  constructor(options: SimulationOptions, random: Random, checkers: readonly Checker[], swarmClass: typeof Swarm = Swarm) {
    this.options = options
    this.checkers = checkers
    this.geometry = new Geometry(options.contentBytes, options.pieceLength)
    this.#verifyMs = (VERIFY_MS_PER_MIB * options.pieceLength) / 1024 ** 2
    this.#random = {
      delay: random.fork('delay'),
      discovery: random.fork('discovery'),
      verify: random.fork('verify'),
      engine: random.fork('engine')
    }
    this.#swarmClass = swarmClass
    this.#timetable = new Timetable(options.latencyMs * (1 - options.jitter))
  }

  get now(): number {
    return this.nowMs
  }

  /** Calls back between windows, some ms after `ms` at most; for what concerns more than one host. */
  at(ms: number, call: () => void): void {
    this.#calls.push(ms, call)
  }

  /** Calls back at `ms`, to do what concerns this host alone. */
  #atHost(host: Host, ms: number, call: () => void): void {
    this.#push(host, ms, { kind: 'call', call })
  }

  /** Makes the peer; it joins at its time. */
  add({ host: spec, content, behaviour, isSeeder, joinMs }: PeerSpec): SimPeer {
    let host = this.hosts.get(spec.key)
    if (host === undefined) {
      host = new Host(spec, this.hosts.size)
      this.hosts.set(spec.key, host)
      this.#hostAt.push(host)
    }
    const { pieceCount } = this.geometry
    const have = isSeeder ? Bitfield.full(pieceCount) : new Bitfield(pieceCount)
    const peer: SimPeer = new SimPeer({
      key: host.key,
      index: this.peers.length,
      host,
      content,
      behaviour,
      isSeeder,
      joinMs,
      verified: have.clone(),
      swarm: new this.#swarmClass({
        geometry: this.geometry,
        have,
        options: this.options.engine,
        labels: host.labels,
        random: this.#random.engine.fork(`${host.key}/${content}`),
        nowMs: joinMs
      })
    })
    host.peers.push(peer)
    this.peers.push(peer)
    while (this.#peersOf.length <= content) {
      this.#peersOf.push(new Map())
      this.#joined.push([])
      this.#seeders.push([])
    }
    if (this.#peersOf[content]?.has(peer.key) === true) throw new Error(`host ${peer.key} shares content ${content} twice`)
    this.#peersOf[content]?.set(peer.key, peer)
    if (!isSeeder && this.isMeasured(peer)) this.openLeechers++
    this.#atHost(host, joinMs, () => this.#join(peer))
    return peer
  }

  /** The peer goes. `isClean`: it says so; else others notice by themselves. Its host goes with its last peer. */
  remove(peer: SimPeer, isClean: boolean): void {
    if (!peer.isUp) return
    if (isClean) this.hand(peer, { type: 'leaving' })
    peer.isUp = false
    peer.leftMs = this.nowMs
    if (!peer.isSeeder && peer.completedMs === undefined && this.isMeasured(peer)) this.openLeechers--
    const joined = this.#joined[peer.content] as SimPeer[]
    joined.splice(joined.indexOf(peer), 1)
    const { host } = peer
    host.queue.splice(0, host.queue.length, ...host.queue.filter(({ from }) => from !== peer))
    host.isUp = host.peers.some(({ isUp }) => isUp)
    for (const link of [...peer.links.values()]) {
      const noticeMs = isClean ? link.delayMs : this.#random.delay.nextBetween(CRASH_NOTICE_LOW_MS, CRASH_NOTICE_HIGH_MS)
      this.#cut(peer, link, 'gone', noticeMs)
    }
    for (const checker of this.checkers) checker.left?.(peer)
  }

  /**
   * The peer reads the content from its beginning, at `rate` bytes per ms once its first piece is there; it asks for a window of pieces
   * ahead, as the node's readers do.
   */
  play(peer: SimPeer, rate: number): void {
    const playback: Playback = { askedMs: this.nowMs, startedMs: undefined, stalls: 0, stalledMs: 0, isOver: false }
    this.playback = playback
    const { pieceCount, pieceLength } = this.geometry
    const ahead = Math.max(4, Math.ceil(READ_AHEAD_BYTES / pieceLength))
    let waitingSinceMs = this.nowMs
    const step = (piece: number): void => {
      if (piece === pieceCount) {
        playback.isOver = true
        return
      }
      const last = Math.min(pieceCount - 1, piece + ahead - 1)
      this.hand(peer, { type: 'readerMoved', reader: 'playback', first: piece, last, deadlineMs: this.nowMs })
      const look = (): void => {
        if (!peer.verified.get(piece)) {
          this.#atHost(peer.host, this.nowMs + READER_LOOK_MS, look)
          return
        }
        const waitedMs = this.nowMs - waitingSinceMs
        if (playback.startedMs === undefined) playback.startedMs = this.nowMs
        else if (waitedMs > 0) {
          playback.stalls++
          playback.stalledMs += waitedMs
        }
        const doneMs = this.nowMs + this.geometry.pieceBytes(piece) / rate
        waitingSinceMs = doneMs
        this.#atHost(peer.host, doneMs, () => step(piece + 1))
      }
      look()
    }
    step(0)
  }

  /** Cuts or heals the network between the sides. */
  setPartition(isPartitioned: boolean): void {
    this.isPartitioned = isPartitioned
    if (!isPartitioned) return
    for (const peer of this.peers) {
      for (const link of [...peer.links.values()]) {
        if (link.to.host.side !== peer.host.side) {
          this.#cut(peer, link, 'unreachable', this.#random.delay.nextBetween(CRASH_NOTICE_LOW_MS, CRASH_NOTICE_HIGH_MS))
        }
      }
    }
  }

  peerOf(content: number, key: string): SimPeer | undefined {
    return this.#peersOf[content]?.get(key)
  }

  /** Handles windows until `isDone`, `untilMs`, or at least `maxSteps` more events. False when it stopped before `isDone`. */
  run(isDone: () => boolean, untilMs: number, maxSteps: number): boolean {
    const timetable = this.#timetable
    const lastStep = this.steps + maxSteps
    while (this.steps < lastStep) {
      if (isDone()) return true
      const callMs = this.#calls.peekKey() ?? Number.POSITIVE_INFINITY
      const startMs = Math.min(timetable.nextMs ?? Number.POSITIVE_INFINITY, timetable.boundaryMs(callMs))
      if (startMs > untilMs) {
        this.nowMs = untilMs
        return isDone()
      }
      timetable.advanceTo(startMs)
      this.nowMs = startMs
      for (let ms = this.#calls.peekKey(); ms !== undefined && ms <= startMs; ms = this.#calls.peekKey()) {
        this.#calls.pop()?.()
        this.steps++
      }
      this.steps += timetable.runWindow(this.#handle)
    }
    return isDone()
  }

  /** Hands an input to the peer's engine and performs its outputs. */
  hand(peer: SimPeer, input: Input): void {
    if (!peer.isUp) return
    const outputs = peer.swarm.handle(input, this.nowMs)
    for (const checker of this.checkers) checker.handled?.(peer, input, outputs)
    if (outputs.length > 0) this.#perform(peer, outputs)
    const deadlineMs = peer.swarm.deadlineMs()
    if (deadlineMs !== undefined && deadlineMs < peer.timerMs) this.#setTimer(peer, deadlineMs)
  }

  #push(host: Host, ms: number, event: Event): void {
    this.#timetable.push(host.index, ms, event)
  }

  #setTimer(peer: SimPeer, deadlineMs: number): void {
    // A timer never fires at once: a real one neither, and an engine that forgets to move its deadline must not stop the world.
    const atMs = Math.max(deadlineMs, this.nowMs + 0.05)
    peer.timerMs = atMs
    this.#push(peer.host, atMs, { kind: 'tick', peer, atMs })
  }

  readonly #handle = (ms: number, event: Event, host: number): void => {
    this.nowMs = ms
    switch (event.kind) {
      case 'tick': {
        const { peer, atMs } = event
        if (peer.timerMs !== atMs || !peer.isUp) return
        peer.timerMs = Number.POSITIVE_INFINITY
        const deadlineMs = peer.swarm.deadlineMs()
        if (deadlineMs !== undefined && deadlineMs > atMs) this.#setTimer(peer, deadlineMs)
        else this.hand(peer, TICK)
        return
      }
      case 'input':
        this.hand(event.peer, event.input)
        return
      case 'message':
        this.#deliver(event)
        return
      case 'broadcast': {
        const { from, inputs } = event
        for (const to of (this.#hostAt[host] as Host).peers) {
          if (to.content === from.content) this.#deliverBroadcast(from, to, inputs)
        }
        return
      }
      case 'sent':
        this.#handleSent(event.host, event.transfer)
        return
      case 'landed':
        this.#handleLanded(event.transfer, event.link)
        return
      case 'arrived':
        this.#handleArrived(event.transfer, event.link)
        return
      case 'verified':
        this.#handleVerified(event.peer, event.piece, event.from, event.isCorrupt)
        return
      case 'found':
        this.#handleFound(event.peer)
        return
      case 'call':
        event.call()
        return
    }
  }

  #join(peer: SimPeer): void {
    peer.isUp = true
    const { discovery } = this.#random
    ;(this.#joined[peer.content] as SimPeer[]).push(peer)
    if (peer.isSeeder) (this.#seeders[peer.content] as SimPeer[]).push(peer)
    peer.announcedMs = this.nowMs + discovery.nextBetween(LOOKUP_LOW_MS, LOOKUP_HIGH_MS)
    // The manifest names the first seeder.
    const hint = this.#seeders[peer.content]?.[0]
    if (hint !== undefined && hint !== peer)
      this.hand(peer, { type: 'peerDiscovered', peer: hint.key, source: 'hint', seeder: true })
    if (this.options.originRate > 0 && !peer.isSeeder) {
      const windowBytes = 64 * 1024 ** 2
      this.hand(peer, { type: 'originChanged', state: 'open', self: peer.key, windowBytes, isSequential: false })
    }
    this.hand(peer, TICK)
  }

  #perform(peer: SimPeer, outputs: readonly Output[]): void {
    let told: MessageInput[] | undefined
    for (const output of outputs) {
      if (output.type === 'broadcast') {
        told ??= []
        told.push({ type: 'messageReceived', peer: peer.key, message: output.message })
        continue
      }
      if (told !== undefined) {
        this.#broadcast(peer, told)
        told = undefined
      }
      if (output.type === 'send') this.#send(peer, output.peer, output.message)
      else this.#performOther(peer, output)
    }
    if (told !== undefined) this.#broadcast(peer, told)
  }

  #send(peer: SimPeer, key: string, message: Message): void {
    const link = peer.links.get(key)
    if (link === undefined) return
    if (peer.behaviour === 'free-rider' && message.type === 'offer') return
    this.#owe(peer, message, 1)
    if (link.piecesQueued > link.piecesSent) link.waiting.push({ message, afterPieces: link.piecesQueued })
    else this.#depart(peer, link, message)
  }

  /** One event for all neighbours: a swarm of ten thousand says a hundred million `have`. */
  #broadcast(peer: SimPeer, inputs: readonly MessageInput[]): void {
    const event: Event = { kind: 'broadcast', from: peer, inputs }
    for (const link of peer.links.values()) {
      if (link.piecesQueued === link.piecesSent) this.#timetable.push(link.toHost, this.nowMs + link.delayMs, event)
      else for (const { message } of inputs) link.waiting.push({ message, afterPieces: link.piecesQueued })
    }
    for (const { message } of inputs) this.#owe(peer, message, peer.links.size)
  }

  #depart(peer: SimPeer, link: Link, message: Message): void {
    const input: MessageInput = { type: 'messageReceived', peer: peer.key, message }
    this.#push(link.to.host, this.nowMs + link.delayMs, { kind: 'message', link, input })
  }

  #owe(peer: SimPeer, message: Message, copies: number): void {
    // Said together with `have`, it travels in the same packet.
    let bytes = message.type === 'expecting' ? FRAME_HEADER_BYTES : MESSAGE_BYTES
    if ('pieces' in message) bytes += PIECE_NUMBER_BYTES * message.pieces.length
    else if (message.type === 'bitfield') bytes += message.bits.byteLength
    else if (message.type === 'peers') bytes += 60 * message.peers.length
    else if (message.type === 'keepers') bytes += 120 * message.keepers.length
    bytes *= copies
    this.controlBytes += bytes
    peer.host.owedBytes += bytes
  }

  #deliver(event: Extract<Event, { kind: 'message' }>): void {
    const { link, input } = event
    const { to, back } = link
    if (!to.isUp || !back.isOpen) return
    if (back.takenMs > this.nowMs) {
      // A piece came before it, which the downlink has not taken yet.
      this.#push(to.host, back.takenMs, event)
      return
    }
    this.hand(to, input)
  }

  /** Also where the link was cut while this was under way: it is true all the same, and the engine knows when its neighbour left. */
  #deliverBroadcast(from: SimPeer, to: SimPeer, inputs: readonly MessageInput[]): void {
    if (!to.isUp) return
    if (to.host.downFreeMs > this.nowMs) {
      const link = to.links.get(from.key)
      if (link !== undefined && link.takenMs > this.nowMs) {
        for (const input of inputs) this.#push(to.host, link.takenMs, { kind: 'message', link: link.back, input })
        return
      }
    }
    for (const input of inputs) {
      // As `hand`, but nearly every step of a large world comes through here.
      const outputs = to.swarm.handle(input, this.nowMs)
      for (const checker of this.checkers) checker.handled?.(to, input, outputs)
      if (outputs.length === 0) continue
      this.#perform(to, outputs)
      const deadlineMs = to.swarm.deadlineMs()
      if (deadlineMs !== undefined && deadlineMs < to.timerMs) this.#setTimer(to, deadlineMs)
    }
  }

  #performOther(peer: SimPeer, output: Exclude<Output, { type: 'send' | 'broadcast' }>): void {
    switch (output.type) {
      case 'servePiece':
        this.#serve(peer, output.peer, output.piece, output.isUrgent)
        return
      case 'cancelServe': {
        const { queue } = peer.host
        const index = queue.findIndex(({ from, to, piece }) => from === peer && to.key === output.peer && piece === output.piece)
        if (index < 0) return
        const [transfer] = queue.splice(index, 1)
        if (transfer !== undefined) this.#left(transfer)
        this.#push(peer.host, this.nowMs, {
          kind: 'input',
          peer,
          input: { type: 'pieceServed', peer: output.peer, piece: output.piece, bytes: 0 }
        })
        return
      }
      case 'disconnect': {
        const link = peer.links.get(output.peer)
        if (link === undefined) return
        this.#close(peer, link)
        this.at(this.nowMs, () => this.#closeOther(link, output.reason, link.delayMs))
        return
      }
      case 'dial':
        // SYN, then TLS and protocol negotiation: three round trips.
        this.at(this.nowMs + 6 * this.#delay(), () => this.#handleDialled(peer, output.peer))
        return
      case 'findPeers':
        if (peer.isFinding) return
        peer.isFinding = true
        this.#push(peer.host, this.nowMs + this.#random.discovery.nextBetween(LOOKUP_LOW_MS, LOOKUP_HIGH_MS), {
          kind: 'found',
          peer
        })
        return
      case 'publishAvailability': {
        const joined = this.#joined[peer.content] as SimPeer[]
        const have = peer.verified.clone()
        for (let i = 0; i < GOSSIP_PEERS; i++) {
          const to = this.#random.discovery.pick(joined)
          if (to === peer || !this.#isReachable(peer, to)) continue
          this.#push(to.host, this.nowMs + 3 * this.#delay(), {
            kind: 'input',
            peer: to,
            input: { type: 'availabilityGossiped', peer: peer.key, have }
          })
        }
        return
      }
      case 'fetchFromOrigin':
        for (const piece of output.pieces) {
          const askedMs = this.nowMs
          peer.fromOrigin.set(piece, ASKED)
          this.at(askedMs, () => this.#askOrigin(peer, piece, askedMs))
        }
        return
      case 'cancelFromOrigin':
        for (const piece of output.pieces) {
          // What is on its way comes in vain.
          if ((peer.fromOrigin.get(piece) ?? Number.POSITIVE_INFINITY) <= this.nowMs)
            this.originBytes += this.geometry.pieceBytes(piece)
          peer.fromOrigin.delete(piece)
        }
        return
      case 'acceptPiece':
      case 'acceptOriginPiece':
      case 'dropPiece':
      case 'completed':
        return // seen by whoever handed in the piece
    }
  }

  /** The origin sends one piece after another to whoever asks; what was cancelled before its turn costs nothing. */
  #askOrigin(peer: SimPeer, piece: number, askedMs: number): void {
    if (peer.fromOrigin.get(piece) !== ASKED) return // cancelled meanwhile
    const bytes = this.geometry.pieceBytes(piece)
    const rate = this.options.originRate / 1000
    const startMs = Math.max(this.#originFreeMs, askedMs + 2 * this.options.latencyMs + ORIGIN_ANSWER_MS)
    this.#originFreeMs = startMs + bytes / rate
    peer.fromOrigin.set(piece, startMs)
    const doneMs = Math.max(this.#originFreeMs, Math.max(peer.host.downFreeMs, startMs) + bytes / peer.host.downlink)
    peer.host.downFreeMs = doneMs
    this.#atHost(peer.host, doneMs, () => {
      if (!peer.isUp || peer.fromOrigin.get(piece) !== startMs) return
      peer.fromOrigin.delete(piece)
      this.originBytes += bytes
      const input: Input = { type: 'originReceived', piece }
      const outputs = peer.swarm.handle(input, this.nowMs)
      for (const checker of this.checkers) checker.handled?.(peer, input, outputs)
      const isAccepted = outputs.some(({ type }) => type === 'acceptOriginPiece')
      if (isAccepted) {
        peer.bytesReceived += bytes
        const delayMs = this.#verifyMs * this.#random.verify.nextBetween(0.8, 1.2)
        this.#atHost(peer.host, this.nowMs + delayMs, () => this.#handleVerified(peer, piece, undefined, false))
      }
      this.#perform(peer, outputs)
    })
  }

  #serve(peer: SimPeer, key: string, piece: number, isUrgent: boolean): void {
    const link = peer.links.get(key)
    const bytes = this.geometry.pieceBytes(piece)
    if (link === undefined || peer.behaviour === 'free-rider' || peer.behaviour === 'silent') {
      // It says that it will send and never does.
      if (link === undefined) {
        this.#push(peer.host, this.nowMs, { kind: 'input', peer, input: { type: 'pieceServed', peer: key, piece, bytes: 0 } })
      }
      return
    }
    link.piecesQueued++
    const { queue } = peer.host
    const before = isUrgent ? queue.findIndex(transfer => !transfer.isUrgent) : -1
    queue.splice(before < 0 ? queue.length : before, 0, { from: peer, to: link.to, piece, bytes, isUrgent, startMs: 0 })
    this.#startSending(peer.host)
  }

  #startSending(host: Host): void {
    if (host.sending !== undefined) return
    const transfer = host.queue.shift()
    if (transfer === undefined) return
    host.sending = transfer
    transfer.startMs = this.nowMs
    const takesMs = (transfer.bytes + host.owedBytes) / host.uplink
    host.owedBytes = 0
    host.busyMs += takesMs
    this.#push(host, this.nowMs + takesMs, { kind: 'sent', host, transfer })
  }

  #handleSent(host: Host, transfer: Transfer): void {
    host.sending = undefined
    const { from, to, piece, bytes } = transfer
    const link = from.links.get(to.key)
    if (from.isUp && link !== undefined && link.to === to) {
      from.bytesSent += bytes
      this.#cross(transfer, link)
      this.#left(transfer)
      this.hand(from, { type: 'pieceServed', peer: to.key, piece, bytes })
      this.onSent(from)
    }
    this.#startSending(host)
  }

  /** From the sender's uplink over its rack's link and the receiver's rack's, where racks differ, to the receiver's downlink. */
  #cross(transfer: Transfer, link: Link): void {
    const from = transfer.from.host.labels.rack
    const to = transfer.to.host.labels.rack
    const land = (ms: number): void => {
      this.#push(link.to.host, ms + link.delayMs, { kind: 'landed', transfer, link })
    }
    if (from === to) {
      land(this.nowMs)
      return
    }
    this.crossRackBytes += transfer.bytes
    this.#pass(from, 'out', transfer.bytes, this.nowMs, passedMs => this.#pass(to, 'in', transfer.bytes, passedMs, land))
  }

  /** Over a rack's link in one direction, behind what came before `ms` and it carries already. */
  #pass(rack: string | undefined, direction: 'in' | 'out', bytes: number, ms: number, then: (ms: number) => void): void {
    if (rack === undefined || this.rackRate === Number.POSITIVE_INFINITY) {
      then(ms)
      return
    }
    // Hosts share it, so its turns are between windows, in the order of their times.
    this.at(ms, () => {
      const key = `${rack} ${direction}`
      const doneMs = Math.max(ms, this.#rackFreeMs.get(key) ?? 0) + bytes / this.rackRate
      this.#rackFreeMs.set(key, doneMs)
      then(doneMs)
    })
  }

  #handleLanded(transfer: Transfer, link: Link): void {
    const { bytes, startMs, to } = transfer
    const { back } = link
    const { host } = to
    const doneMs = Math.max(this.nowMs, back.takenMs, Math.max(host.downFreeMs, startMs + link.delayMs) + bytes / host.downlink)
    host.downFreeMs = doneMs
    back.takenMs = doneMs
    if (doneMs > this.nowMs) this.#push(host, doneMs, { kind: 'arrived', transfer, link })
    else this.#handleArrived(transfer, link)
  }

  /** A piece left its connection's queue: messages behind it may go. */
  #left(transfer: Transfer): void {
    const link = transfer.from.links.get(transfer.to.key)
    if (link === undefined) return
    link.piecesSent++
    let index = 0
    while (index < link.waiting.length && (link.waiting[index]?.afterPieces as number) <= link.piecesSent) {
      this.#depart(transfer.from, link, (link.waiting[index] as { message: Message }).message)
      index++
    }
    if (index > 0) link.waiting.splice(0, index)
  }

  #handleArrived({ from, to, piece, bytes }: Transfer, link: Link): void {
    if (!to.isUp || !link.back.isOpen) return
    to.bytesReceived += bytes
    this.piecesDelivered++
    const input: Input = { type: 'pieceReceived', peer: from.key, piece, bytes }
    const outputs = to.swarm.handle(input, this.nowMs)
    for (const checker of this.checkers) checker.handled?.(to, input, outputs)
    let isAccepted = false
    for (const output of outputs) if (output.type === 'acceptPiece') isAccepted = true
    if (isAccepted) {
      const delayMs = this.#verifyMs * this.#random.verify.nextBetween(0.8, 1.2)
      this.#push(to.host, this.nowMs + delayMs, {
        kind: 'verified',
        peer: to,
        piece,
        from,
        isCorrupt: from.behaviour === 'corrupter'
      })
    } else to.bytesWasted += bytes
    if (outputs.length > 0) this.#perform(to, outputs)
    const deadlineMs = to.swarm.deadlineMs()
    if (deadlineMs !== undefined && deadlineMs < to.timerMs) this.#setTimer(to, deadlineMs)
  }

  #handleVerified(peer: SimPeer, piece: number, from: SimPeer | undefined, isCorrupt: boolean): void {
    if (!peer.isUp) return
    if (isCorrupt && from !== undefined) {
      peer.bytesWasted += this.geometry.pieceBytes(piece)
      this.hand(peer, { type: 'pieceCorrupt', piece, peer: from.key })
      return
    }
    peer.verified.set(piece)
    if (peer.verified.isFull && peer.completedMs === undefined) {
      peer.completedMs = this.nowMs
      if (this.isMeasured(peer)) this.openLeechers--
      this.onCompleted(peer)
    }
    this.hand(peer, from === undefined ? { type: 'pieceVerified', piece } : { type: 'pieceVerified', piece, peer: from.key })
  }

  #handleDialled(from: SimPeer, key: string): void {
    if (!from.isUp || from.links.has(key)) return
    const to = this.peerOf(from.content, key)
    if (to?.links.has(from.key) === true) return
    const isHeld = from.unnoticed.has(key) || to?.unnoticed.has(from.key) === true
    if (to?.isUp !== true || isHeld || !this.#isReachable(from, to) || !to.swarm.accepts(from.key, this.nowMs)) {
      const isAnswered = to?.isUp === true && this.#isReachable(from, to)
      const input: Input = { type: 'dialFailed', peer: key, reason: isAnswered ? 'refused' : 'timeout' }
      this.#push(from.host, this.nowMs + (isAnswered ? this.options.latencyMs : DIAL_TIMEOUT_MS), {
        kind: 'input',
        peer: from,
        input
      })
      return
    }
    const delayMs = this.#delay()
    const link = new Link(from, to, delayMs)
    from.links.set(key, link)
    to.links.set(from.key, link.back)
    const rttMs = 2 * delayMs
    for (const checker of this.checkers) checker.connected?.(from, to)
    this.hand(from, { type: 'peerJoined', peer: key, initiator: true, labels: to.host.labels, rttMs })
    this.hand(to, { type: 'peerJoined', peer: from.key, initiator: false, labels: from.host.labels, rttMs })
  }

  /** Ends the connection, between windows: both ends hear of it, the other one after `noticeMs`. */
  #cut(peer: SimPeer, link: Link, reason: string, noticeMs: number): void {
    this.#close(peer, link)
    this.#noticeLater(peer, link.to, reason, noticeMs)
    this.#closeOther(link, reason, noticeMs)
  }

  /** This end is gone; what is under way to it or from it and not yet sent is lost. */
  #close(peer: SimPeer, link: Link): void {
    peer.links.delete(link.to.key)
    link.isOpen = false
    this.#dropQueued(peer, link.to)
  }

  /** The other end of a link that was closed here. */
  #closeOther({ to, back }: Link, reason: string, noticeMs: number): void {
    if (!back.isOpen) return
    this.#close(to, back)
    this.#noticeLater(to, back.to, reason, noticeMs)
  }

  /** Until the peer notices, it holds the old connection for good and takes no new one to the same peer. */
  #noticeLater(peer: SimPeer, lost: SimPeer, reason: string, noticeMs: number): void {
    peer.unnoticed.add(lost.key)
    this.#atHost(peer.host, this.nowMs + noticeMs, () => {
      peer.unnoticed.delete(lost.key)
      this.hand(peer, { type: 'peerLeft', peer: lost.key, reason })
    })
  }

  #dropQueued(from: SimPeer, to: SimPeer): void {
    const { queue } = from.host
    const kept = queue.filter(transfer => transfer.from !== from || transfer.to !== to)
    if (kept.length !== queue.length) queue.splice(0, queue.length, ...kept)
  }

  #handleFound(peer: SimPeer): void {
    peer.isFinding = false
    if (!peer.isUp) return
    const joined = this.#joined[peer.content] as SimPeer[]
    const { discovery } = this.#random
    for (let i = 0; i < LOOKUP_PEERS; i++) {
      const found = discovery.pick(joined)
      if (found === peer || found.announcedMs > this.nowMs || !this.#isReachable(peer, found)) continue
      this.hand(peer, { type: 'peerDiscovered', peer: found.key, source: 'dht' })
    }
    this.hand(peer, { type: 'searched', isFinal: false })
  }

  #isReachable(a: SimPeer, b: SimPeer): boolean {
    return !this.isPartitioned || a.host.side === b.host.side
  }

  #delay(): number {
    const { latencyMs, jitter } = this.options
    return latencyMs * (1 + jitter * (2 * this.#random.delay.nextFloat() - 1))
  }
}

const TICK: Input = { type: 'tick' }
/** Asked of the origin, whose turn for it has not been found yet. */
const ASKED = Number.POSITIVE_INFINITY
