/**
 * Room for downloads under the disk quota: who may begin, and what goes for it.
 *
 * Invariant: the content used longest ago goes first, and none that is pinned, being read, or not complete. Called by the queue.
 */

import { StoreError } from '../../errors.ts'
import { formatBytes } from '../../util/sizes.ts'
import { claimedBytes, type Entry, isEvictable } from './entry.ts'

export interface DiskQuotaInit {
  entries: () => Iterable<Entry>
  quotaBytes: () => number
  /** Deletes the content; afterwards the record claims what is left of it. */
  evict: (entry: Entry) => Promise<void>
}

/** 'fits'; 'never': more than the whole quota; 'waits': with the reason. */
export type RoomVerdict = { kind: 'fits' } | { kind: 'never'; error: StoreError } | { kind: 'waits'; reason: string }

export class DiskQuota {
  readonly #init: DiskQuotaInit

  constructor(init: DiskQuotaInit) {
    this.#init = init
  }

  /** Bytes of disk that downloads take, or will when active ones are complete. */
  get usedBytes(): number {
    let used = 0
    for (const { record } of this.#init.entries()) used += claimedBytes(record)
    return used
  }

  /** Whether the task's content fits, after deleting what may go for it. */
  async makeRoom(entry: Entry): Promise<RoomVerdict> {
    const quota = this.#init.quotaBytes()
    const length = entry.record.length ?? 0
    if (quota === 0) return { kind: 'fits' }
    if (length > quota) {
      const cause = Object.assign(new Error('quota'), { code: 'EDQUOT' })
      const message = `${formatBytes(length)} never fit the disk quota of ${formatBytes(quota)}`
      return { kind: 'never', error: new StoreError(message, entry.record.output ?? entry.record.name, cause) }
    }
    const others = (): number => this.usedBytes - claimedBytes(entry.record)
    const evictable = this.#evictable(entry)
    const reclaimable = evictable.reduce((sum, other) => sum + claimedBytes(other.record), 0)
    const left = quota - others() + reclaimable
    if (length > left) {
      const has = `${formatBytes(Math.max(0, left))} can be had of ${formatBytes(quota)}`
      return { kind: 'waits', reason: `disk quota: needs ${formatBytes(length)}, ${has}` }
    }
    for (const other of evictable) {
      if (others() + length <= quota) break
      await this.#init.evict(other)
    }
    if (others() + length <= quota) return { kind: 'fits' }
    return { kind: 'waits', reason: `disk quota: needs ${formatBytes(length)}; what should go for it could not be deleted` }
  }

  /** Deletes over the quota after it was lowered, as far as nobody uses the contents. */
  async keep(): Promise<void> {
    const quota = this.#init.quotaBytes()
    if (quota === 0) return
    for (const entry of this.#evictable(undefined)) {
      if (this.usedBytes <= quota) return
      await this.#init.evict(entry)
    }
  }

  #evictable(except: Entry | undefined): Entry[] {
    return [...this.#init.entries()]
      .filter(entry => entry !== except && isEvictable(entry))
      .sort((a, b) => a.record.lastUsedMs - b.record.lastUsedMs || a.record.order - b.record.order)
  }
}
