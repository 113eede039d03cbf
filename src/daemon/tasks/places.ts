/**
 * The places of the queue: who may download now. Performs what order.ts and quota.ts plan.
 *
 * Invariants: at most `maxActiveDownloads` tasks are active, those whose turn is first; none begins for which
 * the disk quota has no room; one pump runs at a time.
 */

import type { DiskQuota } from './disk-quota.ts'
import type { TaskLedger } from './ledger.ts'
import { byTurn, planPlaces } from './order.ts'
import { closeTransfer, type Task } from './task.ts'

export interface PlacesInit {
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
  /**
   * The table's version for which every queued task but the arrived was found to have no room; while it stays
   * nothing new can be found.
   */
  #heldVersion: number | undefined

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

  /**
   * Whether the task's content fits the quota. Fails the task when it can never fit; otherwise notes why it
   * waits.
   */
  async makeRoom(task: Task): Promise<boolean> {
    const { ledger, quota } = this.#init
    const verdict = await quota.makeRoom(task)
    if (verdict.kind === 'never') ledger.recordFact(task, 'fail', verdict.error)
    const heldBack = verdict.kind === 'waits' ? verdict.reason : undefined
    if (heldBack !== undefined && heldBack !== task.heldBack) ledger.feed.reportProgress(task)
    task.heldBack = heldBack
    return verdict.kind === 'fits'
  }

  async #pump(): Promise<void> {
    const { ledger, limits, run, stop } = this.#init
    const { table } = ledger
    if (stop.aborted) return
    const plan = planPlaces(table.active, limits().maxActiveDownloads)
    for (const task of plan.sendBack) await this.sendBack(task)
    let { free } = plan
    if (free === 0) return
    const { version } = table
    const candidates = this.#heldVersion === version ? [...table.arrived].sort(byTurn) : [...table.queue]
    this.#heldVersion = undefined
    for (const task of candidates) {
      if (free === 0 || stop.aborted) return
      if (task.record.state !== 'queued' || !(await this.makeRoom(task)) || task.record.state !== 'queued') continue
      free--
      run(task)
    }
    if (table.version !== version) return
    this.#heldVersion = version
    for (const task of candidates) table.arrived.delete(task)
  }
}
