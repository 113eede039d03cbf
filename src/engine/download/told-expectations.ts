/**
 * What neighbours were told that we expect, and take back when it does not come: they offer us no such piece
 * meanwhile.
 *
 * Told only of senders that have delivered before. Used by downloader.ts.
 */

import { perMessage } from '../../wire/messages.ts'
import type { SwarmState } from '../state.ts'
import type { RequestLedger } from './request-ledger.ts'

export class ToldExpectations {
  readonly #state: SwarmState
  readonly #ledger: RequestLedger
  /** Offers taken since neighbours were last told. */
  readonly #untold = new Set<number>()
  readonly #isTold: Uint8Array
  /** Told pieces that do not come after all. */
  readonly #retracted = new Set<number>()

  constructor(state: SwarmState, ledger: RequestLedger) {
    this.#state = state
    this.#ledger = ledger
    this.#isTold = new Uint8Array(state.geometry.pieceCount)
  }

  /** An offer of the piece was taken. */
  recordTaken(piece: number): void {
    this.#untold.add(piece)
  }

  /** The piece does not come from the sender that was to send it. */
  recordFailed(piece: number): void {
    if (this.#isTold[piece] === 1) this.#retracted.add(piece)
    this.#isTold[piece] = 0
  }

  /** What is to be told now. */
  takeUntold(): number[] {
    const pieces: number[] = []
    for (const piece of this.#untold) {
      if (this.#ledger.senderOf(piece)?.download.isProven !== true) continue
      pieces.push(piece)
      this.#isTold[piece] = 1
    }
    this.#untold.clear()
    return pieces
  }

  /** Tells neighbours what does not come; else they would not offer it for long. */
  retract(): void {
    if (this.#retracted.size === 0) return
    const pieces = [...this.#retracted]
    this.#retracted.clear()
    for (const list of perMessage(pieces)) this.#state.emit({ type: 'broadcast', message: { type: 'cancel', pieces: list } })
  }
}
