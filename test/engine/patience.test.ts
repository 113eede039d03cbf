import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DownloadAccount } from '../../src/engine/download/account.ts'
import { endgameLateMs, lateMs, type Pace, starvedMs, timeoutMs, trialMs } from '../../src/engine/download/patience.ts'
import { NeighbourMarks } from '../../src/engine/marks.ts'
import { DEFAULT_ENGINE_OPTIONS } from '../../src/engine/options.ts'

function accountOf(serviceMs: number, timeoutsInRow = 0): DownloadAccount {
  const account = new DownloadAccount(0, new NeighbourMarks())
  account.serviceMs = serviceMs
  account.timeoutsInRow = timeoutsInRow
  return account
}

const paceOf = (typicalMs: number, firstPieceMs = 256, drainMs = 0): Pace => ({ typicalMs, firstPieceMs, drainMs })
const { firstRequestTimeoutMs, maxRequestTimeoutMs, starvedMs: usualStarvedMs } = DEFAULT_ENGINE_OPTIONS

describe('patience', () => {
  it('with a stranger is short, and longer over a long path or where all pieces take long', () => {
    assert.equal(trialMs(undefined, paceOf(0)), 100)
    assert.equal(trialMs(50, paceOf(0)), 300)
    assert.equal(trialMs(50, paceOf(1000)), 3000)
  })

  it('with a piece grows with what its sender and all others usually take', () => {
    assert.equal(lateMs(accountOf(100), paceOf(100)), 2000)
    assert.equal(lateMs(accountOf(1000), paceOf(100)), 3000)
    assert.equal(lateMs(accountOf(100), paceOf(1000)), 3000)
  })

  it('with a sender that delivered nothing covers a piece on the slowest link', () => {
    assert.equal(lateMs(accountOf(0), paceOf(0, 256)), 5000)
    assert.equal(lateMs(accountOf(0), paceOf(0, 4000)), 16_000)
    assert.equal(lateMs(accountOf(0), paceOf(2000)), 12_000)
  })

  it('is shorter when everything missing is on its way', () => {
    for (const typicalMs of [0, 100, 5000])
      assert.ok(endgameLateMs(paceOf(typicalMs)) < lateMs(accountOf(100), paceOf(typicalMs)))
  })

  it('covers what our own downlink needs for all that is on its way', () => {
    const pace = paceOf(1000, 256, 60_000)
    assert.ok(endgameLateMs(pace) >= 60_000)
    for (const serviceMs of [0, 1000]) {
      assert.ok(lateMs(accountOf(serviceMs), pace) >= 60_000)
      assert.ok(timeoutMs(accountOf(serviceMs), pace, DEFAULT_ENGINE_OPTIONS) >= 120_000)
    }
  })

  it('with a known sender ends after some times what it usually takes, within the bound', () => {
    assert.equal(timeoutMs(accountOf(10), paceOf(10), DEFAULT_ENGINE_OPTIONS), 3000)
    assert.equal(timeoutMs(accountOf(1000), paceOf(10), DEFAULT_ENGINE_OPTIONS), 6000)
    assert.equal(timeoutMs(accountOf(1e6), paceOf(10), DEFAULT_ENGINE_OPTIONS), maxRequestTimeoutMs)
  })

  it('doubles with each time-out while nobody delivered anything, and not once somebody did', () => {
    const afterTimeouts = (timeouts: number, typicalMs: number): number =>
      timeoutMs(accountOf(0, timeouts), paceOf(typicalMs), DEFAULT_ENGINE_OPTIONS)
    assert.deepEqual(
      [0, 1, 2].map(timeouts => afterTimeouts(timeouts, 0)),
      [1, 2, 4].map(times => times * firstRequestTimeoutMs)
    )
    assert.equal(afterTimeouts(30, 0), maxRequestTimeoutMs)
    assert.deepEqual(
      [0, 1, 2].map(timeouts => afterTimeouts(timeouts, 10)),
      Array(3).fill(firstRequestTimeoutMs)
    )
  })

  it('with offers is longer before the first piece, the more so the more neighbours wait for theirs', () => {
    assert.equal(starvedMs(30, paceOf(100), DEFAULT_ENGINE_OPTIONS), usualStarvedMs)
    assert.equal(starvedMs(30, paceOf(2000), DEFAULT_ENGINE_OPTIONS), 8000)
    assert.equal(starvedMs(1, paceOf(0), DEFAULT_ENGINE_OPTIONS), 2 * usualStarvedMs)
    assert.equal(starvedMs(30, paceOf(0, 4000), DEFAULT_ENGINE_OPTIONS), 3 * 4000 * 5)
  })
})
