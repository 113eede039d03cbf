/**
 * Every request is answered, withdrawn or given up within a bound; nothing is asked twice of the same peer
 * meanwhile, nor of more than two peers at once; and only what was requested is sent.
 */

import type { Input, Output } from '../../engine/contract.ts'
import { DEFAULT_ENGINE_OPTIONS } from '../../engine/options.ts'
import type { SimulationOptions } from '../options.ts'
import type { SimPeer } from '../peer.ts'
import type { World } from '../world.ts'
import { type Checker, fail } from './checker.ts'

/** On top of the engine's longest timeout: its housekeeping and a slow last mile, ms. */
const SLACK_MS = 5000
const MAX_ASKED_AT_ONCE = 2

export class RequestsSettle implements Checker {
  readonly name = 'requests-settle'
  readonly #limitMs: number
  /** Per asker: "peer/piece" since when, oldest first. */
  readonly #open = new Map<SimPeer, Map<string, number>>()
  /** Per server: "peer/piece" asked and neither sent nor withdrawn. */
  readonly #wanted = new Map<SimPeer, Set<string>>()
  #world: World | undefined

  constructor(options: SimulationOptions) {
    this.#limitMs = (options.engine.maxRequestTimeoutMs ?? DEFAULT_ENGINE_OPTIONS.maxRequestTimeoutMs) + SLACK_MS
  }

  begin(world: World): void {
    this.#world = world
  }

  handled(peer: SimPeer, input: Input, outputs: readonly Output[]): void {
    const nowMs = this.#world?.nowMs ?? 0
    let open = this.#open.get(peer)
    let wanted = this.#wanted.get(peer)
    if (open === undefined || wanted === undefined) {
      open = new Map()
      wanted = new Set()
      this.#open.set(peer, open)
      this.#wanted.set(peer, wanted)
    }
    if (input.type === 'pieceReceived') open.delete(`${input.peer}/${input.piece}`)
    else if (input.type === 'peerLeft' || input.type === 'peerJoined') this.#forget(open, wanted, input.peer)
    else if (input.type === 'messageReceived') {
      const { message } = input
      if (message.type === 'reject') for (const piece of message.pieces) open.delete(`${input.peer}/${piece}`)
      else if (message.type === 'request') for (const piece of message.pieces) wanted.add(`${input.peer}/${piece}`)
    }
    for (const output of outputs) {
      if (output.type === 'servePiece') {
        if (!wanted.delete(`${output.peer}/${output.piece}`)) {
          fail(this, `${peer.key} sends ${output.peer} piece ${output.piece}, which it did not request`)
        }
      } else if (output.type === 'disconnect') this.#forget(open, wanted, output.peer)
      else if (output.type === 'send' && output.message.type === 'cancel') {
        for (const piece of output.message.pieces) open.delete(`${output.peer}/${piece}`)
      } else if (output.type === 'send' && output.message.type === 'request') {
        for (const piece of output.message.pieces) this.#ask(peer, open, output.peer, piece, nowMs)
      }
    }
    const oldest = open.entries().next()
    if (oldest.done !== true && nowMs - oldest.value[1] > this.#limitMs) {
      fail(this, `${peer.key} waits for ${oldest.value[0]} since ${oldest.value[1].toFixed(0)} ms`)
    }
  }

  #ask(peer: SimPeer, open: Map<string, number>, from: string, piece: number, nowMs: number): void {
    const key = `${from}/${piece}`
    if (open.has(key)) fail(this, `${peer.key} asks ${from} for piece ${piece} twice`)
    open.set(key, nowMs)
    let asked = 0
    for (const other of open.keys()) if (other.endsWith(`/${piece}`)) asked++
    if (asked > MAX_ASKED_AT_ONCE) fail(this, `${peer.key} asks ${asked} peers for piece ${piece} at once`)
  }

  #forget(open: Map<string, number>, wanted: Set<string>, other: string): void {
    for (const key of open.keys()) if (key.startsWith(`${other}/`)) open.delete(key)
    for (const key of wanted) if (key.startsWith(`${other}/`)) wanted.delete(key)
  }
}
