/**
 * The places of the queue: who may download now. Performs what order.ts and quota.ts plan.
 *
 * Invariants: at most `maxActiveDownloads` tasks are active, those whose turn is first; none begins for which the disk quota has no room;
 * one pump runs at a time.
 */

import type { DiskQuota } from './disk-quota.ts'
import type { TaskLedger } from './ledger.ts'
import { planPlaces } from './order.ts'
import { closeTransfer, type Task } from './task.ts'

interface PlacesInit {
  ledger: TaskLedger
  quota: DiskQuota
  limits: () => { maxActiveDownloads: number }
  /** Begins the download. */
  run: (task: Task) => void
  /** Aborted when the daemon stops. */
  stop: AbortSignal
  log: { warn: (facts: object, message: string) => void }
}

export class Places {
  readonly #init: PlacesInit
  #pumping: Promise<void> = Promise.resolve()

  constructor(init: PlacesInit) {
    this.#init = init
  }

  /** Starts what may start now, and sends back to the queue what may not be active any more. */
  pump(): void {
    void this.after(() => this.#pump())
  }

  /** Does `work` when no pump runs, and before the next does. Never rejects. */
  after(work: () => Promise<void>): Promise<void> {
    this.#pumping = this.#pumping.then(work).catch(err => this.#init.log.warn({ err }, 'the queue could not move'))
    return this.#pumping
  }

  /** Back into the queue, in its old place. */
  async sendBack(task: Task): Promise<void> {
    if (this.#init.ledger.recordFact(task, 'sendBack')) await closeTransfer(task)
  }

  /** Whether the task's content fits the quota. Fails the task when it can never fit; otherwise notes why it waits. */
  async makeRoom(task: Task): Promise<boolean> {
    const { ledger, quota } = this.#init
    const verdict = await quota.makeRoom(task)
    if (verdict.kind === 'never') ledger.recordFact(task, 'fail', verdict.error)
    const heldBack = verdict.kind === 'waits' ? verdict.reason : undefined
    if (heldBack !== undefined && heldBack !== task.heldBack) ledger.feed.reportProgress(task)
    task.heldBack = heldBack
    task.heldVersion = ledger.table.version
    return verdict.kind === 'fits'
  }

  async #pump(): Promise<void> {
    const { ledger, limits, run, stop } = this.#init
    const { table } = ledger
    if (stop.aborted) return
    const plan = planPlaces(table.active, limits().maxActiveDownloads)
    for (const task of plan.sendBack) await this.sendBack(task)
    let { free } = plan
    for (let place = 0; free > 0 && !stop.aborted; ) {
      const task = table.queue[place]
      if (task === undefined) break
      // Nothing is known that was not when it was held back.
      const isHeld = task.heldBack !== undefined && task.heldVersion === table.version
      if (!isHeld && (await this.makeRoom(task)) && task.record.state === 'queued') {
        free--
        run(task)
      }
      if (table.queue[place] === task) place++
    }
  }
}
