import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NeighbourMarks } from '../../src/engine/marks.ts'
import { DRAIN } from '../../src/engine/tunables.ts'
import { UploadAccount } from '../../src/engine/upload/account.ts'
import { recordDrained, windowOf } from '../../src/engine/upload/drain.ts'
import { addNeighbour, flightTo, stateOf } from './parts.ts'
import { PIECE_BYTES } from './world.ts'

const RTT_MS = 8
const receiver = addNeighbour(stateOf(8, 'all'), 'receiver')

/** An account whose neighbour acknowledged pieces one after another, each so many ms after it began. */
function drained(eachMs: readonly number[]): UploadAccount {
  const account = new UploadAccount(0, new NeighbourMarks())
  let nowMs = 0
  for (const ms of eachMs) {
    const { drainedBytes, drainedMs } = account
    const flight = flightTo(receiver, 0, { startMs: nowMs, drainedBytes, drainedMs })
    nowMs += ms
    recordDrained(account, flight, 0, RTT_MS, nowMs)
  }
  return account
}

const windowAfter = (eachMs: readonly number[], isSlow: boolean): number => {
  const account = drained(eachMs)
  account.isSlow = isSlow
  return windowOf(account, RTT_MS, PIECE_BYTES)
}

describe('the window of one neighbour', () => {
  it('is a trial flight until it has acknowledged one', () => {
    assert.equal(windowAfter([], false), DRAIN.TRIAL_PIECES)
    assert.equal(windowAfter([], true), DRAIN.TRIAL_PIECES)
  })

  it('is bounded by the uplink alone where the neighbour is not slow', () => {
    assert.equal(windowAfter([20], false), Number.POSITIVE_INFINITY)
  })

  it('of a slow one is what it drains in the time of the pipe, and one more', () => {
    // The pipe is at least 40 ms long.
    assert.equal(windowAfter([20], true), 3)
    assert.equal(windowAfter([10], true), 5)
    assert.equal(windowAfter([5000], true), 1)
  })

  it('widens at once with a quick acknowledgement and narrows over several late ones', () => {
    assert.equal(windowAfter([1000, 10], true), 5)
    const afterOne = windowAfter([10, 1000], true)
    const afterMany = windowAfter([10, ...Array.from({ length: 40 }, () => 1000)], true)
    assert.equal(afterOne, 4)
    assert.equal(afterMany, 1)
  })
})

describe('an acknowledgement', () => {
  const isInTime = (afterMs: number, ahead: number): boolean =>
    recordDrained(new UploadAccount(0, new NeighbourMarks()), flightTo(receiver, 0, { ahead }), 100, RTT_MS, afterMs)

  it('is in time when our own uplink explains when it came', () => {
    assert.ok(isInTime(210, 0))
    assert.equal(isInTime(211, 0), false)
  })

  it('may come later behind pieces that were on their way before it', () => {
    assert.ok(isInTime(510, 2))
    assert.equal(isInTime(511, 2), false)
  })
})
