/**
 * How the uplink is shared among the neighbours that take something: each gets its weight's part, whatever
 * the others do.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996) with the choice of who is next left to the caller: a
 * neighbour that is ahead of its share by more than {@link SHARE.SLACK_PIECES} waits until the others have
 * caught up or have nothing to take. Virtual time counts pieces per unit of weight. A neighbour that takes
 * nothing saves nothing up, and capacity that the others leave costs its user nothing.
 */

import type { NeighbourMarks } from '../marks.ts'
import type { Neighbour } from '../neighbour.ts'
import type { PieceTable } from '../pieces/table.ts'
import { countBits } from '../slot-set.ts'
import type { SwarmState } from '../state.ts'
import { SHARE } from '../tunables.ts'
import type { UploadAccount } from './account.ts'

export class Share {
  readonly #marks: NeighbourMarks
  readonly #table: PieceTable
  #nowPieces = 0
  /**
   * Virtual time until which all newcomers together have had the share of one neighbour; it counts while they
   * are light.
   */
  #newcomersTag = 0
  /** Part of late pieces that were urgent. */
  #urgentShare = 0

  constructor({ marks, table }: Pick<SwarmState, 'marks' | 'table'>) {
    this.#marks = marks
    this.#table = table
  }

  /** A neighbour begins where all stand now. */
  admit(account: UploadAccount): void {
    account.tag = this.#nowPieces
  }

  /** Whether a piece may be offered to a light neighbour although others want something, too. */
  mayOffer({ upload, isNewcomer }: Pick<Neighbour, 'upload' | 'isNewcomer'>): boolean {
    const { offered, ready } = upload
    const tag = isNewcomer ? Math.max(upload.tag, this.#newcomersTag) : upload.tag
    return tag + (offered + ready.size) / SHARE.LIGHT_WEIGHT <= this.#nowPieces + SHARE.SLACK_PIECES
  }

  /** Whether a request of the neighbour may go before what others were promised. */
  maySend({ tag }: UploadAccount): boolean {
    return tag <= this.#nowPieces + SHARE.SLACK_PIECES
  }

  /**
   * Whether urgent requests go before all else: while they take a bounded part of what we send. Beyond it
   * they get what others leave.
   */
  get maySendUrgentFirst(): boolean {
    return this.#urgentShare < SHARE.URGENT
  }

  /** A piece for the neighbour begins. */
  charge({ slot, upload, isNewcomer }: Neighbour, isUrgent: boolean): void {
    if (isNewcomer) this.#newcomersTag = Math.max(this.#newcomersTag, this.#nowPieces) + 1
    this.#urgentShare += ((isUrgent ? 1 : 0) - this.#urgentShare) / SHARE.URGENT_PIECES
    const weight = this.#marks.light.has(slot) && !isNewcomer ? SHARE.LIGHT_WEIGHT : 1
    upload.tag = Math.max(upload.tag, this.#nowPieces - SHARE.SLACK_PIECES) + 1 / weight
    this.#nowPieces += 1 / Math.max(weight, this.#wantingWeight())
  }

  /** Weight of all that may want something: known, not complete, or with something under way. */
  #wantingWeight(): number {
    const { listening, uploadedTo, light } = this.#marks
    let weight = 0
    for (let word = 0; word < this.#table.words; word++) {
      const wanting = (listening.word(word) & ~this.#table.complete.word(word)) | uploadedTo.word(word)
      const lightOnes = countBits(wanting & light.word(word))
      weight += countBits(wanting) - lightOnes + lightOnes * SHARE.LIGHT_WEIGHT
    }
    return weight
  }
}
