/**
 * Keeps the disk quota: asks the rules of quota.ts and deletes what they choose. Called by the queue.
 */

import { StoreError } from '../../errors.ts'
import { formatBytes } from '../../util/sizes.ts'
import { claimedBytes, evictionOrder, isEvictable, planRoom } from './quota.ts'
import type { Task } from './task.ts'
import type { TaskTable } from './task-table.ts'

export interface DiskQuotaInit {
  table: TaskTable
  quotaBytes: () => number
  /** Deletes the content; afterwards the record claims what is left of it. */
  evict: (task: Task) => Promise<void>
}

/** 'fits'; 'never': more than the whole quota; 'waits': with the reason. */
type RoomVerdict = { kind: 'fits' } | { kind: 'never'; error: StoreError } | { kind: 'waits'; reason: string }

export class DiskQuota {
  readonly #init: DiskQuotaInit
  #found: { version: number; evictable: readonly Task[]; reclaimableBytes: number } | undefined

  constructor(init: DiskQuotaInit) {
    this.#init = init
  }

  /** Whether the task's content fits, after deleting what may go for it. */
  async makeRoom(task: Task): Promise<RoomVerdict> {
    const { record } = task
    const quotaBytes = this.#init.quotaBytes()
    const neededBytes = record.length ?? 0
    const others = (): number => this.#init.table.usedBytes - claimedBytes(record)
    const fits = (): boolean => others() + neededBytes <= quotaBytes
    const { evictable, reclaimableBytes } = quotaBytes === 0 || fits() ? NOTHING : this.#reclaim()
    const plan = planRoom({ quotaBytes, neededBytes, otherBytes: others(), reclaimableBytes })
    if (plan.kind === 'never') {
      const cause = Object.assign(new Error('quota'), { code: 'EDQUOT' })
      return { kind: 'never', error: new StoreError(plan.reason, record.output ?? record.name, cause) }
    }
    if (plan.kind !== 'evict') return plan
    for (const other of evictable) {
      if (fits()) break
      // Its state may have changed while another was deleted.
      if (other !== task && isEvictable(other)) await this.#init.evict(other)
    }
    if (fits()) return { kind: 'fits' }
    return {
      kind: 'waits',
      reason: `disk quota: needs ${formatBytes(neededBytes)}; what should go for it could not be deleted`
    }
  }

  /** Deletes over the quota after it was lowered, as far as nobody uses the contents. */
  async keep(): Promise<void> {
    const quotaBytes = this.#init.quotaBytes()
    if (quotaBytes === 0) return
    for (const task of this.#reclaim().evictable) {
      if (this.#init.table.usedBytes <= quotaBytes) return
      if (isEvictable(task)) await this.#init.evict(task)
    }
  }

  /** Found out once for each version of the table. */
  #reclaim(): { evictable: readonly Task[]; reclaimableBytes: number } {
    const { table } = this.#init
    if (this.#found?.version === table.version) return this.#found
    const evictable = evictionOrder(table.all())
    const reclaimableBytes = evictable.reduce((sum, { record }) => sum + claimedBytes(record), 0)
    this.#found = { version: table.version, evictable, reclaimableBytes }
    return this.#found
  }
}

const NOTHING: { evictable: readonly Task[]; reclaimableBytes: number } = { evictable: [], reclaimableBytes: 0 }
