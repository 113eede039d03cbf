/**
 * What tests of single rules and ledgers stand on: a swarm's state and neighbours, without any rule that acts
 * on them.
 */

import { Bitfield } from '../../src/content/bitfield.ts'
import { Neighbour } from '../../src/engine/neighbour.ts'
import { type EngineOptions, resolveEngineOptions } from '../../src/engine/options.ts'
import { SwarmState } from '../../src/engine/state.ts'
import type { Flight } from '../../src/engine/upload/uplink-model.ts'
import type { Message } from '../../src/wire/messages.ts'
import { bitsOf, geometryOf, PIECE_BYTES } from './world.ts'

export function stateOf(pieces: number, have: readonly number[] | 'all', options: Partial<EngineOptions> = {}): SwarmState {
  const bits = have === 'all' ? Bitfield.full(pieces) : bitsOf(pieces, have)
  return new SwarmState(geometryOf(pieces), bits, resolveEngineOptions(options))
}

interface NeighbourFacts {
  readonly have?: readonly number[] | 'all'
  readonly distance?: number
  readonly rttMs?: number
  readonly joinedMs?: number
}

/** A neighbour in the next slot, whose bitfield is known. */
export function addNeighbour(state: SwarmState, key: string, facts: NeighbourFacts = {}): Neighbour {
  const { have = [], distance = 0, rttMs, joinedMs: nowMs = 0 } = facts
  const slot = state.neighbours.length
  const neighbour = new Neighbour({ key, slot, initiator: false, labels: {}, distance, rttMs, nowMs, marks: state.marks })
  state.neighbours.push(neighbour)
  state.neighbourOf.set(key, neighbour)
  neighbour.introduce()
  const { pieceCount } = state.geometry
  state.table.recordBitfield(slot, have === 'all' ? Bitfield.full(pieceCount) : bitsOf(pieceCount, have))
  return neighbour
}

export function flightTo({ slot }: Neighbour, piece: number, facts: Partial<Flight> = {}): Flight {
  const unsent = { deliveredBytes: 0, deliveredMs: 0, drainedBytes: 0, drainedMs: 0, servedMs: 0, overtaken: 0 }
  const flight = { slot, piece, bytes: PIECE_BYTES, isUrgent: false, startMs: 0, ahead: 0, isHeldUp: false }
  return { ...unsent, ...flight, ...facts }
}

/** The neighbour delivered a piece: it is no stranger any more. */
export function prove(state: SwarmState, { download, slot }: Neighbour, serviceMs = 0): void {
  download.pieces++
  download.serviceMs = serviceMs
  state.marks.unproven.delete(slot)
}

/** Takes what was sent to each neighbour so far. */
export function takeSent(state: SwarmState): { peer: string; message: Message }[] {
  const { outputs } = state
  state.outputs = []
  return outputs.flatMap(output => (output.type === 'send' ? [{ peer: output.peer, message: output.message }] : []))
}
