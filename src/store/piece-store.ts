/**
 * The interface between a swarm and the bytes on disk. `file-store.ts` (downloads) and `seed-store.ts` (files
 * shared in place) are the real ones, `memory-store.ts` the twin; one compliance suite
 * (test/compliance/piece-store.ts) runs on all.
 *
 * Invariants: a piece is in `have` only after its bytes were verified and written; `read` gives only bytes of
 * pieces in `have`; the finished file appears under its final name atomically and only when every wanted
 * piece is verified.
 */

import type { Bitfield } from '../content/bitfield.ts'

export interface PieceStore {
  /** Verified pieces. Owned by the store; do not change it. */
  readonly have: Bitfield
  /** Pieces that the finished content needs: all of them, or those of the selected files. Does not change. */
  readonly wanted: Bitfield
  /**
   * Whether what is lost can be fetched and kept again: false for a file in its final place, a user's own or
   * a finished download.
   */
  readonly isWritable: boolean
  /** Where the finished content is or will be; undefined for memory. */
  readonly path: string | undefined

  /**
   * Checks `data` against the piece's hash and keeps it. False when it does not match (nothing is written).
   * Takes ownership of `data` until settled. Throws `StoreError`, after which the piece is not in `have` and
   * may be written again; `RangeError` for a piece that is not wanted.
   */
  write(piece: number, data: Uint8Array): Promise<boolean>

  /**
   * The piece's bytes in a buffer of their own, which the caller may keep; or in `into`, when that is given
   * and long enough, for callers that read much in a row (fresh buffers cost more in garbage collection than
   * the reading does). Throws `PieceLostError` when the file changed under our feet (the store has then
   * cleared `have` for what it can no longer vouch for), `StoreError` for the rest, `RangeError` for a piece
   * that is not in `have`.
   */
  read(piece: number, into?: Uint8Array): Promise<Uint8Array>

  /**
   * Puts the finished content in place (atomically) once every wanted piece is there; reading goes on.
   * Idempotent. Throws `StoreError`, after which it can be called again, and `PieceLostError` when staged
   * files were removed by somebody: those pieces are to be fetched again.
   */
  finish(): Promise<void>

  /**
   * Makes `have` durable and releases files. What was verified is found again when the store is opened next.
   * Idempotent.
   */
  close(): Promise<void>
}

/** The piece cannot be read any more because the file changed since it was verified. */
export class PieceLostError extends Error {
  readonly pieces: readonly number[]
  constructor(pieces: readonly number[], path: string) {
    super(`${path} changed since it was verified; ${pieces.length} piece(s) are no longer served`)
    this.name = 'PieceLostError'
    this.pieces = pieces
  }
}
