/**
 * Links that are cheap to model: a machine's uplink sends one piece after another, whole, and its downlink
 * takes them in order of arrival. Between racks pieces pass the links of both racks, first come, first
 * served.
 */

import type { Message } from '../../wire/messages.ts'
import type { Disk } from '../disk.ts'
import type { Engines } from '../engines.ts'
import type { Machine, Transfer } from '../machine.ts'
import type { SimPeer } from '../peer.ts'
import type { PeerStream } from '../peer-stream.ts'
import type { Schedule } from '../schedule.ts'
import type { Links, LinksParts } from './links.ts'
import { Messages } from './messages.ts'
import { RackLinks } from './racks.ts'

export class SimpleLinks implements Links {
  readonly racks: RackLinks
  readonly #schedule: Schedule
  readonly #engines: Engines
  readonly #disk: Disk
  readonly #messages: Messages
  readonly #recordSent: (peer: SimPeer) => void

  constructor({ schedule, engines, disk, recordSent }: LinksParts) {
    this.#schedule = schedule
    this.#engines = engines
    this.#disk = disk
    this.#recordSent = recordSent
    this.#messages = new Messages(schedule, engines)
    this.racks = new RackLinks(schedule)
  }

  get messageBytes(): number {
    return this.#messages.bytes
  }

  send(peer: SimPeer, key: string, message: Message): void {
    this.#messages.send(peer, key, message)
  }

  broadcast(peer: SimPeer, messages: readonly Message[]): void {
    this.#messages.broadcast(peer, messages)
  }

  serve(peer: SimPeer, key: string, piece: number, bytes: number, isUrgent: boolean): void {
    const stream = peer.streams.get(key)
    if (stream === undefined) {
      this.#failServe(peer, key, piece)
      return
    }
    stream.piecesQueued++
    const { queue } = peer.machine
    const before = isUrgent ? queue.findIndex(each => each.to === stream.to && !each.isUrgent) : -1
    queue.splice(before < 0 ? queue.length : before, 0, { from: peer, to: stream.to, piece, bytes, isUrgent, startMs: 0 })
    this.#startSending(peer.machine)
  }

  cancel(peer: SimPeer, key: string, piece: number): void {
    const { queue } = peer.machine
    const index = queue.findIndex(({ from, to, piece: each }) => from === peer && to.key === key && piece === each)
    if (index < 0) return
    const [transfer] = queue.splice(index, 1)
    if (transfer !== undefined) this.#release(transfer)
    this.#failServe(peer, key, piece)
  }

  drop(from: SimPeer, to: SimPeer): void {
    const { queue } = from.machine
    const kept = queue.filter(transfer => transfer.from !== from || transfer.to !== to)
    if (kept.length !== queue.length) queue.splice(0, queue.length, ...kept)
  }

  dropAll(from: SimPeer): void {
    const { queue } = from.machine
    queue.splice(0, queue.length, ...queue.filter(transfer => transfer.from !== from))
  }

  #failServe(peer: SimPeer, key: string, piece: number): void {
    this.#schedule.on(peer.machine, this.#schedule.nowMs, () =>
      this.#engines.hand(peer, { type: 'pieceServed', peer: key, piece, bytes: 0 })
    )
  }

  #startSending(machine: Machine): void {
    if (machine.sending !== undefined) return
    const transfer = machine.queue.shift()
    if (transfer === undefined) return
    machine.sending = transfer
    transfer.startMs = this.#schedule.nowMs
    const takesMs = (transfer.bytes + machine.owedBytes) / machine.uplink
    machine.owedBytes = 0
    machine.busyMs += takesMs
    this.#schedule.on(machine, this.#schedule.nowMs + takesMs, () => this.#handleSent(machine, transfer))
  }

  #handleSent(machine: Machine, transfer: Transfer): void {
    machine.sending = undefined
    const { from, to, piece, bytes } = transfer
    const stream = from.streams.get(to.key)
    if (from.isUp && stream !== undefined && stream.to === to) {
      from.bytesSent += bytes
      this.#cross(transfer, stream)
      this.#release(transfer)
      this.#engines.hand(from, { type: 'pieceServed', peer: to.key, piece, bytes })
      this.#recordSent(from)
    }
    this.#startSending(machine)
  }

  /** From the sender's uplink over the racks' links, where racks differ, to the receiver's downlink. */
  #cross(transfer: Transfer, stream: PeerStream): void {
    const from = transfer.from.machine.labels.rack
    const to = transfer.to.machine.labels.rack
    this.racks.pass(from, to, transfer.bytes, ms => {
      this.#schedule.on(stream.to.machine, ms + stream.delayMs, () => this.#handleLanded(transfer, stream))
    })
  }

  /** Its last byte is at the receiver's downlink, which may have others to take before. */
  #handleLanded(transfer: Transfer, stream: PeerStream): void {
    const { bytes, startMs, to } = transfer
    const { back } = stream
    const { machine } = to
    const { nowMs } = this.#schedule
    const takenMs = Math.max(machine.downFreeMs, startMs + stream.delayMs) + bytes / machine.downlink
    const doneMs = Math.max(nowMs, back.takenMs, takenMs)
    machine.downFreeMs = doneMs
    back.takenMs = doneMs
    if (doneMs > nowMs) this.#schedule.on(machine, doneMs, () => this.#handleArrived(transfer, stream))
    else this.#handleArrived(transfer, stream)
  }

  #handleArrived({ from, to, piece, bytes }: Transfer, stream: PeerStream): void {
    if (!to.isUp || !stream.back.isOpen) return
    to.bytesReceived += bytes
    const input = { type: 'pieceReceived', peer: from.key, piece, bytes } as const
    this.#engines.handPiece(to, input, () => this.#disk.verify(to, piece, from))
  }

  #release(transfer: Transfer): void {
    const stream = transfer.from.streams.get(transfer.to.key)
    if (stream !== undefined) this.#messages.release(transfer.from, stream)
  }
}
