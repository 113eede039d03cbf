import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkOriginsChange, planAskAgain, planUpdate } from '../../../src/daemon/tasks/change.ts'
import { type NewTask, newRecord, type TaskRecord } from '../../../src/daemon/tasks/record.ts'
import { RequestRefusedError } from '../../../src/errors.ts'

const LINK = { source: { link: 'swarm:' } }

function record(order: number, request: Partial<NewTask> = {}): TaskRecord {
  const facts = { kind: 'get', root: `${order}`, name: `${order}`, link: undefined, length: 1, state: 'queued', order } as const
  return newRecord({ ...LINK, ...request }, facts)
}

test('a change of limits keeps those that it does not name', () => {
  const task = { record: record(1, { limits: { uploadBytesPerSecond: 5 } }) }
  const [[changed, { limits }] = assert.fail()] = planUpdate(task, { limits: { downloadBytesPerSecond: 7 } }, [task])
  assert.equal(changed, task)
  assert.deepEqual(limits, { uploadBytesPerSecond: 5, downloadBytesPerSecond: 7 })
})

test('a place in the queue changes the orders of its priority only, that of the task together with all else', () => {
  const tasks = [record(1, { priority: 9 }), record(2), record(3)].map(each => ({ record: each }))
  const [other, , last] = tasks
  const changes = new Map(planUpdate(last as (typeof tasks)[0], { position: 1, pinned: true }, tasks))
  assert.equal(changes.size, 2)
  assert.ok(!changes.has(other as (typeof tasks)[0]))
  const { order, pinned } = changes.get(last as (typeof tasks)[0]) ?? {}
  assert.deepEqual({ order, pinned }, { order: 2, pinned: true })
})

test('a content asked for again gets the new peers after the former, a hundred at most, and new origins for the former', () => {
  const former = record(1, { peers: Array.from({ length: 99 }, (_, i) => `peer ${i}`), origins: ['https://a.example/'] })
  const { peers = [], origins } = planAskAgain(former, { ...LINK, peers: ['peer 98', 'x', 'y'] })
  assert.equal(peers.length, 100)
  assert.deepEqual(peers.slice(-2), ['x', 'y'])
  assert.equal(peers[0], 'peer 1')
  assert.equal(origins, undefined)
  assert.deepEqual(planAskAgain(former, { ...LINK, origins: ['https://b.example/'] }).origins, ['https://b.example/'])
})

test('a content asked for again with another output is a conflict that names the output there is', () => {
  const former = record(1, { output: '/here' })
  assert.ok(planAskAgain(former, { ...LINK, output: '/here' }))
  assert.throws(
    () => planAskAgain(former, { ...LINK, output: '/there' }),
    (err: RequestRefusedError) => err.code === 'conflict' && /output at \/here/.test(err.message)
  )
})

test('origins of a task that may ask private addresses are changed by its owner alone', () => {
  assert.throws(() => checkOriginsChange(record(1, { privateOrigins: true }), false), RequestRefusedError)
  checkOriginsChange(record(1, { privateOrigins: true }), true)
  checkOriginsChange(record(1), false)
})
