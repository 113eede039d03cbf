/**
 * How much of one thing each address and prefix has at the moment, and whether it may have more. Used by the
 * limits.
 */

import type { RemoteAddress } from './remote-address.ts'
import type { NetworkLimits, ScopeLimits } from './table.ts'

export class Tally {
  readonly #limits: NetworkLimits
  readonly #kind: keyof ScopeLimits
  readonly #byAddress = new Map<string, number>()
  readonly #byPrefix = new Map<string, number>()
  total = 0

  constructor(limits: NetworkLimits, kind: keyof ScopeLimits) {
    this.#limits = limits
    this.#kind = kind
  }

  /** Whether address and prefix may have one more. */
  hasRoom({ address, prefix, isPrivate }: RemoteAddress): boolean {
    const { privateAddress, publicAddress, privatePrefix, publicPrefix } = this.#limits
    return (
      this.of(address) < (isPrivate ? privateAddress : publicAddress)[this.#kind] &&
      (this.#byPrefix.get(prefix) ?? 0) < (isPrivate ? privatePrefix : publicPrefix)[this.#kind]
    )
  }

  of(address: string): number {
    return this.#byAddress.get(address) ?? 0
  }

  add({ address, prefix }: RemoteAddress, change = 1): void {
    count(this.#byAddress, address, change)
    count(this.#byPrefix, prefix, change)
    this.total += change
  }
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const sum = (counts.get(key) ?? 0) + change
  if (sum > 0) counts.set(key, sum)
  else counts.delete(key)
}
