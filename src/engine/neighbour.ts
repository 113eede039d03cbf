/**
 * One connected peer: who it is, and one account for each direction. Plain state; the rules live in upload/,
 * download/ and discovery/.
 */

import type { PeerKey } from './contract.ts'
import { DownloadAccount } from './download/account.ts'
import { NeighbourMarks } from './marks.ts'
import { UploadAccount } from './upload/account.ts'

export interface NeighbourInit {
  readonly key: PeerKey
  readonly slot: number
  readonly initiator: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly distance: number
  readonly rttMs: number | undefined
  readonly nowMs: number
  readonly marks: NeighbourMarks
}

export class Neighbour {
  readonly key: PeerKey
  /** Its column in the piece table. */
  readonly slot: number
  /** We dialled it. */
  readonly initiator: boolean
  readonly labels: Readonly<Record<string, string>>
  /** How far it stands from us by its labels: discovery/locality.ts. */
  readonly distance: number
  readonly joinedMs: number
  /** Round trip in ms, from the driver or from its fastest answer; undefined until known. */
  rttMs: number | undefined
  readonly upload: UploadAccount
  readonly download: DownloadAccount
  /** When it last requested, acknowledged or delivered a piece; `joinedMs` before the first. */
  usefulMs: number
  /** Faults of protocol that one alone does not end the stream. */
  strikes = 0
  #marks: NeighbourMarks
  #isKnown = false

  constructor({ key, slot, initiator, labels, distance, rttMs, nowMs, marks }: NeighbourInit) {
    this.key = key
    this.slot = slot
    this.initiator = initiator
    this.labels = labels
    this.distance = distance
    this.rttMs = rttMs
    this.joinedMs = nowMs
    this.usefulMs = nowMs
    this.#marks = marks
    this.upload = new UploadAccount(slot, marks)
    this.download = new DownloadAccount(slot, marks)
  }

  /** Its bitfield arrived. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  /** It has neither acknowledged nor delivered a piece. */
  get isNewcomer(): boolean {
    return this.upload.drainRate === 0 && !this.download.isProven
  }

  /** Its bitfield arrived: pieces may be offered to it. */
  introduce(): void {
    this.#isKnown = true
    this.#marks.listening.add(this.slot)
  }

  /** It is no neighbour any more: its slot may become another's. */
  leave(): void {
    this.#marks.clear(this.slot)
    this.#marks = new NeighbourMarks()
    this.upload.leave(this.#marks)
    this.download.leave(this.#marks)
  }
}
