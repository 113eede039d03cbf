/**
 * What all parts of one swarm's engine read: the content, who has what, the neighbours, and where outputs go.
 *
 * Invariant: `status[p]` is HAVE exactly when `have.get(p)`; a piece is in `table.own` when HAVE, in
 * `table.missing` when MISSING and wanted, in neither while VERIFYING.
 */

import type { Bitfield } from '../content/bitfield.ts'
import type { Geometry } from '../content/geometry.ts'
import type { Message } from '../wire/messages.ts'
import type { Output, PeerKey } from './contract.ts'
import { NeighbourMarks } from './marks.ts'
import type { Neighbour } from './neighbour.ts'
import type { EngineOptions } from './options.ts'
import { PieceTable } from './pieces/table.ts'
import { ENGINE } from './tunables.ts'

export const MISSING = 0
export const VERIFYING = 1
export const HAVE = 2

/** Slots never outnumber neighbours by more than this: room while one is being replaced. */
export const SPARE_SLOTS = 2

export class SwarmState {
  readonly geometry: Geometry
  options: EngineOptions
  readonly have: Bitfield
  /** Undefined: every piece is wanted. */
  wanted: Bitfield | undefined
  readonly status: Uint8Array
  readonly table: PieceTable
  /** By slot. */
  readonly neighbours: (Neighbour | undefined)[] = []
  readonly neighbourOf = new Map<PeerKey, Neighbour>()
  readonly marks = new NeighbourMarks()
  /** How long a piece may well take on a link, while nothing is known of links, in ms. */
  readonly firstPieceMs: number
  /** Wanted pieces that we do not have. */
  wantedMissing = 0
  verifying = 0
  /** How far the nearest neighbour stands: what comes from farther may be on its way from there. */
  nearestDistance = Number.POSITIVE_INFINITY
  /** Pieces asked of the content's origin and not here yet, since when. */
  readonly comingFromOrigin = new Map<number, number>()
  /** Typical time from our offers to their answers, in ms; 0 before the first. */
  answerMs = 0
  isPaused = false
  isLeaving = false
  /** Why the store cannot keep pieces, or undefined. */
  storeFault: string | undefined
  outputs: Output[] = []

  constructor(geometry: Geometry, have: Bitfield, options: EngineOptions) {
    this.geometry = geometry
    this.firstPieceMs = Math.min(ENGINE.MAX_FIRST_PIECE_MS, geometry.pieceLength / ENGINE.SLOWEST_BYTES_PER_MS)
    this.have = have
    this.options = options
    this.status = new Uint8Array(geometry.pieceCount)
    this.table = new PieceTable(geometry.pieceCount, options.maxNeighbours + SPARE_SLOTS)
    for (let piece = 0; piece < geometry.pieceCount; piece++) {
      if (have.get(piece)) {
        this.status[piece] = HAVE
        this.table.addOwn(piece)
      } else {
        this.wantedMissing++
        this.table.addMissing(piece)
      }
    }
  }

  get isComplete(): boolean {
    return this.wantedMissing === 0
  }

  wants(piece: number): boolean {
    return this.wanted === undefined || this.wanted.get(piece)
  }

  isSeeder(neighbour: Neighbour): boolean {
    return neighbour.isKnown && this.table.held[neighbour.slot] === this.geometry.pieceCount
  }

  emit(output: Output): void {
    this.outputs.push(output)
  }

  send(neighbour: Neighbour, message: Message): void {
    this.outputs.push({ type: 'send', peer: neighbour.key, message })
  }
}
