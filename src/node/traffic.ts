/**
 * What moved between this node and others for one content: in all, with each peer, and in vain. Peers stay on
 * record after they left, up to a bound.
 */

import type { PeerStream } from '../network/types.ts'
import { RateMeter } from '../util/rate-meter.ts'

/** Traffic with one peer, kept after it left. */
export interface PeerTraffic {
  readonly peer: string
  readonly down: RateMeter
  readonly up: RateMeter
  address: string
  encryption: string
}

const MAX_RECORDS = 1000

export class Traffic {
  readonly peers = new Map<string, PeerTraffic>()
  readonly down: RateMeter
  readonly up: RateMeter
  readonly origin: RateMeter
  bytesWasted = 0
  lastServedMs = 0

  readonly #isConnected: (peer: string) => boolean

  constructor(nowMs: number, isConnected: (peer: string) => boolean) {
    this.down = new RateMeter(nowMs)
    this.up = new RateMeter(nowMs)
    this.origin = new RateMeter(nowMs)
    this.#isConnected = isConnected
  }

  recordReceived(peerStream: PeerStream, bytes: number, nowMs: number): void {
    this.down.record(bytes, nowMs)
    this.of(peerStream, nowMs).down.record(bytes, nowMs)
  }

  recordSent(peerStream: PeerStream, bytes: number, nowMs: number): void {
    this.lastServedMs = nowMs
    this.up.record(bytes, nowMs)
    this.of(peerStream, nowMs).up.record(bytes, nowMs)
  }

  recordFromOrigin(bytes: number, nowMs: number): void {
    this.origin.record(bytes, nowMs)
    this.down.record(bytes, nowMs)
  }

  /** The record of the peer stream's peer; a new one may take the place of a peer that left. */
  of(peerStream: PeerStream, nowMs: number): PeerTraffic {
    const { peer } = peerStream
    let traffic = this.peers.get(peer)
    if (traffic === undefined) {
      traffic = { peer, down: new RateMeter(nowMs), up: new RateMeter(nowMs), address: '', encryption: '' }
      this.peers.set(peer, traffic)
      if (this.peers.size > MAX_RECORDS) this.#forgetOne()
    }
    traffic.address = peerStream.remoteAddress
    traffic.encryption = peerStream.encryption
    return traffic
  }

  #forgetOne(): void {
    for (const peer of this.peers.keys()) {
      if (this.#isConnected(peer)) continue
      this.peers.delete(peer)
      return
    }
  }
}
