/**
 * Whose turn it is: pure rules over what the queue knows of its tasks.
 */

export interface Turn {
  readonly record: { readonly priority: number; readonly order: number }
}

/** Whose turn is first: higher priority, then the older. Orders are unique, so this is total. */
export function byTurn(a: Turn, b: Turn): number {
  return b.record.priority - a.record.priority || a.record.order - b.record.order
}

/** What becomes of the places: those who have one and must give it back, and how many are free afterwards. */
export function planPlaces<T extends Turn>(active: Iterable<T>, most: number): { sendBack: T[]; free: number } {
  const inTurn = [...active].sort(byTurn)
  return { sendBack: inTurn.slice(most), free: Math.max(0, most - inTurn.length) }
}

/**
 * The orders after `task` was put on `position` (1 is first) among the queued of its priority: they are given
 * out again.
 */
export function planMove<T extends Turn>(queue: readonly T[], task: T, position: number): { task: T; order: number }[] {
  const equals = queue.filter(({ record }) => record.priority === task.record.priority).sort(byTurn)
  const orders = equals.map(({ record }) => record.order)
  const moved = equals.filter(other => other !== task)
  moved.splice(position - 1, 0, task)
  return moved.map((each, index) => ({ task: each, order: orders[index] as number }))
}

interface Place extends Turn {
  /** Readers of the content now. */
  readonly readers: number
  readonly lastMovedMs: number
}

/** Those who got nothing for `stallMs` and whom nobody reads, one for each task that could begin. */
export function planYield<T extends Place>(
  active: Iterable<T>,
  { waiting, nowMs, stallMs }: { waiting: number; nowMs: number; stallMs: number }
): T[] {
  return [...active].filter(({ readers, lastMovedMs }) => readers === 0 && nowMs - lastMovedMs >= stallMs).slice(0, waiting)
}

interface Listed {
  readonly state: string
  readonly position: number | undefined
  readonly record: { readonly order: number }
}

/** As tasks are listed: the active, then the queue, then the rest with the newest first. */
export function byListing(a: Listed, b: Listed): number {
  const group = ({ state }: Listed): number => (state === 'active' ? 0 : state === 'queued' ? 1 : 2)
  const byOrder = a.record.order - b.record.order
  return group(a) - group(b) || (a.position ?? 0) - (b.position ?? 0) || (group(a) === 2 ? -byOrder : byOrder)
}
