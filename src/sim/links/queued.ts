/**
 * Links nearer to real ones, which cost some events for each 16 KB: an uplink is shared among all connections
 * that have something to send, a downlink is one queue for everything that comes, pieces and messages of all
 * senders. What finds that queue full is lost and sent again. How much is under way on a connection is
 * bounded by its window (flow.ts).
 */

import type { Message } from '../../wire/messages.ts'
import type { Disk } from '../disk.ts'
import type { Engines } from '../engines.ts'
import type { Machine } from '../machine.ts'
import type { SimPeer } from '../peer.ts'
import type { PeerStream } from '../peer-stream.ts'
import type { Schedule } from '../schedule.ts'
import { Flow, type Item } from './flow.ts'
import type { Links, LinksParts } from './links.ts'
import { messageBytes } from './message-bytes.ts'
import { RackLinks } from './racks.ts'

/** What leaves an uplink in one go. */
const QUANTUM_BYTES = 16 * 1024
/** Where routers drop: a thousand packets. */
const QUEUE_BYTES = 1_500_000
/** Of what a receiver takes, what its acknowledgements cost its uplink. */
const ACKNOWLEDGED_SHARE = 0.025

/**
 * The directions of one end of a stream: pieces have a flow of their own where there is a piece connection.
 */
interface Flows {
  readonly main: Flow
  pieces: Flow | undefined
}

interface Uplink {
  /** Flows that have something to send, in the order of their turns. */
  readonly turns: Flow[]
  isSending: boolean
}

export class QueuedLinks implements Links {
  readonly racks: RackLinks
  messageBytes = 0
  readonly #schedule: Schedule
  readonly #engines: Engines
  readonly #disk: Disk
  readonly #recordSent: (peer: SimPeer) => void
  readonly #flows = new Map<PeerStream, Flows>()
  readonly #uplinks = new Map<Machine, Uplink>()

  constructor({ schedule, engines, disk, recordSent }: LinksParts) {
    this.#schedule = schedule
    this.#engines = engines
    this.#disk = disk
    this.#recordSent = recordSent
    this.racks = new RackLinks(schedule)
  }

  send(peer: SimPeer, key: string, message: Message): void {
    const stream = peer.streams.get(key)
    if (stream !== undefined) this.#say(peer, stream, message)
  }

  broadcast(peer: SimPeer, messages: readonly Message[]): void {
    for (const stream of peer.streams.values()) for (const message of messages) this.#say(peer, stream, message)
  }

  serve(peer: SimPeer, key: string, piece: number, bytes: number, isUrgent: boolean): void {
    const stream = peer.streams.get(key)
    if (stream === undefined) {
      this.#failServe(peer, key, piece)
      return
    }
    const flows = this.#flowsOf(stream)
    if (stream.hasPieceConnection) flows.pieces ??= new Flow(stream)
    this.#add(peer, flows.pieces ?? flows.main, {
      bytes,
      piece,
      message: undefined,
      isUrgent,
      sent: 0,
      arrived: 0,
      isServed: false
    })
  }

  cancel(peer: SimPeer, key: string, piece: number): void {
    const stream = peer.streams.get(key)
    const flows = stream === undefined ? undefined : this.#flows.get(stream)
    for (const flow of [flows?.main, flows?.pieces]) {
      const index = flow?.waiting.findIndex(item => item.piece === piece && item.sent === 0 && item.arrived === 0) ?? -1
      if (index < 0) continue
      flow?.waiting.splice(index, 1)
      this.#failServe(peer, key, piece)
      return
    }
  }

  drop(from: SimPeer, to: SimPeer): void {
    for (const stream of this.#flows.keys()) {
      // The end is closed already; what it had to say is forgotten.
      if (stream.to === to && stream.back.to === from && !stream.isOpen) this.#flows.delete(stream)
    }
  }

  /** The ends of all its streams follow, and take with them what waits. */
  dropAll(_from: SimPeer): void {}

  #failServe(peer: SimPeer, key: string, piece: number): void {
    this.#schedule.on(peer.machine, this.#schedule.nowMs, () =>
      this.#engines.hand(peer, { type: 'pieceServed', peer: key, piece, bytes: 0 })
    )
  }

  #say(peer: SimPeer, stream: PeerStream, message: Message): void {
    const bytes = messageBytes(message)
    this.messageBytes += bytes
    this.#add(peer, this.#flowsOf(stream).main, {
      bytes,
      piece: undefined,
      message,
      isUrgent: false,
      sent: 0,
      arrived: 0,
      isServed: false
    })
  }

  #flowsOf(stream: PeerStream): Flows {
    let flows = this.#flows.get(stream)
    if (flows === undefined) {
      flows = { main: new Flow(stream), pieces: undefined }
      this.#flows.set(stream, flows)
    }
    return flows
  }

  #add({ machine }: SimPeer, flow: Flow, item: Item): void {
    flow.add(item)
    this.#queueTurn(machine, flow)
  }

  #queueTurn(machine: Machine, flow: Flow): void {
    const uplink = this.#uplinkOf(machine)
    if (flow.isReady && !uplink.turns.includes(flow)) uplink.turns.push(flow)
    this.#sendNext(machine, uplink)
  }

  #uplinkOf(machine: Machine): Uplink {
    let uplink = this.#uplinks.get(machine)
    if (uplink === undefined) {
      uplink = { turns: [], isSending: false }
      this.#uplinks.set(machine, uplink)
    }
    return uplink
  }

  /** The flow whose turn it is sends a quantum, and waits for its next turn. */
  #sendNext(machine: Machine, uplink: Uplink): void {
    if (uplink.isSending) return
    for (let flow = uplink.turns.shift(); flow !== undefined; flow = uplink.turns.shift()) {
      const [item] = flow.waiting
      if (item === undefined || !flow.stream.isOpen || !flow.isReady) continue
      this.#sendQuantum(machine, uplink, flow, item)
      return
    }
  }

  #sendQuantum(machine: Machine, uplink: Uplink, flow: Flow, item: Item): void {
    const bytes = Math.min(QUANTUM_BYTES, item.bytes - item.sent)
    if (item.sent === 0 && !flow.underWayItems.includes(item)) flow.underWayItems.push(item)
    item.sent += bytes
    if (item.sent === item.bytes) flow.waiting.shift()
    const startMs = this.#schedule.nowMs
    flow.recordSent(bytes, startMs)
    if (flow.isReady) uplink.turns.push(flow)
    const takesMs = (bytes + machine.owedBytes) / machine.uplink
    machine.owedBytes = 0
    machine.busyMs += takesMs
    uplink.isSending = true
    this.#schedule.on(machine, startMs + takesMs, () => {
      uplink.isSending = false
      if (flow.stream.isOpen) this.#handleLeft(flow, item, bytes, startMs)
      this.#sendNext(machine, uplink)
    })
  }

  #handleLeft(flow: Flow, item: Item, bytes: number, startMs: number): void {
    const { stream } = flow
    const from = stream.back.to
    const { to } = stream
    this.racks.pass(from.machine.labels.rack, to.machine.labels.rack, bytes, ms => {
      this.#schedule.on(to.machine, ms + stream.delayMs, () => this.#handleLanded(flow, item, bytes, startMs))
    })
    if (item.piece === undefined || item.isServed || item.sent < item.bytes) return
    item.isServed = true
    from.bytesSent += item.bytes
    this.#engines.hand(from, { type: 'pieceServed', peer: to.key, piece: item.piece, bytes: item.bytes })
    this.#recordSent(from)
  }

  /** At the receiver's downlink, which has a queue. */
  #handleLanded(flow: Flow, item: Item, bytes: number, startMs: number): void {
    const { stream } = flow
    const { machine } = stream.to
    const { nowMs } = this.#schedule
    const waitMs = Math.max(0, machine.downFreeMs - nowMs)
    if (waitMs * machine.downlink > QUEUE_BYTES) {
      this.#backAt(stream, nowMs + stream.delayMs, () => flow.recordLost(item, bytes, this.#schedule.nowMs), flow)
      return
    }
    machine.downFreeMs = nowMs + waitMs + bytes / machine.downlink
    this.#schedule.on(machine, machine.downFreeMs, () => this.#handleArrived(flow, item, bytes, startMs))
  }

  #handleArrived(flow: Flow, item: Item, bytes: number, startMs: number): void {
    const { stream } = flow
    const { nowMs } = this.#schedule
    stream.to.machine.owedBytes += ACKNOWLEDGED_SHARE * bytes
    this.#backAt(stream, nowMs + stream.delayMs, () => flow.recordAcknowledged(bytes, this.#schedule.nowMs - startMs), flow)
    item.arrived += bytes
    const { underWayItems } = flow
    while (underWayItems[0] !== undefined && underWayItems[0].arrived === underWayItems[0].bytes) {
      this.#deliver(stream, underWayItems.shift() as Item)
    }
  }

  /**
   * Something about the flow comes back to its sender, through the sender's own downlink; it may go on upon
   * it.
   */
  #backAt(stream: PeerStream, ms: number, record: () => void, flow: Flow): void {
    const { machine } = stream.back.to
    this.#schedule.on(machine, ms, () => {
      if (machine.downFreeMs > this.#schedule.nowMs) {
        this.#schedule.on(machine, machine.downFreeMs, () => this.#handleBack(stream, record, flow))
      } else this.#handleBack(stream, record, flow)
    })
  }

  #handleBack(stream: PeerStream, record: () => void, flow: Flow): void {
    record()
    if (stream.isOpen) this.#queueTurn(stream.back.to.machine, flow)
  }

  #deliver(stream: PeerStream, { piece, message, bytes }: Item): void {
    const { to, back } = stream
    const from = back.to
    if (!to.isUp || !back.isOpen) return
    if (message !== undefined) this.#engines.hand(to, { type: 'messageReceived', peer: from.key, message })
    if (piece === undefined) return
    to.bytesReceived += bytes
    const input = { type: 'pieceReceived', peer: from.key, piece, bytes } as const
    this.#engines.handPiece(to, input, () => this.#disk.verify(to, piece, from))
  }
}
