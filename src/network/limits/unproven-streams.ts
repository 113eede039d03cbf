/**
 * Streams on which no root has been proven yet: bounded in time, of one peer, of one address, and in all.
 * Used by peer-streams.ts and piece-connections.ts.
 */

import type { Connection, Stream } from '@libp2p/interface'
import type { Refusals } from './refusals.ts'
import { type RemoteAddress, remoteAddressOf } from './remote-address.ts'
import type { NetworkLimits } from './table.ts'
import { Tally } from './tally.ts'

/** Of one peer, wherever it connects from. */
const MAX_PER_PEER = 32

interface Waiting {
  readonly from: RemoteAddress
  readonly stream: Stream
  end(): void
}

export class UnprovenStreams {
  readonly #timeoutMs: number
  readonly #limits: NetworkLimits
  readonly #refusals: Refusals
  readonly #byPeer = new Map<string, number>()
  readonly #tally: Tally
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>()

  constructor(timeoutMs: number, limits: NetworkLimits, refusals: Refusals) {
    this.#timeoutMs = timeoutMs
    this.#limits = limits
    this.#refusals = refusals
    this.#tally = new Tally(limits, 'unprovenStreams')
  }

  /**
   * A stream that has to end its handshake in time. Returns what to call when it has, or is over; undefined,
   * and the stream is aborted, when its peer or address has too many. Where there are too many in all, the
   * oldest of the address that has most is aborted.
   */
  begin(stream: Stream, { remotePeer, remoteAddr }: Connection, onTimeout: () => void): (() => void) | undefined {
    const peer = remotePeer.toString()
    const from = remoteAddressOf(remoteAddr)
    if ((this.#byPeer.get(peer) ?? 0) >= MAX_PER_PEER || !this.#tally.hasRoom(from)) {
      this.#refuse(stream, from)
      return undefined
    }
    if (this.#tally.total >= this.#limits.total.unprovenStreams) this.#endBusiest()
    this.#count(peer, from, 1)
    const timer = setTimeout(onTimeout, this.#timeoutMs).unref()
    const waiting: Waiting = {
      from,
      stream,
      end: () => {
        clearTimeout(timer)
        if (this.#waiting.delete(waiting)) this.#count(peer, from, -1)
      }
    }
    this.#waiting.add(waiting)
    return waiting.end
  }

  #endBusiest(): void {
    let busiest: Waiting | undefined
    for (const waiting of this.#waiting) {
      if (busiest === undefined || this.#tally.of(waiting.from.address) > this.#tally.of(busiest.from.address)) busiest = waiting
    }
    if (busiest === undefined) return
    busiest.end()
    this.#refuse(busiest.stream, busiest.from)
  }

  #refuse(stream: Stream, { address }: RemoteAddress): void {
    this.#refusals.count('stream-unproven', address)
    stream.abort(new Error('too many streams without a proof'))
  }

  #count(peer: string, from: RemoteAddress, change: number): void {
    const count = (this.#byPeer.get(peer) ?? 0) + change
    if (count > 0) this.#byPeer.set(peer, count)
    else this.#byPeer.delete(peer)
    this.#tally.add(from, change)
  }
}
