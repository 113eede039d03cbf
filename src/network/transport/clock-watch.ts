/**
 * Says that clocks differ, where a peer's certificate shows it: nothing else would, and signed URLs,
 * schedules and logs go wrong with a clock. Used by host.ts.
 */

import { addressOf } from '../limits/remote-address.ts'
import { TokenBucket } from '../limits/token-bucket.ts'
import { hoursOf } from './tls-certificate.ts'

const ONCE_A_MINUTE = { perSecond: 1 / 60, burst: 1 }

export class ClockWatch {
  readonly #warn: (line: string) => void
  readonly #lines = new TokenBucket()

  constructor(warn: (line: string) => void) {
    this.#warn = warn
  }

  /** The clock of a peer and ours differ by at least this. */
  handleDifference(ms: number, connection: object): void {
    if (!this.#lines.take(ONCE_A_MINUTE, performance.now())) return
    this.#warn(
      `clock: by its certificate the peer at ${addressOf(connection)} has a clock that differs from ours by ${hoursOf(ms)} or more ` +
        `(ours says ${new Date().toISOString()}); check both`
    )
  }
}
