/**
 * Streams that have not said yet what they are for: bounded in number, in all and of one peer, and in time. Used by links.ts and lanes.ts.
 */

import type { Stream } from '@libp2p/interface'

/** In all and of one peer; more are refused at once. */
const MAX_SILENT_STREAMS = 512
const MAX_SILENT_STREAMS_PER_PEER = 32

export class SilentStreams {
  readonly #timeoutMs: number
  readonly #byPeer = new Map<string, number>()
  #total = 0

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /**
   * A stream that has to end its handshake in time. Returns what to call when it has, or is over; undefined, and the stream is aborted, when too many
   * are silent.
   */
  begin(stream: Stream, peer: string, onTimeout: () => void): (() => void) | undefined {
    const silentOfPeer = this.#byPeer.get(peer) ?? 0
    if (this.#total >= MAX_SILENT_STREAMS || silentOfPeer >= MAX_SILENT_STREAMS_PER_PEER) {
      stream.abort(new Error('too many streams without a hello'))
      return undefined
    }
    this.#count(peer, 1)
    let isSilent = true
    const timer = setTimeout(onTimeout, this.#timeoutMs).unref()
    return () => {
      clearTimeout(timer)
      if (isSilent) this.#count(peer, -1)
      isSilent = false
    }
  }

  #count(peer: string, change: number): void {
    const count = (this.#byPeer.get(peer) ?? 0) + change
    if (count > 0) this.#byPeer.set(peer, count)
    else this.#byPeer.delete(peer)
    this.#total += change
  }
}
