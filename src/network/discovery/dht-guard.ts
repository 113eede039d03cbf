/**
 * Bounds what a peer and an address may ask of our part of the DHT, before it is done. Used by dht.ts.
 *
 * Records beyond the budget are not kept, and the peer's stream waits a moment, which is all the answer that
 * the protocol has; a peer that asks without end loses its stream.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { ProtocolError } from '../../errors.ts'
import type { Refusals } from '../limits/refusals.ts'
import type { RemoteAddress } from '../limits/remote-address.ts'
import { TokenBuckets } from '../limits/token-bucket.ts'

/**
 * Records that a peer may leave with us: a daemon announces all its contents when it starts, and again every
 * 15 minutes.
 */
const RECORDS = { perSecond: 20, burst: 2_000 }
/** The same for all peers of an address, of ours and of elsewhere. */
const RECORDS_OF_PRIVATE_ADDRESS = { perSecond: 160, burst: 16_000 }
const RECORDS_OF_ADDRESS = { perSecond: 40, burst: 4_000 }
/** Everything else that a peer asks. */
const QUESTIONS = { perSecond: 100, burst: 1_000 }
const PAUSE_MS = 50

export class DhtGuard {
  readonly #refusals: Refusals
  readonly #budgets = new TokenBuckets()

  constructor(refusals: Refusals) {
    this.#refusals = refusals
  }

  /** Whether the message may be handled. Throws `ProtocolError` to end the stream that it came on. */
  async admits(peer: string, { address, isPrivate }: RemoteAddress, isRecord: boolean): Promise<boolean> {
    const nowMs = performance.now()
    const ofAddress = isPrivate ? RECORDS_OF_PRIVATE_ADDRESS : RECORDS_OF_ADDRESS
    const isWithin = isRecord
      ? this.#budgets.take(`records ${peer}`, RECORDS, nowMs) && this.#budgets.take(`records of ${address}`, ofAddress, nowMs)
      : this.#budgets.take(`questions ${peer}`, QUESTIONS, nowMs)
    if (isWithin) return true
    this.#refusals.count('dht-record', address)
    if (!isRecord) throw new ProtocolError('too many questions')
    await sleep(PAUSE_MS, undefined, { ref: false })
    return false
  }
}
