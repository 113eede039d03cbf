/**
 * Ways of choosing. Ours is `rarest` and `neediest`; the others are for comparison only (docs/SCHEDULING.md,
 * "Compared"). Each is picked once, when an engine is made, so that no rule asks which one is in use.
 */

import type { Random } from '../util/random.ts'
import type { Neighbour } from './neighbour.ts'
import type { EngineOptions } from './options.ts'
import type { PieceTable } from './pieces/table.ts'
import { CHOICE } from './tunables.ts'

/** A piece of one of the table's orders that `isWanted`, or -1. Looks at a bounded number of pieces. */
export type PiecePicker = (isWanted: (piece: number) => boolean) => number
/** Lower is served first. */
export type Need = (neighbour: Neighbour, oldestMs: number, nowMs: number) => number

/** Picks among the pieces that we have (`own`) or lack (`missing`). */
export function piecePicker(
  which: 'own' | 'missing',
  { pieceOrder }: Pick<EngineOptions, 'pieceOrder'>,
  table: PieceTable,
  random: Random
): PiecePicker {
  if (pieceOrder === 'rarest') return isWanted => pickRarest(table, which, random, isWanted)
  return isWanted => {
    const { pieceCount } = table
    const order = table[which]
    const offset = pieceOrder === 'random' ? random.nextInt(pieceCount) : 0
    for (let i = 0; i < pieceCount; i++) {
      const piece = (i + offset) % pieceCount
      if (order.has(piece) && isWanted(piece)) return piece
    }
    return -1
  }
}

/** The lowest level first, at random within a level. */
function pickRarest(table: PieceTable, which: 'own' | 'missing', random: Random, isWanted: (piece: number) => boolean): number {
  const order = table[which]
  let looks = 0
  // What nobody holds cannot be asked of anybody.
  for (let level = which === 'own' ? 0 : 1; level <= order.maxLevel; level++) {
    const start = order.startOf(level)
    const size = order.startOf(level + 1) - start
    if (size === 0) continue
    const offset = random.nextInt(size)
    for (let i = 0; i < size; i++) {
      const piece = order.at(start + (i + offset < size ? i + offset : i + offset - size))
      if (isWanted(piece)) return piece
      if (++looks >= CHOICE.MAX_LOOKS) return -1
    }
  }
  return -1
}

/**
 * `neediest`: a neighbour with hardly any piece first, as its uplink would idle; then those that are here
 * longest, so that late ones do not make early ones wait; then those with the fewest pieces, as they can pass
 * on the least. `oldestMs`: when the first of them joined.
 */
export function needOf({ peerOrder }: Pick<EngineOptions, 'peerOrder'>, table: PieceTable): Need {
  switch (peerOrder) {
    case 'neediest':
      return ({ slot, joinedMs }, oldestMs, nowMs) => {
        const pieces = (table.held[slot] as number) + (table.expected[slot] as number)
        if (pieces < CHOICE.STARTING_PIECES) return pieces
        const lateness = Math.floor((CHOICE.AGE_STEPS * (joinedMs - oldestMs)) / Math.max(1, nowMs - oldestMs))
        return (1 + lateness) * (table.pieceCount + CHOICE.STARTING_PIECES) + pieces
      }
    case 'random':
      return () => 0
    case 'tit-for-tat':
      return ({ download }) => -download.recentBytes
  }
}
