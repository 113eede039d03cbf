/**
 * What becomes of records when a caller changes a task, or asks for a content again. Pure.
 */

import { RequestRefusedError } from '../../errors.ts'
import { planMove, type Turn } from './order.ts'
import type { NewTask, TaskChange, TaskRecord } from './record.ts'

/** A task, or what stands for one. */
interface Holder {
  readonly record: TaskRecord
}

type Changes<T> = [T, Partial<TaskRecord>][]

const MAX_PEERS = 100

/** Throws `RequestRefusedError` ('forbidden') when the caller may not give the task other origins. */
export function checkOriginsChange({ privateOrigins, id }: TaskRecord, mayUsePrivate: boolean): void {
  if (privateOrigins !== true || mayUsePrivate) return
  const message = 'this task may ask private addresses, so only its owner may change its origins'
  throw new RequestRefusedError('forbidden', message, { id })
}

/** With a position also the orders of others that wait. */
export function planUpdate<T extends Holder>(task: T, change: TaskChange, queue: readonly T[]): Changes<T> {
  const { position, limits, ...plain } = change
  const own = { ...plain, limits: { ...task.record.limits, ...limits } }
  if (position === undefined) return [[task, own]]
  const turns: (Turn & { task: T })[] = queue.map(other => ({ task: other, record: other.record }))
  const mine = { task, record: { ...task.record, ...own } }
  const asItWillBe = turns.map(turn => (turn.task === task ? mine : turn))
  return planMove(asItWillBe, mine, position).map(({ task: turn, order }) => [
    turn.task,
    turn === mine ? { ...own, order } : { order }
  ])
}

/**
 * New peers help, new origins replace the former. Throws `RequestRefusedError` ('conflict') for another
 * output.
 */
export function planAskAgain(record: TaskRecord, request: NewTask): Partial<TaskRecord> {
  const { output, origins = [], peers = [] } = request
  if (output !== undefined && output !== record.output && output !== record.path) {
    const place = record.path ?? record.output ?? 'the complete folder'
    const { id, root } = record
    throw new RequestRefusedError('conflict', `this content is a task already, with its output at ${place}`, { id, root })
  }
  const allPeers = [...new Set([...record.peers, ...peers])].slice(-MAX_PEERS)
  return { peers: allPeers, ...(origins.length === 0 ? {} : { origins }) }
}
