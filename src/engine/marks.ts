/**
 * Answers to questions that every choice asks of all neighbours, kept a second time as one bit each: looking
 * at thirty objects for them took 8 % of a large simulation. Written by the accounts (upload/account.ts,
 * download/account.ts) and neighbour.ts.
 */

import { SlotSet } from './slot-set.ts'

/** Slots of neighbours that... */
export class NeighbourMarks {
  /** ...sent their bitfield and answer offers: pieces may be offered to them. */
  readonly listening = new SlotSet()
  /** ...have an offer, a waiting request or a piece under way from us. */
  readonly uploadedTo = new SlotSet()
  /** ...have a request of ours waiting or under way. */
  readonly waiting = new SlotSet()
  /** ...were asked for a piece by us. */
  readonly askedOf = new SlotSet()
  /** ...said `full`, perhaps long ago. */
  readonly full = new SlotSet()
  /** ...let the last request time out. */
  readonly failing = new SlotSet()
  /** ...take pieces slower than our uplink sends them. */
  readonly slow = new SlotSet()
  /** ...never delivered a piece. */
  readonly unproven = new SlotSet()
  /** ...got more first copies than they passed on: they have the small share (upload/share.ts). */
  readonly light = new SlotSet()

  clear(slot: number): void {
    const { listening, uploadedTo, waiting, askedOf, full, failing, slow, unproven, light } = this
    for (const set of [listening, uploadedTo, waiting, askedOf, full, failing, slow, unproven, light]) set.delete(slot)
  }
}
