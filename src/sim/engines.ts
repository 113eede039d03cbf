/**
 * Hands inputs to the engines of simulated peers, shows the checkers what they answer, and wakes them at
 * their deadlines.
 */

import type { Input } from '../engine/contract.ts'
import type { ActorOutput } from './actor.ts'
import type { Checker } from './checkers/checker.ts'
import type { SimPeer } from './peer.ts'
import type { Schedule } from './schedule.ts'

const TICK: Input = { type: 'tick' }
/**
 * A timer never fires at once: a real one neither, and an engine that forgets to move its deadline must not
 * stop the world.
 */
const SHORTEST_TIMER_MS = 0.05

export class Engines {
  readonly #schedule: Schedule
  readonly #checkers: readonly Checker[]
  readonly #perform: (peer: SimPeer, outputs: readonly ActorOutput[]) => void

  constructor(
    schedule: Schedule,
    checkers: readonly Checker[],
    perform: (peer: SimPeer, outputs: readonly ActorOutput[]) => void
  ) {
    this.#schedule = schedule
    this.#checkers = checkers
    this.#perform = perform
  }

  /** Hands an input to the peer's engine and performs its outputs. */
  hand(peer: SimPeer, input: Input): void {
    if (!peer.isUp) return
    const outputs = this.#handle(peer, input)
    if (outputs.length > 0) this.#perform(peer, outputs)
    this.#wakeAtDeadline(peer)
  }

  /**
   * The same for what every neighbour of somebody hears; nearly every step of a large world comes through
   * here.
   */
  handBroadcast(peer: SimPeer, input: Input): void {
    const outputs = this.#handle(peer, input)
    if (outputs.length === 0) return
    this.#perform(peer, outputs)
    this.#wakeAtDeadline(peer)
  }

  /** The same for a piece. `accept` is called before anything else is performed if the engine takes it. */
  handPiece(peer: SimPeer, input: Input, accept: () => void): void {
    const outputs = this.#handle(peer, input)
    if (outputs.some(({ type }) => type === 'acceptPiece' || type === 'acceptOriginPiece')) accept()
    else if (input.type === 'pieceReceived') peer.bytesWasted += input.bytes
    if (outputs.length > 0) this.#perform(peer, outputs)
    this.#wakeAtDeadline(peer)
  }

  tick(peer: SimPeer): void {
    this.hand(peer, TICK)
  }

  /** Only honest peers are checked. */
  #handle(peer: SimPeer, input: Input): readonly ActorOutput[] {
    const { swarm, role } = peer
    if (swarm === undefined || role !== undefined) return peer.actor.handle(input, this.#schedule.nowMs)
    const outputs = swarm.handle(input, this.#schedule.nowMs)
    for (const checker of this.#checkers) checker.handled?.(peer, input, outputs)
    return outputs
  }

  #wakeAtDeadline(peer: SimPeer): void {
    const deadlineMs = peer.actor.deadlineMs()
    if (deadlineMs !== undefined && deadlineMs < peer.timerMs) this.#setTimer(peer, deadlineMs)
  }

  #setTimer(peer: SimPeer, deadlineMs: number): void {
    const atMs = Math.max(deadlineMs, this.#schedule.nowMs + SHORTEST_TIMER_MS)
    peer.timerMs = atMs
    this.#schedule.on(peer.machine, atMs, () => this.#wake(peer, atMs))
  }

  #wake(peer: SimPeer, atMs: number): void {
    if (peer.timerMs !== atMs || !peer.isUp) return
    peer.timerMs = Number.POSITIVE_INFINITY
    const deadlineMs = peer.actor.deadlineMs()
    if (deadlineMs !== undefined && deadlineMs > atMs) this.#setTimer(peer, deadlineMs)
    else this.tick(peer)
  }
}
