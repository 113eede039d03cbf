/**
 * What becomes of our own pieces: verified, lost, wanted or not. With the downloader and the origin's share,
 * which move a piece between MISSING and VERIFYING as it arrives, these are the only writers of a piece's
 * state.
 */

import type { Bitfield } from '../../content/bitfield.ts'
import { HAVE, MISSING, type SwarmState, VERIFYING } from '../state.ts'

/** The piece, which we do not have, is verified. True when it was the last that we wanted. */
export function recordHave(state: SwarmState, piece: number): boolean {
  state.status[piece] = HAVE
  state.have.set(piece)
  state.table.addOwn(piece)
  return state.wants(piece) && --state.wantedMissing === 0
}

/** The piece, which we had, is gone. */
export function recordLost(state: SwarmState, piece: number): void {
  state.status[piece] = MISSING
  state.have.clear(piece)
  state.table.removeOwn(piece)
  if (!state.wants(piece)) return
  state.wantedMissing++
  state.table.addMissing(piece)
}

/**
 * Other pieces are wanted from now on; undefined: all. Throws RangeError when the bitfield is of another
 * content.
 */
export function recordWanted(state: SwarmState, wanted: Bitfield | undefined): void {
  const { pieceCount } = state.geometry
  if (wanted !== undefined && wanted.size !== pieceCount) {
    throw new RangeError(`bitfield of ${wanted.size} for ${pieceCount} pieces`)
  }
  state.wanted = wanted?.clone()
  state.wantedMissing = 0
  for (let piece = 0; piece < pieceCount; piece++) {
    const isWanted = state.wants(piece)
    if (isWanted && state.status[piece] !== HAVE) state.wantedMissing++
    if (state.status[piece] !== MISSING) continue
    if (isWanted) state.table.addMissing(piece)
    else state.table.removeMissing(piece)
  }
}

/** Throws when a piece's state is told in two ways. */
export function assertPieces(state: SwarmState): void {
  let missing = 0
  let verifying = 0
  for (let piece = 0; piece < state.geometry.pieceCount; piece++) {
    const status = state.status[piece]
    if ((status === HAVE) !== state.have.get(piece)) throw new Error(`piece ${piece} is held and not held`)
    if ((status === HAVE) !== state.table.own.has(piece)) throw new Error(`piece ${piece} is ordered wrongly`)
    if ((status === MISSING && state.wants(piece)) !== state.table.missing.has(piece))
      throw new Error(`piece ${piece} is ordered wrongly`)
    if (status === VERIFYING) verifying++
    if (status !== HAVE && state.wants(piece)) missing++
  }
  if (missing !== state.wantedMissing || verifying !== state.verifying) throw new Error('pieces are counted wrongly')
}
