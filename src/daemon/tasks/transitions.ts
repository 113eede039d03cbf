/**
 * The states of a task, and the one table of how they follow each other. Pure.
 *
 * Invariant: no state is written but the one that this table gives; what is not in it is refused to a caller
 * and ignored as a late fact.
 */

export const TASK_STATES = ['queued', 'active', 'paused', 'complete', 'failed', 'cancelled', 'evicted'] as const

/**
 * queued: waits for a free place. active: downloads. paused: asked to wait. complete: verified, in place and
 * seeded. failed: has an error, and `resume` tries again. cancelled: given up, what was verified stays.
 * evicted: deleted to keep the disk quota.
 */
export type TaskState = (typeof TASK_STATES)[number]

/**
 * Asked for by callers. `reseed` is the `resume` of a file that is shared where it lies: it needs no place in
 * the queue.
 */
export type TaskRequest = 'pause' | 'resume' | 'reseed' | 'cancel' | 'move'

/**
 * Facts. start, sendBack: the queue gives a place and takes it. finish: every piece is in place. find: the
 * whole content lies on disk. fail: the transfer or its content failed. evict: the content was deleted for
 * the quota. stick: a deletion failed half way.
 */
export type TaskFact = 'start' | 'sendBack' | 'finish' | 'find' | 'fail' | 'evict' | 'stick'

type Row = Readonly<Partial<Record<TaskState, TaskState>>>

const TABLE: Readonly<Record<TaskRequest | TaskFact, Row>> = {
  pause: { queued: 'paused', active: 'paused', paused: 'paused' },
  resume: {
    queued: 'queued',
    active: 'active',
    complete: 'complete',
    paused: 'queued',
    failed: 'queued',
    cancelled: 'queued',
    evicted: 'queued'
  },
  reseed: { complete: 'complete', failed: 'complete', cancelled: 'complete' },
  cancel: { queued: 'cancelled', active: 'cancelled', paused: 'cancelled', failed: 'cancelled', cancelled: 'cancelled' },
  move: { queued: 'queued' },
  start: { queued: 'active' },
  sendBack: { active: 'queued' },
  // Paused and waiting tasks keep their transfer, whose last pieces may still arrive or fail to be written.
  finish: { queued: 'complete', active: 'complete', paused: 'complete' },
  find: {
    queued: 'complete',
    active: 'complete',
    paused: 'complete',
    complete: 'complete',
    failed: 'complete',
    cancelled: 'complete',
    evicted: 'complete'
  },
  fail: { queued: 'failed', active: 'failed', paused: 'failed', complete: 'failed' },
  evict: { complete: 'evicted', failed: 'evicted' },
  stick: {
    queued: 'failed',
    active: 'failed',
    paused: 'failed',
    complete: 'failed',
    failed: 'failed',
    cancelled: 'failed',
    evicted: 'failed'
  }
}

/** Undefined: this cannot happen to a task in that state. */
export function nextState(state: TaskState, event: TaskRequest | TaskFact): TaskState | undefined {
  return TABLE[event][state]
}
