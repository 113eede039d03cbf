/**
 * Dials and ends of connections. Dialling takes round trips and may be refused; the end of a connection is
 * noticed by each side at its own time, and until then that side takes no new connection to the same peer.
 */

import type { Input } from '../engine/contract.ts'
import type { Checker } from './checkers/checker.ts'
import type { Crowd } from './crowd.ts'
import type { Engines } from './engines.ts'
import type { Latency } from './latency.ts'
import type { SimPeer } from './peer.ts'
import { PeerStream } from './peer-stream.ts'
import type { Schedule } from './schedule.ts'

/** A dial to nobody fails after this long. */
const DIAL_TIMEOUT_MS = 5000
/** One-way delays of a dial: SYN, then TLS and protocol negotiation. */
const DIAL_DELAYS = 6

interface Parts {
  readonly schedule: Schedule
  readonly engines: Engines
  readonly crowd: Crowd
  readonly latency: Latency
  readonly checkers: readonly Checker[]
  /** What `from` has not sent `to` yet is lost. */
  readonly dropQueued: (from: SimPeer, to: SimPeer) => void
}

export class Connections {
  readonly #parts: Parts
  #isPartitioned = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  dial(peer: SimPeer, key: string): void {
    const { schedule, latency } = this.#parts
    schedule.at(schedule.nowMs + DIAL_DELAYS * latency.draw(), () => this.#handleDialled(peer, key))
  }

  #handleDialled(from: SimPeer, key: string): void {
    if (!from.isUp || from.streams.has(key)) return
    const { engines, crowd, latency, checkers } = this.#parts
    const to = crowd.peerOf(from.content, key)
    if (to?.streams.has(from.key) === true) return
    if (to === undefined || !this.#isTaken(from, to)) {
      this.#failDial(from, key, to)
      return
    }
    const delayMs = latency.draw()
    const stream = new PeerStream(from, to, delayMs)
    from.streams.set(key, stream)
    to.streams.set(from.key, stream.back)
    const rttMs = 2 * delayMs
    for (const checker of checkers) checker.connected?.(from, to)
    engines.hand(from, { type: 'peerJoined', peer: key, initiator: true, labels: to.machine.labels, rttMs })
    engines.hand(to, { type: 'peerJoined', peer: from.key, initiator: false, labels: from.machine.labels, rttMs })
  }

  #isTaken(from: SimPeer, to: SimPeer): boolean {
    if (!to.isUp || from.unnoticed.has(to.key) || to.unnoticed.has(from.key) || !this.isReachable(from, to)) return false
    return to.actor.accepts(from.key, this.#parts.schedule.nowMs)
  }

  #failDial(from: SimPeer, key: string, to: SimPeer | undefined): void {
    const { schedule, engines, latency } = this.#parts
    const isAnswered = to?.isUp === true && this.isReachable(from, to)
    const input: Input = { type: 'dialFailed', peer: key, reason: isAnswered ? 'refused' : 'timeout' }
    schedule.on(from.machine, schedule.nowMs + (isAnswered ? latency.meanMs : DIAL_TIMEOUT_MS), () => engines.hand(from, input))
  }

  /** Opens one more connection for the pieces that the peer sends to a neighbour. */
  openPieceConnection(peer: SimPeer, key: string): void {
    const { schedule, latency } = this.#parts
    const stream = peer.streams.get(key)
    if (stream === undefined) return
    schedule.on(peer.machine, schedule.nowMs + DIAL_DELAYS * latency.draw(), () => {
      stream.hasPieceConnection = true
    })
  }

  /**
   * The peer's engine ends the connection: it is gone at once here, and after its delay there, behind what
   * was said before.
   */
  disconnect(peer: SimPeer, key: string, reason: string): void {
    const stream = peer.streams.get(key)
    if (stream === undefined) return
    const { schedule } = this.#parts
    this.#close(peer, stream)
    schedule.at(schedule.nowMs + stream.delayMs, () => this.#closeOther(stream, reason, 0))
  }

  /** Ends all connections of a peer that goes. `isClean`: it says so; else others notice by themselves. */
  endAll(peer: SimPeer, isClean: boolean): void {
    for (const stream of [...peer.streams.values()]) {
      this.#cut(peer, stream, 'gone', isClean ? stream.delayMs : this.#parts.latency.drawCrashNotice())
    }
  }

  /** Cuts or heals the network between the sides. */
  setPartition(isPartitioned: boolean): void {
    this.#isPartitioned = isPartitioned
    if (!isPartitioned) return
    for (const peer of this.#parts.crowd.peers) {
      for (const stream of [...peer.streams.values()]) {
        if (stream.to.machine.side === peer.machine.side) continue
        this.#cut(peer, stream, 'unreachable', this.#parts.latency.drawCrashNotice())
      }
    }
  }

  isReachable(a: SimPeer, b: SimPeer): boolean {
    return !this.#isPartitioned || a.machine.side === b.machine.side
  }

  /** Ends the connection, between windows: both ends hear of it, the other one after `noticeMs`. */
  #cut(peer: SimPeer, stream: PeerStream, reason: string, noticeMs: number): void {
    this.#close(peer, stream)
    this.#noticeLater(peer, stream.to, reason, noticeMs)
    this.#closeOther(stream, reason, noticeMs)
  }

  /** This end is gone; what is under way to it or from it and not yet sent is lost. */
  #close(peer: SimPeer, stream: PeerStream): void {
    peer.streams.delete(stream.to.key)
    stream.isOpen = false
    this.#parts.dropQueued(peer, stream.to)
  }

  /** The other end of a stream that was closed here. */
  #closeOther({ to, back }: PeerStream, reason: string, noticeMs: number): void {
    if (!back.isOpen) return
    this.#close(to, back)
    this.#noticeLater(to, back.to, reason, noticeMs)
  }

  /** Until the peer notices, it holds the old connection for good and takes no new one to the same peer. */
  #noticeLater(peer: SimPeer, lost: SimPeer, reason: string, noticeMs: number): void {
    const { schedule, engines } = this.#parts
    peer.unnoticed.add(lost.key)
    schedule.on(peer.machine, schedule.nowMs + noticeMs, () => {
      peer.unnoticed.delete(lost.key)
      engines.hand(peer, { type: 'peerLeft', peer: lost.key, reason })
    })
  }
}
