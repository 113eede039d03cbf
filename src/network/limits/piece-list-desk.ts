/**
 * Which piece lists are being sent, and who has to wait: a list can be long, and a reader slow on purpose.
 *
 * Invariants: no more at once than the table says, of a peer, an address, a prefix and in all. A reader that
 * takes less than {@link FLOOR_BYTES_PER_SECOND} keeps nobody out: where all places are taken, the one of
 * them that has held its place longest goes, and half of the places is all that they have for longer than
 * {@link GRACE_MS}. (Half, as a slow uplink makes all readers slow.) Used by piece-list-fetch.ts.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { Refusals } from './refusals.ts'
import { type RemoteAddress, remoteAddressOf } from './remote-address.ts'
import type { NetworkLimits } from './table.ts'
import { Tally } from './tally.ts'

const MAX_PER_PEER = 2
const FLOOR_BYTES_PER_SECOND = 64 * 1024
/** How long it may take too little while half of the places are free. */
const GRACE_MS = 5_000
const CHECK_MS = 1_000

interface Place {
  readonly peer: string
  readonly from: RemoteAddress
  readonly stream: Stream
  sentBytes: number
  /** Those of them that had left when it was looked at last. */
  takenBytes: number
  /** Since when it takes too little; undefined: it does not. */
  slowSinceMs: number | undefined
}

export class PieceListDesk {
  readonly #limits: NetworkLimits
  readonly #refusals: Refusals
  readonly #tally: Tally
  /** In the order in which they came. */
  readonly #places = new Set<Place>()
  #timer: NodeJS.Timeout | undefined

  constructor(limits: NetworkLimits, refusals: Refusals) {
    this.#limits = limits
    this.#refusals = refusals
    this.#tally = new Tally(limits, 'pieceLists')
  }

  /**
   * A place to send a list on this stream; undefined: tell it that we are busy. It is given back by `leave`.
   */
  enter(stream: Stream, { remotePeer, remoteAddr }: Connection): { handleSent(bytes: number): void; leave(): void } | undefined {
    const peer = remotePeer.toString()
    const from = remoteAddressOf(remoteAddr)
    const ofPeer = [...this.#places].filter(place => place.peer === peer).length
    const isFull = this.#places.size >= this.#limits.total.pieceLists
    if (ofPeer >= MAX_PER_PEER || !this.#tally.hasRoom(from) || (isFull && !this.#endSlow(0))) {
      this.#refusals.count('piece-list', from.address)
      return undefined
    }
    const place: Place = { peer, from, stream, sentBytes: 0, takenBytes: 0, slowSinceMs: undefined }
    this.#places.add(place)
    this.#tally.add(from)
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS).unref()
    return {
      handleSent: bytes => {
        place.sentBytes += bytes
      },
      leave: () => this.#leave(place)
    }
  }

  #check(): void {
    const nowMs = performance.now()
    for (const place of this.#places) {
      const takenBytes = place.sentBytes - place.stream.writeBufferLength
      const isSlow = takenBytes - place.takenBytes < (FLOOR_BYTES_PER_SECOND * CHECK_MS) / 1000
      place.takenBytes = takenBytes
      place.slowSinceMs = isSlow ? (place.slowSinceMs ?? nowMs) : undefined
    }
    while (this.#places.size > this.#limits.total.pieceLists / 2) if (!this.#endSlow(GRACE_MS)) return
  }

  /**
   * Of those that have been slow for this long the one that has held its place longest; false: there is none.
   */
  #endSlow(heldMs: number): boolean {
    const nowMs = performance.now()
    for (const place of this.#places) {
      if (place.slowSinceMs === undefined || nowMs - place.slowSinceMs < heldMs) continue
      this.#leave(place)
      this.#refusals.count('piece-list', place.from.address)
      place.stream.abort(new ProtocolError('too slow for a piece list'))
      return true
    }
    return false
  }

  #leave(place: Place): void {
    if (!this.#places.delete(place)) return
    this.#tally.add(place.from, -1)
    if (this.#places.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
