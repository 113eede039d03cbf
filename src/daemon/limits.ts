/**
 * The daemon's limits: what the configuration says, what an operator changed while running, and what the hour
 * makes of both.
 *
 * Invariants: a change is stored before it is applied; `inForce` is recomputed when the clock passes a rule's
 * edge. Called by the composition (start-daemon.ts) and the routes.
 */

import { EventEmitter } from 'node:events'
import type { TaskStore } from './tasks/task-store.ts'

/** What holds at a moment. */
interface LimitsInForce {
  /** Downloads at once; the rest waits in order. */
  maxActiveDownloads: number
  /** Pieces being sent at once, over all contents; 0 leaves it to the engine. */
  maxUploads: number
  /** Of all tasks together; 0 is no limit. */
  downloadBytesPerSecond: number
  uploadBytesPerSecond: number
}

/**
 * Between these hours (over midnight when `from` is after `to`), HH:MM in local time, these values hold
 * instead.
 */
export interface LimitRule extends Partial<LimitsInForce> {
  from: string
  to: string
  /** Days on which the hours begin, 0 is Sunday. @default all */
  days?: number[]
}

export interface Limits extends LimitsInForce {
  /** Disk for downloaded content; 0 is no limit. */
  quotaBytes: number
  /** The first rule whose hours hold now wins. */
  schedule: LimitRule[]
}

/** null goes back to the configuration. */
type LimitChanges = { [K in keyof Limits]?: Limits[K] | null }

const SETTING = 'limits'
const MINUTE_MS = 60_000

export class LimitBoard {
  readonly #configured: Limits
  readonly #store: TaskStore
  readonly #events = new EventEmitter()
  #changes: LimitChanges
  #inForce: LimitsInForce
  #timer: NodeJS.Timeout | undefined

  constructor(configured: Limits, store: TaskStore) {
    this.#configured = configured
    this.#store = store
    this.#changes = (store.setting(SETTING) ?? {}) as LimitChanges
    this.#inForce = limitsAt(this.limits, new Date())
    this.#schedule()
  }

  get limits(): Limits {
    const changed = Object.fromEntries(Object.entries(this.#changes).filter(([, value]) => value !== null)) as Partial<Limits>
    return { ...this.#configured, ...changed }
  }

  get inForce(): LimitsInForce {
    return this.#inForce
  }

  /** Keeps the change over restarts; null goes back to the configuration. */
  patch(changes: LimitChanges): void {
    this.#changes = { ...this.#changes, ...changes }
    this.#store.saveSetting(SETTING, this.#changes)
    this.#apply()
  }

  /** Called when what is in force, or the quota, changed. */
  onChange(listener: () => void): void {
    this.#events.on('change', listener)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#events.removeAllListeners()
  }

  #apply(): void {
    this.#inForce = limitsAt(this.limits, new Date())
    this.#events.emit('change')
    this.#schedule()
  }

  /** Rules begin and end on whole minutes, so looking once a minute is exact. */
  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.limits.schedule.length === 0) return
    this.#timer = setTimeout(() => this.#apply(), MINUTE_MS - (Date.now() % MINUTE_MS) + 50)
    this.#timer.unref()
  }
}

/** Pure: the base, with the first rule whose hours hold at `now` laid over it. */
export function limitsAt(limits: Limits, now: Date): LimitsInForce {
  const { schedule, quotaBytes: _quota, ...base } = limits
  const rule = schedule.find(candidate => ruleHolds(candidate, now))
  if (rule === undefined) return base
  const { from: _from, to: _to, days: _days, ...values } = rule
  return { ...base, ...values }
}

function ruleHolds(rule: LimitRule, now: Date): boolean {
  const minute = now.getHours() * 60 + now.getMinutes()
  const from = minuteOfDay(rule.from)
  const to = minuteOfDay(rule.to)
  const begins = (day: number): boolean => rule.days === undefined || rule.days.includes(day)
  const today = now.getDay()
  if (from === to) return begins(today)
  if (from < to) return begins(today) && minute >= from && minute < to
  // Over midnight: the early hours belong to the day before.
  return (begins(today) && minute >= from) || (begins((today + 6) % 7) && minute < to)
}

function minuteOfDay(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5))
}
