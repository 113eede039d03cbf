import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextState, TASK_STATES, type TaskFact, type TaskRequest, type TaskState } from '../../../src/daemon/tasks/transitions.ts'

/** For each state in the order of TASK_STATES: what it becomes, or - where that cannot happen. */
const EXPECTED: Readonly<Record<TaskRequest | TaskFact, string>> = {
  //          queued    active    paused    complete  failed    cancelled evicted
  pause: '    paused    paused    paused    -         -         -         -',
  resume: '   queued    active    queued    complete  queued    queued    queued',
  reseed: '   -         -         -         complete  complete  complete  -',
  cancel: '   cancelled cancelled cancelled -         cancelled cancelled -',
  move: '     queued    -         -         -         -         -         -',
  start: '    active    -         -         -         -         -         -',
  sendBack: ' -         queued    -         -         -         -         -',
  finish: '   complete  complete  complete  -         -         -         -',
  find: '     complete  complete  complete  complete  complete  complete  complete',
  fail: '     failed    failed    failed    failed    -         -         -',
  evict: '    -         -         -         evicted   evicted   -         -',
  stick: '    failed    failed    failed    failed    failed    failed    failed'
}

for (const [event, row] of Object.entries(EXPECTED)) {
  test(`${event} does to a task in each state what the table says, and nothing where it is forbidden`, () => {
    const cells = row.trim().split(/\s+/)
    assert.equal(cells.length, TASK_STATES.length)
    for (const [index, state] of TASK_STATES.entries()) {
      const expected = cells[index] === '-' ? undefined : cells[index]
      assert.equal(nextState(state, event as TaskRequest), expected, `${state} + ${event}`)
    }
  })
}

test('no state is a dead end: from each of them a task can become complete', () => {
  const requests: TaskRequest[] = ['pause', 'resume', 'cancel']
  const facts: TaskFact[] = ['start', 'finish']
  for (const from of TASK_STATES) {
    const reached = new Set<TaskState>([from])
    for (const state of reached) {
      for (const event of [...requests, ...facts]) {
        const next = nextState(state, event)
        if (next !== undefined) reached.add(next)
      }
    }
    assert.ok(reached.has('complete'), `${from} never becomes complete`)
  }
})
