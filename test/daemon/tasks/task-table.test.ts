import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TaskState } from '../../../src/api/schema.ts'
import { byTurn, claimedBytes, type Entry } from '../../../src/daemon/tasks/entry.ts'
import { TaskQueue } from '../../../src/daemon/tasks/task-queue.ts'
import { type TaskRecord, TaskStore } from '../../../src/daemon/tasks/task-store.ts'
import { TaskTable } from '../../../src/daemon/tasks/task-table.ts'

function entryOf(i: number, more: Partial<TaskRecord> = {}): Entry {
  const root = i.toString(16).padStart(64, '0')
  const record = { id: `${i}`, kind: 'get', root, state: 'queued', order: i, priority: 0, length: i, bytesDone: 0, ...more }
  return { record, readers: 0, transfer: undefined, heldBack: undefined } as unknown as Entry
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
      const entries: Entry[] = []
      for (const { what, pick, state, value } of changes) {
        const entry = entries[pick % Math.max(1, entries.length)]
        if (what === 'add') {
          const added = entryOf(table.nextOrder(), { state })
          entries.push(added)
          table.add(added)
        } else if (entry !== undefined) {
          if (what === 'delete') {
            entries.splice(entries.indexOf(entry), 1)
            table.delete(entry)
          }
          if (what === 'state') entry.record.state = state
          if (what === 'priority') entry.record.priority = value
          if (what === 'bytes') entry.record.bytesDone = Math.abs(value)
          const other = entries[(pick >> 3) % Math.max(1, entries.length)]
          if (what === 'swap' && other !== undefined) {
            const { order } = entry.record
            entry.record.order = other.record.order
            other.record.order = order
            table.note(entry)
            table.note(other)
          }
          table.note(entry)
        }
        const queue = entries.filter(({ record }) => record.state === 'queued').sort(byTurn)
        assert.deepEqual(
          table.queue.map(({ record }) => record.id),
          queue.map(({ record }) => record.id)
        )
        for (const [index, queued] of queue.entries()) assert.equal(table.position(queued), index + 1)
        assert.equal(
          table.usedBytes,
          entries.reduce((sum, { record }) => sum + claimedBytes(record), 0)
        )
      }
    })
  )
})

test('a task added to ten thousand costs about what it costs among a hundred', async () => {
  const store = new TaskStore(':memory:')
  const queue = new TaskQueue({
    node: {} as never,
    store,
    parseManifest: () => assert.fail(),
    hashOf: () => assert.fail(),
    completeDir: '/nowhere',
    incompleteDir: undefined,
    // None begins, all wait.
    limits: () => ({ maxActiveDownloads: 0 }) as never,
    quotaBytes: () => 1_000_000,
    stallMs: 1000,
    log: { info: () => {}, warn: () => {} }
  })
  const costs: number[] = []
  let added = 0
  const addBatch = async (): Promise<void> => {
    const before = process.cpuUsage()
    for (let i = 0; i < 100; i++, added++) await queue.add({ source: { link: `swarm:${added.toString(16).padStart(64, '0')}` } })
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
})
