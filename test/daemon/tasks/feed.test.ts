import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Feed } from '../../../src/daemon/tasks/feed.ts'
import type { Task, TaskStatus } from '../../../src/daemon/tasks/task.ts'

function open(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  // The feed reads the clock only to compare two moments.
  let nowMs = 0
  t.mock.method(performance, 'now', () => nowMs)
  const feed = new Feed(task => ({ id: task.record.id }) as TaskStatus)
  const lines: string[] = []
  const unwatch = feed.watch({
    changed: ({ id }) => lines.push(`changed ${id}`),
    removed: id => lines.push(`removed ${id}`),
    hashing: ({ path, bytesDone }) => lines.push(`hashing ${path} ${bytesDone}`),
    hashed: path => lines.push(`hashed ${path}`)
  })
  const pass = (ms: number): string[] => {
    nowMs += ms
    t.mock.timers.tick(ms)
    return lines.splice(0)
  }
  const task = (id: string) => ({ record: { id } }) as Task
  return { feed, pass, task, unwatch }
}

test('progress of a task is reported at most four times a second, all of it in one', t => {
  const { feed, pass, task } = open(t)
  const a = task('a')
  for (let i = 0; i < 10; i++) feed.reportProgress(a)
  assert.deepEqual(pass(249), [])
  assert.deepEqual(pass(1), ['changed a'])
  assert.deepEqual(pass(1000), [])
})

test('another state is reported within 5 ms, also when progress was about to be', t => {
  const { feed, pass, task } = open(t)
  const a = task('a')
  feed.reportProgress(a)
  feed.reportState(a)
  assert.deepEqual(pass(5), ['changed a'])
  assert.deepEqual(pass(1000), [])
})

test('a task that is gone is reported at once, and no change of it after that', t => {
  const { feed, pass, task } = open(t)
  const a = task('a')
  feed.reportState(a)
  feed.reportRemoved(a)
  assert.deepEqual(pass(1000), ['removed a'])
})

test('the end of hashing is reported after the task that came of it', async t => {
  const { feed, pass, task } = open(t)
  await feed.hashing.during('/file', async onHashed => {
    onHashed(1, 2)
    onHashed(2, 2)
  })
  feed.reportState(task('seed'))
  assert.deepEqual(pass(250), ['hashing /file 1', 'changed seed', 'hashed /file'])
})

test('nobody hears anything after leaving, or after the feed has stopped', t => {
  const { feed, pass, task, unwatch } = open(t)
  unwatch()
  feed.reportState(task('a'))
  assert.deepEqual(pass(1000), [])
  feed.stop()
  feed.reportState(task('a'))
  assert.deepEqual(pass(1000), [])
})
