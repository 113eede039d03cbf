/**
 * Near first: a piece that somebody near has or fetches is not taken from afar, so that it crosses into a
 * rack about once.
 *
 * What a near neighbour claims counts only while it delivers: it may hold up a few offers from afar before
 * its first piece, and any after it for some time. A stranger that copies our labels and claims everything
 * holds up no more than that. A piece that does not come from near after all is asked for. Used by
 * downloader.ts.
 */

import { FARTHEST } from '../discovery/locality.ts'
import type { Neighbour } from '../neighbour.ts'
import { MISSING, type SwarmState } from '../state.ts'
import { NEAR } from '../tunables.ts'

export class NearClaims {
  readonly #state: SwarmState
  /** Missing pieces that a near neighbour said it is fetching from afar. */
  readonly #taken = new Map<number, { readonly neighbour: Neighbour; readonly atMs: number }>()

  /** Missing pieces whose offers from afar were turned down for a near neighbour. */
  readonly #deferred = new Set<number>()

  constructor(state: SwarmState) {
    this.#state = state
  }

  /** A neighbour fetches these from afar. */
  record(neighbour: Neighbour, pieces: readonly number[], nowMs: number): void {
    if (neighbour.distance === FARTHEST) return
    for (const piece of pieces) if (this.#state.status[piece] === MISSING) this.#taken.set(piece, { neighbour, atMs: nowMs })
  }

  forget(piece: number): void {
    this.#taken.delete(piece)
    this.#deferred.delete(piece)
  }

  /**
   * Pieces left to near neighbours, while nothing comes any more. Those that offered them believe that they
   * come, so we ask by ourselves. `quietMs`: since the last piece.
   */
  takeDeferred(quietMs: number, typicalMs: number): readonly number[] {
    if (this.#deferred.size === 0 || quietMs < Math.max(NEAR.DEFER_MS, NEAR.DEFER_FACTOR * typicalMs)) return []
    const pieces = [...this.#deferred]
    this.#deferred.clear()
    return pieces
  }

  /** Its sender stands farther than others here: scarce, and wanted by all who are near. */
  isImport(sender: Neighbour): boolean {
    return sender.distance > this.#state.nearestDistance
  }

  /** Whether a nearer neighbour than the offering one has the piece or fetches it, and is believed. */
  comesFromNear(offering: Neighbour, piece: number, typicalMs: number, nowMs: number): boolean {
    if (!this.isImport(offering)) return false
    const { neighbours, neighbourOf, table } = this.#state
    const sinceMs = nowMs - Math.max(NEAR.RECENT_MS, neighbourOf.size * typicalMs)
    const isBelieved = ({ distance, download }: Neighbour): boolean =>
      distance < offering.distance && (download.lastPieceMs >= sinceMs || download.nearCredit-- > 0)
    const taken = this.#taken.get(piece)
    const isTaken = taken !== undefined && nowMs - taken.atMs < NEAR.TAKEN_MS && isBelieved(taken.neighbour)
    const isNear = (each: Neighbour | undefined): boolean =>
      each !== undefined && table.slotHolds(each.slot, piece) && isBelieved(each)
    if (!isTaken && !neighbours.some(isNear)) return false
    this.#deferred.add(piece)
    return true
  }

  /** Tells those nearer than the sender that these pieces are on their way from afar. */
  tell(sender: Neighbour, pieces: number[]): void {
    if (!this.isImport(sender)) return
    for (const neighbour of this.#state.neighbours) {
      if (neighbour !== undefined && neighbour.distance < sender.distance) {
        this.#state.send(neighbour, { type: 'taking', pieces })
      }
    }
  }
}
