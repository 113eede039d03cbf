/**
 * Room for downloads under the disk quota: who may begin, and what goes for it.
 *
 * Invariant: the content used longest ago goes first, and none that is pinned, being read, or not complete. Called by the queue.
 */

import { StoreError } from '../../errors.ts'
import { formatBytes } from '../../util/sizes.ts'
import { claimedBytes, type Entry, isEvictable } from './entry.ts'
import type { TaskTable } from './task-table.ts'

export interface DiskQuotaInit {
  table: TaskTable
  quotaBytes: () => number
  /** Deletes the content; afterwards the record claims what is left of it. */
  evict: (entry: Entry) => Promise<void>
}

/** 'fits'; 'never': more than the whole quota; 'waits': with the reason. */
export type RoomVerdict = { kind: 'fits' } | { kind: 'never'; error: StoreError } | { kind: 'waits'; reason: string }

export class DiskQuota {
  readonly #init: DiskQuotaInit
  #found: { version: number; evictable: readonly Entry[]; reclaimable: number } | undefined

  constructor(init: DiskQuotaInit) {
    this.#init = init
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
    const others = (): number => this.#init.table.usedBytes - claimedBytes(entry.record)
    if (others() + length <= quota) return { kind: 'fits' }
    const { evictable, reclaimable } = this.#reclaim()
    const left = quota - others() + reclaimable
    if (length > left) {
      const has = `${formatBytes(Math.max(0, left))} can be had of ${formatBytes(quota)}`
      return { kind: 'waits', reason: `disk quota: needs ${formatBytes(length)}, ${has}` }
    }
    for (const other of evictable) {
      if (other === entry || !isEvictable(other)) continue
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
    for (const entry of this.#reclaim().evictable) {
      if (!isEvictable(entry)) continue
      if (this.#init.table.usedBytes <= quota) return
      await this.#init.evict(entry)
    }
  }

  /** What may go, in the order in which it would, and how much that is. Found out once for each version of the table. */
  #reclaim(): { evictable: readonly Entry[]; reclaimable: number } {
    const { table } = this.#init
    if (this.#found?.version === table.version) return this.#found
    const evictable = [...table.all()]
      .filter(isEvictable)
      .sort((a, b) => a.record.lastUsedMs - b.record.lastUsedMs || a.record.order - b.record.order)
    const reclaimable = evictable.reduce((sum, { record }) => sum + claimedBytes(record), 0)
    this.#found = { version: table.version, evictable, reclaimable }
    return this.#found
  }
}
