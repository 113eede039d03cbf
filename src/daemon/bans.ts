/**
 * Peers that were banned, by reason: for `/metrics`, and a line in the log for each.
 *
 * Called by the queue with what its transfers tell; read by metrics.ts.
 */

import type { TransferEvents } from '../node/types.ts'

/**
 * corrupt: sent a piece that is not what its hash says. protocol: everything else that an honest peer does
 * not do.
 */
type BanReason = 'corrupt' | 'protocol'

export class Bans {
  readonly counts: Record<BanReason, number> = { corrupt: 0, protocol: 0 }
  readonly #warn: (facts: object, message: string) => void

  constructor(warn: (facts: object, message: string) => void) {
    this.#warn = warn
  }

  record({ peer, event, reason = '' }: TransferEvents['peer'], root: string): void {
    if (event !== 'banned') return
    this.counts[/is corrupt$/.test(reason) ? 'corrupt' : 'protocol']++
    this.#warn({ peer, root, reason }, 'peer banned')
  }
}
