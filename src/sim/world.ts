/**
 * The world in one process: thousands of real engines over a modelled network, in virtual time.
 *
 * It composes the parts: time (schedule.ts), links/, connections, discovery, disk and origin; and performs
 * what engines want done. A peer learns of others only as a real one would.
 *
 * Deterministic: machines have an order, events of one are ordered by time and by the order of their making;
 * each part draws from its own generator; no transcendental function touches a time. Used by run.ts; drives
 * `Swarm` exactly as the real node does.
 */

import { Bitfield } from '../content/bitfield.ts'
import { Geometry } from '../content/geometry.ts'
import { Swarm } from '../engine/swarm.ts'
import type { Random } from '../util/random.ts'
import type { Message } from '../wire/messages.ts'
import type { Actor, ActorOutput } from './actor.ts'
import type { Checker } from './checkers/checker.ts'
import { Connections } from './connections.ts'
import { Crowd } from './crowd.ts'
import { Discovery } from './discovery.ts'
import { Disk } from './disk.ts'
import { Engines } from './engines.ts'
import { Latency } from './latency.ts'
import type { Links } from './links/links.ts'
import { QueuedLinks } from './links/queued.ts'
import { SimpleLinks } from './links/simple.ts'
import { Machine, type MachineSpec } from './machine.ts'
import type { SimulationOptions } from './options.ts'
import { Origin } from './origin.ts'
import { type PeerSpec, SimPeer } from './peer.ts'
import { Playback } from './playback.ts'
import { ROLE_OF } from './roles/index.ts'
import { Schedule } from './schedule.ts'

/** What it takes a peer to come back under another name. */
const REJOIN_MS = 500

export class World {
  readonly options: SimulationOptions
  readonly geometry: Geometry
  readonly machines = new Map<string, Machine>()
  readonly checkers: readonly Checker[]
  readonly links: Links
  readonly origin: Origin
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
  readonly #schedule: Schedule
  readonly #engines: Engines
  readonly #crowd = new Crowd()
  readonly #connections: Connections
  readonly #discovery: Discovery
  readonly #engineRandom: Random
  readonly #swarmClass: typeof Swarm

  constructor(options: SimulationOptions, random: Random, checkers: readonly Checker[], swarmClass: typeof Swarm = Swarm) {
    this.options = options
    this.checkers = checkers
    this.geometry = new Geometry(options.contentBytes, options.pieceLength)
    this.#swarmClass = swarmClass
    const latency = new Latency(options, random.fork('delay'))
    const discoveryRandom = random.fork('discovery')
    const verifyRandom = random.fork('verify')
    this.#engineRandom = random.fork('engine')
    const schedule = new Schedule(options.latencyMs * (1 - options.jitter))
    const engines = new Engines(schedule, checkers, (peer, outputs) => this.#perform(peer, outputs))
    const disk = new Disk(schedule, engines, this.geometry, verifyRandom, peer => this.#recordCompleted(peer))
    this.#schedule = schedule
    this.#engines = engines
    const LinksClass = options.links === 'queued' ? QueuedLinks : SimpleLinks
    this.links = new LinksClass({ schedule, engines, disk, recordSent: peer => this.onSent(peer) })
    this.origin = new Origin(options, { schedule, engines, disk, geometry: this.geometry })
    const crowd = this.#crowd
    const dropQueued = (from: SimPeer, to: SimPeer): void => this.links.drop(from, to)
    const connections = new Connections({ schedule, engines, crowd, latency, checkers, dropQueued })
    this.#connections = connections
    this.#discovery = new Discovery({ schedule, engines, crowd, connections, latency, random: discoveryRandom })
  }

  get nowMs(): number {
    return this.#schedule.nowMs
  }

  /** Events handled so far. */
  get steps(): number {
    return this.#schedule.steps
  }

  get peers(): readonly SimPeer[] {
    return this.#crowd.peers
  }

  /** Calls back between windows, some ms after `ms` at most; for what concerns more than one machine. */
  at(ms: number, call: () => void): void {
    this.#schedule.at(ms, call)
  }

  /** Makes the peer; it joins at its time. */
  add(spec: PeerSpec): SimPeer {
    const machine = this.#machineOf(spec.machine)
    const { pieceCount } = this.geometry
    const verified = spec.isSeeder ? Bitfield.full(pieceCount) : new Bitfield(pieceCount)
    const peer = new SimPeer({ index: this.peers.length, machine, spec, verified, ...this.#makeActor(spec) })
    this.#crowd.add(peer)
    machine.peers.push(peer)
    if (!peer.isSeeder && this.isMeasured(peer)) this.openLeechers++
    this.#schedule.on(machine, spec.joinMs, () => this.#join(peer))
    return peer
  }

  #makeActor({ machine, content, role, engine, isSeeder, joinMs }: PeerSpec): { actor: Actor; swarm: Swarm | undefined } {
    const { geometry } = this
    const random = this.#engineRandom.fork(`${machine.key}/${content}`)
    const makeSwarm = (): Swarm =>
      new this.#swarmClass({
        geometry,
        have: isSeeder ? Bitfield.full(geometry.pieceCount) : new Bitfield(geometry.pieceCount),
        options: { ...this.options.engine, ...engine },
        labels: machine.labels,
        random,
        nowMs: joinMs
      })
    const act = role === undefined ? undefined : ROLE_OF[role].act
    if (act !== undefined) return { actor: act({ self: machine.key, geometry, random, makeSwarm }), swarm: undefined }
    const swarm = makeSwarm()
    return { actor: swarm, swarm }
  }

  /**
   * The peer goes. `isClean`: it says so; else others notice by themselves. Its machine goes with its last
   * peer.
   */
  remove(peer: SimPeer, isClean: boolean): void {
    if (!peer.isUp) return
    if (isClean) this.#engines.hand(peer, { type: 'leaving' })
    peer.isUp = false
    peer.leftMs = this.nowMs
    if (!peer.isSeeder && peer.completedMs === undefined && this.isMeasured(peer)) this.openLeechers--
    this.#crowd.recordLeft(peer)
    this.links.dropAll(peer)
    peer.machine.isUp = peer.machine.peers.some(({ isUp }) => isUp)
    this.#connections.endAll(peer, isClean)
    for (const checker of this.checkers) checker.left?.(peer)
  }

  /** The peer plays the content from its beginning, at `rate` bytes per ms. */
  play(peer: SimPeer, rate: number): void {
    this.playback = new Playback(peer, rate, this.geometry, this.#schedule, this.#engines)
    this.playback.step(0)
  }

  /** Cuts or heals the network between the sides. */
  setPartition(isPartitioned: boolean): void {
    this.#connections.setPartition(isPartitioned)
  }

  peerOf(content: number, key: string): SimPeer | undefined {
    return this.#crowd.peerOf(content, key)
  }

  /**
   * Handles windows until `isDone`, `untilMs`, or at least `maxSteps` more events. False when it stopped
   * before `isDone`.
   */
  run(isDone: () => boolean, untilMs: number, maxSteps: number): boolean {
    return this.#schedule.run(isDone, untilMs, maxSteps)
  }

  #machineOf(spec: MachineSpec): Machine {
    const known = this.machines.get(spec.key)
    if (known !== undefined) return known
    const machine = new Machine(spec, this.machines.size)
    this.machines.set(spec.key, machine)
    this.#schedule.machines.push(machine)
    return machine
  }

  #join(peer: SimPeer): void {
    peer.isUp = true
    this.#discovery.handleJoined(peer)
    this.origin.handleJoined(peer)
    this.#engines.tick(peer)
  }

  #recordCompleted(peer: SimPeer): void {
    if (this.isMeasured(peer)) this.openLeechers--
    this.onCompleted(peer)
  }

  /** Messages to all neighbours that follow each other go together. */
  #perform(peer: SimPeer, outputs: readonly ActorOutput[]): void {
    let told: Message[] | undefined
    for (const output of outputs) {
      if (output.type === 'broadcast') {
        told ??= []
        told.push(output.message)
        continue
      }
      if (told !== undefined) {
        this.links.broadcast(peer, told)
        told = undefined
      }
      this.#performOne(peer, output)
    }
    if (told !== undefined) this.links.broadcast(peer, told)
  }

  #performOne(peer: SimPeer, output: Exclude<ActorOutput, { type: 'broadcast' }>): void {
    switch (output.type) {
      case 'send':
        this.links.send(peer, output.peer, output.message)
        return
      case 'servePiece':
        this.links.serve(peer, output.peer, output.piece, this.geometry.pieceBytes(output.piece), output.isUrgent)
        return
      case 'cancelServe':
        this.links.cancel(peer, output.peer, output.piece)
        return
      case 'disconnect':
        this.#connections.disconnect(peer, output.peer, output.reason)
        return
      case 'dial':
        this.#connections.dial(peer, output.peer)
        return
      case 'findPeers':
        this.#discovery.find(peer)
        return
      case 'announce':
        this.#discovery.announce(peer)
        return
      case 'withdraw':
        peer.announcedMs = Number.POSITIVE_INFINITY
        return
      case 'listenToGossip':
        peer.isListening = true
        return
      case 'openPieceConnection':
        this.#connections.openPieceConnection(peer, output.peer)
        return
      case 'publishAvailability':
        this.#discovery.gossip(peer)
        return
      case 'fetchFromOrigin':
        this.origin.ask(peer, output.pieces)
        return
      case 'cancelFromOrigin':
        this.origin.cancel(peer, output.pieces)
        return
      case 'rejoin':
        this.at(this.nowMs, () => this.#rejoin(peer))
        return
      case 'acceptPiece':
      case 'acceptOriginPiece':
      case 'dropPiece':
      case 'completed':
        return // seen where the piece was handed in
    }
  }

  /** The peer goes, and soon another of its kind comes, on a machine of its own. */
  #rejoin(peer: SimPeer): void {
    if (!peer.isUp) return
    this.remove(peer, true)
    const { spec } = peer
    const [name, generation = '0'] = spec.machine.key.split('~')
    const machine = { ...spec.machine, key: `${name}~${Number(generation) + 1}` }
    this.add({ ...spec, machine, joinMs: this.nowMs + REJOIN_MS })
  }
}
