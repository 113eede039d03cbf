import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { byListing, byTurn, planMove, planPlaces, planYield } from '../../../src/daemon/tasks/order.ts'

const turn = (name: string, order: number, priority = 0) => ({ name, record: { order, priority } })
const names = (turns: readonly { name: string }[]): string => turns.map(({ name }) => name).join('')

test('higher priority goes first, then the older', () => {
  assert.equal(names([turn('c', 1, -1), turn('b', 3), turn('a', 9, 1), turn('B', 2)].sort(byTurn)), 'aBbc')
})

test('with fewer places than active tasks those behind in turn give theirs back, and none is free', () => {
  const active = [turn('c', 3), turn('a', 1), turn('b', 2)]
  const { sendBack, free } = planPlaces(active, 1)
  assert.equal(names(sendBack), 'bc')
  assert.equal(free, 0)
  assert.deepEqual(planPlaces(active, 5), { sendBack: [], free: 2 })
})

test('a moved task comes to its place among those of its priority, and the others keep their order', () => {
  const queue = [turn('x', 1, 5), turn('a', 2), turn('b', 4), turn('c', 7)]
  const moved = planMove(queue, queue[3] as (typeof queue)[0], 1)
  assert.deepEqual(
    moved.map(({ task, order }) => [task.name, order]),
    [
      ['c', 2],
      ['a', 4],
      ['b', 7]
    ]
  )
})

test('a task that is moved while its priority changes is placed by its new priority', () => {
  // It still lies where its former priority put it.
  const late = turn('late', 9)
  const queue = [late, turn('a', 2), turn('b', 3)]
  const placed = planMove(queue, late, 1).map(({ task, order }) => ({ ...task, record: { ...task.record, order } }))
  assert.equal(names(placed.sort(byTurn)), 'lateab')
})

test('wherever a task is moved to, the orders given out are those that there were', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(1000), { minLength: 1, maxLength: 20 }),
      fc.nat(),
      fc.integer({ min: 1, max: 30 }),
      (orders, pick, position) => {
        const queue = orders.map(order => turn(`${order}`, order)).sort(byTurn)
        const task = queue[pick % queue.length] as (typeof queue)[0]
        const moved = planMove(queue, task, position)
        assert.deepEqual(
          moved.map(({ order }) => order),
          orders.toSorted((a, b) => a - b)
        )
        assert.equal(
          moved.findIndex(each => each.task === task),
          Math.min(position, queue.length) - 1
        )
      }
    )
  )
})

test('as many stalled downloads yield as others wait, and none that somebody reads', () => {
  const place = (name: string, lastMovedMs: number, readers = 0) => ({ ...turn(name, 1), lastMovedMs, readers })
  const active = [place('read', 0, 1), place('a', 0), place('moving', 950), place('b', 0)]
  const at = { nowMs: 1000, stallMs: 100 }
  assert.equal(names(planYield(active, { ...at, waiting: 5 })), 'ab')
  assert.equal(names(planYield(active, { ...at, waiting: 1 })), 'a')
  assert.equal(names(planYield(active, { ...at, waiting: 0 })), '')
})

test('listed are the active first, then the queue by place, then the rest with the newest first', () => {
  const listed = (name: string, state: string, order: number, position?: number) => ({ name, state, position, record: { order } })
  const all = [
    listed('old', 'complete', 1),
    listed('second', 'queued', 2, 2),
    listed('new', 'failed', 5),
    listed('first', 'queued', 4, 1),
    listed('active', 'active', 3)
  ]
  assert.deepEqual(
    all.sort(byListing).map(({ name }) => name),
    ['active', 'first', 'second', 'new', 'old']
  )
})
