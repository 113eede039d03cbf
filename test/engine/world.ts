/**
 * A tiny world for engine tests: some `Swarm`s joined by perfect links of a fixed delay, on virtual time.
 * Payloads are imagined; every uplink sends one piece at a time. The full world is src/sim; this one lets a
 * test see and forge every single message.
 */

import { Bitfield } from '../../src/content/bitfield.ts'
import { Geometry } from '../../src/content/geometry.ts'
import type { Input, Output } from '../../src/engine/contract.ts'
import type { EngineOptions } from '../../src/engine/options.ts'
import { Swarm } from '../../src/engine/swarm.ts'
import { Heap } from '../../src/util/heap.ts'
import { Random } from '../../src/util/random.ts'
import type { Message } from '../../src/wire/messages.ts'

export const PIECE_BYTES = 16 * 1024

export function geometryOf(pieces: number, pieceBytes = PIECE_BYTES): Geometry {
  return new Geometry(pieces * pieceBytes, pieceBytes)
}

export function bitsOf(size: number, pieces: readonly number[]): Bitfield {
  const bits = new Bitfield(size)
  for (const piece of pieces) bits.set(piece)
  return bits
}

export function swarmOf(
  pieces: number,
  have: readonly number[] | 'all',
  options: Partial<EngineOptions> = {},
  seed = 'test',
  pieceBytes = PIECE_BYTES
): Swarm {
  return new Swarm({
    geometry: geometryOf(pieces, pieceBytes),
    have: have === 'all' ? Bitfield.full(pieces) : bitsOf(pieces, have),
    options,
    random: new Random(seed),
    nowMs: 0
  })
}

/** Joins a hand-driven peer holding `have` to the swarm; returns the outputs of joining. */
export function join(swarm: Swarm, peer: string, pieces: number, have: readonly number[] | 'all', nowMs = 0): Output[] {
  const bits = have === 'all' ? Bitfield.full(pieces) : bitsOf(pieces, have)
  return [
    ...swarm.handle({ type: 'peerJoined', peer, initiator: true, labels: {} }, nowMs),
    ...swarm.handle({ type: 'messageReceived', peer, message: { type: 'bitfield', bits: bits.toBytes() } }, nowMs)
  ]
}

export function say(swarm: Swarm, peer: string, message: Message, nowMs = 0): readonly Output[] {
  return swarm.handle({ type: 'messageReceived', peer, message }, nowMs)
}

/** Messages of one type sent to `peer` (or anybody) among the outputs. */
export function sent<T extends Message['type']>(
  outputs: readonly Output[],
  type: T,
  peer?: string
): Extract<Message, { type: T }>[] {
  const messages: Extract<Message, { type: T }>[] = []
  for (const output of outputs) {
    if (output.type !== 'send' && output.type !== 'broadcast') continue
    if (output.message.type !== type) continue
    if (peer !== undefined && output.type === 'send' && output.peer !== peer) continue
    messages.push(output.message as Extract<Message, { type: T }>)
  }
  return messages
}

/** Hands in ticks until `untilMs`, as a driver would; returns all outputs. */
export function tickUntil(swarm: Swarm, fromMs: number, untilMs: number): Output[] {
  const outputs: Output[] = []
  let nowMs = fromMs
  for (;;) {
    const deadlineMs = swarm.deadlineMs()
    if (deadlineMs === undefined || deadlineMs > untilMs) break
    nowMs = Math.max(nowMs + 0.01, deadlineMs)
    outputs.push(...swarm.handle({ type: 'tick' }, nowMs))
  }
  return outputs
}

interface Member {
  key: string
  swarm: Swarm
  uplinkFreeMs: number
  timerMs: number
}

export class World {
  nowMs = 0
  readonly members = new Map<string, Member>()
  readonly served = new Map<string, number>()
  completedMs = new Map<string, number>()
  dropped = 0
  readonly disconnects: { by: string; peer: string; reason: string; banMs: number }[] = []
  readonly #events = new Heap<() => void>()
  readonly #delayMs: number
  readonly #pieceMs: number

  constructor({ delayMs = 5, pieceMs = 10 } = {}) {
    this.#delayMs = delayMs
    this.#pieceMs = pieceMs
  }

  add(key: string, swarm: Swarm): void {
    this.members.set(key, { key, swarm, uplinkFreeMs: 0, timerMs: Number.POSITIVE_INFINITY })
  }

  connect(a: string, b: string): void {
    this.input(a, { type: 'peerJoined', peer: b, initiator: true, labels: {} })
    this.input(b, { type: 'peerJoined', peer: a, initiator: false, labels: {} })
  }

  input(key: string, input: Input): void {
    const member = this.members.get(key)
    if (member === undefined) return
    for (const output of member.swarm.handle(input, this.nowMs)) this.#perform(member, output)
    member.swarm.assertInvariants()
    const deadlineMs = member.swarm.deadlineMs() ?? Number.POSITIVE_INFINITY
    if (deadlineMs < member.timerMs) {
      member.timerMs = deadlineMs
      this.#at(Math.max(deadlineMs, this.nowMs + 0.01), () => {
        if (member.timerMs !== deadlineMs) return
        member.timerMs = Number.POSITIVE_INFINITY
        this.input(key, { type: 'tick' })
      })
    }
  }

  remove(key: string): void {
    this.members.delete(key)
    for (const other of this.members.keys()) this.input(other, { type: 'peerLeft', peer: key, reason: 'gone' })
  }

  /** Runs until `done` or the time is up; returns whether `done`. */
  run(done: () => boolean, untilMs = 600_000): boolean {
    while (!done()) {
      const nextMs = this.#events.peekKey()
      if (nextMs === undefined || nextMs > untilMs) return false
      this.nowMs = nextMs
      this.#events.pop()?.()
    }
    return true
  }

  isEveryoneComplete(): boolean {
    for (const { swarm } of this.members.values()) if (swarm.snapshot().piecesMissing > 0) return false
    return true
  }

  #at(ms: number, event: () => void): void {
    this.#events.push(ms, event)
  }

  #later(key: string, input: Input, delayMs: number): void {
    this.#at(this.nowMs + delayMs, () => this.input(key, input))
  }

  #perform(member: Member, output: Output): void {
    const { key } = member
    switch (output.type) {
      case 'send':
        this.#later(output.peer, { type: 'messageReceived', peer: key, message: output.message }, this.#delayMs)
        return
      case 'broadcast':
        for (const other of this.members.keys()) {
          if (other !== key) this.#later(other, { type: 'messageReceived', peer: key, message: output.message }, this.#delayMs)
        }
        return
      case 'servePiece': {
        const { peer, piece } = output
        member.uplinkFreeMs = Math.max(member.uplinkFreeMs, this.nowMs) + this.#pieceMs
        this.served.set(key, (this.served.get(key) ?? 0) + 1)
        this.#at(member.uplinkFreeMs, () => this.input(key, { type: 'pieceServed', peer, piece, bytes: PIECE_BYTES }))
        this.#at(member.uplinkFreeMs + this.#delayMs, () =>
          this.input(peer, { type: 'pieceReceived', peer: key, piece, bytes: PIECE_BYTES })
        )
        return
      }
      case 'acceptPiece':
        this.#later(key, { type: 'pieceVerified', piece: output.piece, peer: output.peer }, 1)
        return
      case 'dropPiece':
        this.dropped++
        return
      case 'completed':
        this.completedMs.set(key, this.nowMs)
        return
      case 'disconnect':
        this.disconnects.push({ by: key, peer: output.peer, reason: output.reason, banMs: output.banMs })
        this.#later(output.peer, { type: 'peerLeft', peer: key, reason: output.reason }, this.#delayMs)
        return
      default:
        return
    }
  }
}
