/**
 * Every five seconds: progress goes to the store, and places of downloads that stand still go to those that
 * wait.
 */

import type { TaskLedger } from './ledger.ts'
import { planYield } from './order.ts'
import { recordTotals, type Task } from './task.ts'

export interface HousekeepingInit {
  ledger: TaskLedger
  /** An active task without a new byte for this long lets the next one have its place, in milliseconds. */
  stallMs: number
  /** Takes the task's place away. */
  sendBack: (task: Task) => Promise<void>
  /** A place may be free. */
  onEnded: () => void
  log: { info: (facts: object, message: string) => void }
}

const INTERVAL_MS = 5000

export class Housekeeping {
  readonly #init: HousekeepingInit
  #timer: NodeJS.Timeout | undefined

  constructor(init: HousekeepingInit) {
    this.#init = init
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#keepProgress()
      void this.#yieldPlaces()
    }, INTERVAL_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #keepProgress(): void {
    const { ledger } = this.#init
    const moved: Task[] = []
    for (const task of ledger.table.all()) {
      const { record } = task
      const before = record.bytesDone + record.bytesUploaded
      const snapshot = recordTotals(task)
      if (snapshot === undefined) continue
      if (record.bytesDone + record.bytesUploaded !== before) moved.push(task)
      ledger.table.note(task)
      if (snapshot.bytesDone === task.lastBytes) continue
      task.lastBytes = snapshot.bytesDone
      task.lastMovedMs = performance.now()
    }
    ledger.save(...moved)
  }

  async #yieldPlaces(): Promise<void> {
    const { ledger, log, onEnded, sendBack, stallMs } = this.#init
    const waiting = ledger.table.queue.filter(({ heldBack }) => heldBack === undefined).length
    for (const task of planYield(ledger.table.active, { waiting, nowMs: performance.now(), stallMs })) {
      if (this.#timer === undefined) return
      if (task.record.state !== 'active') continue
      const { record } = task
      record.order = ledger.table.nextOrder()
      log.info({ root: record.root, name: record.name }, 'nothing arrives: goes to the end of the queue')
      await sendBack(task)
    }
    onEnded()
  }
}
