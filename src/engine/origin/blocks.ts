/**
 * The content in blocks of pieces, each fetched from the origin by one keeper. Used by share.ts.
 */

import type { Geometry } from '../../content/geometry.ts'
import { ORIGIN } from '../tunables.ts'
import { type Election, MAX_KEEPERS } from './election.ts'

export class Blocks {
  /** Pieces in a block; the last may have fewer. */
  readonly pieces: number
  readonly count: number
  readonly #keepers: Election
  #owners = new Int8Array(0)
  #version = -1

  constructor({ pieceCount, pieceLength }: Geometry, keepers: Election) {
    const fair = Math.ceil(pieceCount / (MAX_KEEPERS * ORIGIN.BLOCKS_PER_KEEPER))
    this.pieces = Math.max(1, Math.min(Math.floor(ORIGIN.BLOCK_BYTES / pieceLength), fair))
    this.count = Math.ceil(pieceCount / this.pieces)
    this.#keepers = keepers
  }

  blockOf(piece: number): number {
    return Math.floor(piece / this.pieces)
  }

  /** The place of its owner in the list of keepers; -1: there is none. */
  ownerOf(block: number): number {
    if (this.#version !== this.#keepers.version) this.#refresh()
    return this.#owners[block] as number
  }

  #refresh(): void {
    this.#version = this.#keepers.version
    if (this.#owners.length === 0) this.#owners = new Int8Array(this.count)
    for (let block = 0; block < this.count; block++) this.#owners[block] = this.#keepers.ownerOf(block)
  }
}
