import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { byTurn } from '../../../src/daemon/tasks/order.ts'
import { TaskQueue } from '../../../src/daemon/tasks/queue.ts'
import { claimedBytes } from '../../../src/daemon/tasks/quota.ts'
import type { TaskRecord } from '../../../src/daemon/tasks/record.ts'
import type { Task } from '../../../src/daemon/tasks/task.ts'
import { TaskStore } from '../../../src/daemon/tasks/task-store.ts'
import { TaskTable } from '../../../src/daemon/tasks/task-table.ts'
import type { TaskState } from '../../../src/daemon/tasks/transitions.ts'

function taskOf(i: number, more: Partial<TaskRecord> = {}): Task {
  const root = i.toString(16).padStart(64, '0')
  const record = { id: `${i}`, kind: 'get', root, state: 'queued', order: i, priority: 0, length: i, bytesDone: 0, ...more }
  return { record, readers: 0, transfer: undefined, heldBack: undefined } as unknown as Task
}

test('queue, places and claimed disk are what looking through all tasks would give', () => {
  const states: TaskState[] = ['queued', 'active', 'paused', 'complete', 'failed', 'evicted']
  const change = fc.record({
    what: fc.constantFrom('add', 'delete', 'state', 'priority', 'swap', 'bytes'),
    pick: fc.nat(),
    state: fc.constantFrom(...states),
    value: fc.integer({ min: -3, max: 3 })
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), changes => {
      const table = new TaskTable()
      const tasks: Task[] = []
      for (const { what, pick, state, value } of changes) {
        const task = tasks[pick % Math.max(1, tasks.length)]
        if (what === 'add') {
          const added = taskOf(table.nextOrder(), { state })
          tasks.push(added)
          table.add(added)
        } else if (task !== undefined) {
          if (what === 'delete') {
            tasks.splice(tasks.indexOf(task), 1)
            table.delete(task)
          }
          if (what === 'state') task.record.state = state
          if (what === 'priority') task.record.priority = value
          if (what === 'bytes') task.record.bytesDone = Math.abs(value)
          const other = tasks[(pick >> 3) % Math.max(1, tasks.length)]
          if (what === 'swap' && other !== undefined) {
            const { order } = task.record
            task.record.order = other.record.order
            other.record.order = order
            table.note(task)
            table.note(other)
          }
          table.note(task)
        }
        const queue = tasks.filter(({ record }) => record.state === 'queued').sort(byTurn)
        assert.deepEqual(
          table.queue.map(({ record }) => record.id),
          queue.map(({ record }) => record.id)
        )
        for (const [index, queued] of queue.entries()) assert.equal(table.position(queued), index + 1)
        assert.equal(
          table.usedBytes,
          tasks.reduce((sum, { record }) => sum + claimedBytes(record), 0)
        )
      }
    })
  )
})

for (const [why, maxActiveDownloads, quotaBytes] of [
  ['for a place', 0, 0],
  ['for room on the disk', 3, 1000]
] as const) {
  test(`a task added to ten thousand that wait ${why} costs about what it costs among a hundred`, () =>
    compareCosts(maxActiveDownloads, quotaBytes))
}

async function compareCosts(maxActiveDownloads: number, quotaBytes: number): Promise<void> {
  const store = new TaskStore(':memory:')
  const queue = new TaskQueue({
    // A download that begins never ends.
    node: { get: () => new Promise(() => {}), seed: () => assert.fail(), remove: () => assert.fail() },
    store,
    parseManifest: () => assert.fail(),
    hashOf: () => assert.fail(),
    completeDir: '/nowhere',
    incompleteDir: undefined,
    limits: () => ({ maxActiveDownloads }),
    quotaBytes: () => quotaBytes,
    stallMs: 1000,
    log: { info: () => {}, warn: () => {} }
  })
  const costs: number[] = []
  let added = 0
  const addBatch = async (): Promise<void> => {
    const before = process.cpuUsage()
    for (let i = 0; i < 100; i++, added++) {
      await queue.add({ source: { link: `swarm:${added.toString(16).padStart(64, '0')}?length=900` } })
      // The queue has looked for room.
      await new Promise(resolve => setImmediate(resolve))
    }
    const { user, system } = process.cpuUsage(before)
    costs.push(user + system)
  }
  while (added < 10_000) await addBatch()
  await queue.stop()
  store.close()
  // The first batches also pay for code that is not optimized yet.
  const median = (of: number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1] as number
  const [early, late] = [median(costs.slice(0, 10)), median(costs.slice(-10))]
  assert.ok(late < 3 * early, `100 tasks cost ${early} us of CPU at first and ${late} us at the end`)
}
