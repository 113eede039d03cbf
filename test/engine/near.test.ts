import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FARTHEST } from '../../src/engine/discovery/locality.ts'
import { NearClaims } from '../../src/engine/download/near.ts'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import type { SwarmState } from '../../src/engine/state.ts'
import { NEAR } from '../../src/engine/tunables.ts'
import { addNeighbour, stateOf, takeSent } from './parts.ts'

interface Setting {
  state: SwarmState
  claims: NearClaims
  far: Neighbour
  near: Neighbour
}

/** One neighbour in our rack that holds `nearHas`, one elsewhere that holds everything. */
function settingOf(nearHas: readonly number[] | 'all' = []): Setting {
  const state = stateOf(256, [])
  state.nearestDistance = 1
  const far = addNeighbour(state, 'far', { have: 'all', distance: FARTHEST })
  const near = addNeighbour(state, 'near', { have: nearHas, distance: 1 })
  return { state, claims: new NearClaims(state), far, near }
}

/** How many offers from afar are turned down for somebody near, of so many. */
function turnedDown({ claims, far }: Setting, offers: number, nowMs: number): number {
  let count = 0
  for (let piece = 0; piece < offers; piece++) if (claims.comesFromNear(far, piece, 10, nowMs)) count++
  return count
}

describe('a piece that somebody near has or fetches', () => {
  it('is not taken from afar', () => {
    const { claims, far, near } = settingOf([7])
    assert.equal(claims.comesFromNear(far, 7, 10, 0), true)
    assert.equal(claims.comesFromNear(far, 8, 10, 0), false)
    claims.record(near, [8], 0)
    assert.equal(claims.comesFromNear(far, 8, 10, NEAR.TAKEN_MS - 1), true)
    assert.equal(claims.comesFromNear(far, 8, 10, NEAR.TAKEN_MS), false)
  })

  it('is taken from somebody as near', () => {
    const setting = settingOf([7])
    const other = addNeighbour(setting.state, 'other', { have: [7], distance: 1 })
    assert.equal(setting.claims.comesFromNear(other, 7, 10, 0), false)
  })

  it('is held up a bounded number of times by one that claims all and delivers nothing', () => {
    assert.equal(turnedDown(settingOf('all'), 256, 10_000), NEAR.TRIAL_CREDIT)
    const setting = settingOf()
    setting.claims.record(
      setting.near,
      Array.from({ length: 256 }, (_, piece) => piece),
      10_000
    )
    assert.equal(turnedDown(setting, 256, 10_000), NEAR.TRIAL_CREDIT)
  })

  it('is waited for as long as the near one delivers', () => {
    const setting = settingOf('all')
    setting.near.download.lastPieceMs = 9000
    assert.equal(turnedDown(setting, 256, 9000 + NEAR.RECENT_MS), 256)
    assert.equal(turnedDown(setting, 256, 9001 + NEAR.RECENT_MS), NEAR.TRIAL_CREDIT)
  })

  it('is not touched by a stranger from afar that says it fetches it', () => {
    const { claims, far, near, state } = settingOf()
    const stranger = addNeighbour(state, 'stranger', { distance: FARTHEST })
    claims.record(stranger, [7], 0)
    assert.equal(claims.comesFromNear(far, 7, 10, 0), false)
    claims.record(near, [8], 0)
    claims.record(stranger, [8], 0)
    assert.equal(claims.comesFromNear(far, 8, 10, 0), true)
  })

  it('is asked for by ourselves once nothing comes any more, and once', () => {
    const setting = settingOf([1, 2, 3])
    turnedDown(setting, 4, 0)
    setting.claims.forget(2)
    assert.deepEqual(setting.claims.takeDeferred(NEAR.DEFER_MS - 1, 10), [])
    assert.deepEqual(setting.claims.takeDeferred(NEAR.DEFER_FACTOR * 1000 - 1, 1000), [])
    assert.deepEqual(setting.claims.takeDeferred(NEAR.DEFER_MS, 10), [1, 3])
    assert.deepEqual(setting.claims.takeDeferred(NEAR.DEFER_MS, 10), [])
  })

  it('is told to those nearer than its sender, and to nobody where its sender is near', () => {
    const { state, claims, far, near } = settingOf()
    claims.tell(far, [5])
    assert.deepEqual(takeSent(state), [{ peer: 'near', message: { type: 'taking', pieces: [5] } }])
    claims.tell(near, [6])
    assert.deepEqual(takeSent(state), [])
  })
})
