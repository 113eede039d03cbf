import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TaskLedger } from '../../../src/daemon/tasks/ledger.ts'
import { newRecord, type TaskRecord } from '../../../src/daemon/tasks/record.ts'
import { TaskStore } from '../../../src/daemon/tasks/task-store.ts'
import { NotFoundError, type RequestRefusedError, StoreError } from '../../../src/errors.ts'

/** A real store that can be full. */
class SmallStore extends TaskStore {
  isFull = false

  constructor() {
    super(':memory:')
  }

  override save(...records: readonly TaskRecord[]): void {
    if (this.isFull) throw new StoreError('cannot write', '/state', Object.assign(new Error('full'), { code: 'ENOSPC' }))
    super.save(...records)
  }
}

function open() {
  const store = new SmallStore()
  const warnings: string[] = []
  const ledger = new TaskLedger({ store, log: { warn: (_facts, message) => warnings.push(message) } })
  const record = newRecord(
    { source: { link: 'swarm:' } },
    {
      kind: 'get',
      root: 'a'.repeat(64),
      name: 'a',
      link: undefined,
      length: 10,
      state: 'queued',
      order: ledger.table.nextOrder()
    }
  )
  const task = ledger.add(record)
  const stored = (): TaskRecord => store.load()[0] as TaskRecord
  return { store, ledger, task, stored, warnings }
}

test('a request is stored before it holds; with a full state folder it is refused and nothing changes', () => {
  const { store, ledger, task, stored } = open()
  ledger.recordRequest(task, 'pause')
  assert.equal(stored().state, 'paused')
  store.isFull = true
  assert.throws(() => ledger.recordRequest(task, 'cancel'), StoreError)
  assert.throws(() => ledger.recordChanges([[task, { priority: 7 }]]), StoreError)
  assert.equal(task.record.state, 'paused')
  assert.equal(task.record.priority, 0)
  ledger.close()
})

test('a request that the state does not allow is a conflict that names the state', () => {
  const { ledger, task } = open()
  ledger.recordFact(task, 'find')
  assert.throws(
    () => ledger.recordRequest(task, 'pause'),
    (err: RequestRefusedError) => err.code === 'conflict' && /complete cannot be paused/.test(err.message)
  )
  ledger.close()
})

test('a fact holds at once, and is stored when the state folder takes it again', () => {
  const { store, ledger, task, stored, warnings } = open()
  store.isFull = true
  assert.ok(ledger.recordFact(task, 'start'))
  assert.ok(ledger.recordFact(task, 'fail', new NotFoundError('gone')))
  assert.equal(task.record.state, 'failed')
  assert.equal(stored().state, 'queued')
  assert.equal(warnings.length, 1, 'one warning for all that waits')
  store.isFull = false
  ledger.save()
  assert.equal(stored().state, 'failed')
  assert.equal(stored().error?.code, 'not_found')
  ledger.close()
})

test('a fact that comes too late, or for a task that is gone, changes nothing', () => {
  const { ledger, task, stored } = open()
  ledger.recordRequest(task, 'cancel')
  assert.ok(!ledger.recordFact(task, 'fail', new NotFoundError('late')))
  assert.equal(stored().state, 'cancelled')
  assert.equal(task.record.error, undefined)
  ledger.forget(task)
  assert.ok(!ledger.recordFact(task, 'find'))
  ledger.close()
})

test('totals keep what deleted tasks moved', () => {
  const { ledger, task } = open()
  Object.assign(task.record, { bytesDownloaded: 5, bytesUploaded: 6, bytesWasted: 7 })
  ledger.forget(task)
  assert.deepEqual(ledger.totals(), { downloaded: 5, uploaded: 6, wasted: 7 })
  ledger.close()
})
