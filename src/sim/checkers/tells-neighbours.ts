/** A peer that verified a piece tells every neighbour soon. */

import type { Input, Output } from '../../engine/contract.ts'
import type { SimPeer } from '../peer.ts'
import type { World } from '../world.ts'
import { type Checker, fail } from './checker.ts'

const LIMIT_MS = 500

interface Untold {
  readonly piece: number
  readonly sinceMs: number
  readonly neighbours: Set<string>
}

export class TellsNeighbours implements Checker {
  readonly name = 'tells-neighbours'
  readonly #untold = new Map<SimPeer, Map<number, Untold>>()
  #world: World | undefined

  begin(world: World): void {
    this.#world = world
  }

  handled(peer: SimPeer, input: Input, outputs: readonly Output[]): void {
    const nowMs = this.#world?.nowMs ?? 0
    let untold = this.#untold.get(peer)
    if (input.type === 'pieceVerified') {
      if (untold === undefined) {
        untold = new Map()
        this.#untold.set(peer, untold)
      }
      untold.set(input.piece, { piece: input.piece, sinceMs: nowMs, neighbours: new Set(peer.streams.keys()) })
    }
    if (untold === undefined || untold.size === 0) return
    for (const output of outputs) {
      if (output.type !== 'broadcast' || output.message.type !== 'have') continue
      for (const piece of output.message.pieces) untold.get(piece)?.neighbours.clear()
    }
    for (const { piece, sinceMs, neighbours } of untold.values()) {
      if (nowMs - sinceMs <= LIMIT_MS && neighbours.size > 0) break // oldest first
      for (const key of neighbours) {
        if (peer.streams.has(key)) fail(this, `${peer.key} did not tell ${key} that it has piece ${piece}`)
      }
      untold.delete(piece)
    }
  }
}
