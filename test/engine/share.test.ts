import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import { SHARE } from '../../src/engine/tunables.ts'
import { Share } from '../../src/engine/upload/share.ts'
import { addNeighbour, stateOf } from './parts.ts'

interface Setting {
  share: Share
  neighbours: Neighbour[]
}

/** So many neighbours that lack everything; the first of them is light. */
function settingOf(count: number, isFirstLight = false): Setting {
  const state = stateOf(8, 'all')
  const share = new Share(state)
  const neighbours = Array.from({ length: count }, (_, index) => addNeighbour(state, `n${index}`))
  for (const { upload } of neighbours) {
    upload.drainRate = 1
    share.admit(upload)
  }
  if (isFirstLight) state.marks.light.add(0)
  return { share, neighbours }
}

/** Pieces that it may take in a row. */
function takenInRow(share: Share, neighbour: Neighbour, most: number): number {
  let taken = 0
  while (taken < most && share.maySend(neighbour.upload)) {
    share.charge(neighbour, false)
    taken++
  }
  return taken
}

describe('the share of the uplink', () => {
  it('of a light neighbour is small while others want something, and not nothing', () => {
    const { share, neighbours } = settingOf(3, true)
    const [light, ...others] = neighbours as [Neighbour, ...Neighbour[]]
    let given = 0
    for (let i = 0; i < 2000; i++) {
      const isLightsTurn = share.mayOffer(light)
      if (isLightsTurn) given++
      share.charge(isLightsTurn ? light : (others[i % 2] as Neighbour), false)
    }
    const fair = (2000 * SHARE.LIGHT_WEIGHT) / (2 + SHARE.LIGHT_WEIGHT)
    assert.ok(given > 0.8 * fair && given < 1.2 * fair, `${given} pieces instead of ${fair}`)
  })

  it('counts what a light neighbour was offered and accepted as taken', () => {
    const { share, neighbours } = settingOf(2, true)
    const [light] = neighbours as [Neighbour]
    assert.ok(share.mayOffer(light))
    light.upload.offered++
    assert.equal(share.mayOffer(light), false)
  })

  it('of all light newcomers together is that of one neighbour, whatever their number', () => {
    const { share, neighbours } = settingOf(4)
    const [first, ...others] = neighbours as [Neighbour, ...Neighbour[]]
    let given = 0
    for (let i = 0; i < 1000; i++) {
      // Under a new name each time.
      first.upload.tag = 0
      first.upload.drainRate = 0
      const isNewcomersTurn = share.mayOffer(first)
      if (isNewcomersTurn) given++
      share.charge(isNewcomersTurn ? first : (others[i % 3] as Neighbour), false)
    }
    assert.ok(given > 200 && given < 300, `${given} of 1000 pieces`)
  })

  it('makes a greedy asker wait until the others have caught up', () => {
    const { share, neighbours } = settingOf(4)
    const [greedy, ...others] = neighbours as [Neighbour, ...Neighbour[]]
    assert.ok(takenInRow(share, greedy, 100) <= 2 * SHARE.SLACK_PIECES)
    let waited = 0
    while (!share.maySend(greedy.upload)) share.charge(others[waited++ % 3] as Neighbour, false)
    assert.ok(waited >= 1 && waited <= 4, `waited for ${waited} pieces`)
  })

  it('of all others is its when they take nothing, and costs it nothing afterwards', () => {
    const state = stateOf(8, 'all')
    const share = new Share(state)
    const user = addNeighbour(state, 'user')
    addNeighbour(state, 'complete', { have: 'all' })
    share.admit(user.upload)
    assert.equal(takenInRow(share, user, 1000), 1000)
    const late = addNeighbour(state, 'late')
    share.admit(late.upload)
    assert.ok(share.maySend(user.upload) && share.maySend(late.upload))
  })

  it('is not saved up by a neighbour that takes nothing', () => {
    const { share, neighbours } = settingOf(4)
    const [idle, ...others] = neighbours as [Neighbour, ...Neighbour[]]
    for (let i = 0; i < 3000; i++) share.charge(others[i % 3] as Neighbour, false)
    const taken = takenInRow(share, idle, 1000)
    assert.ok(taken <= 4 * SHARE.SLACK_PIECES, `${taken} in a row`)
  })

  it('lets urgent pieces go first wherever their reader stands, up to a part of what is sent', () => {
    const { share, neighbours } = settingOf(4)
    const [reader, ...others] = neighbours as [Neighbour, ...Neighbour[]]
    let urgent = 0
    for (let i = 0; i < 1000; i++) {
      const isUrgent = share.maySendUrgentFirst
      if (isUrgent) urgent++
      share.charge(isUrgent ? reader : (others[i % 3] as Neighbour), isUrgent)
    }
    // A quarter would be its share.
    assert.ok(urgent > 350 && urgent < 450, `${urgent} of 1000 were urgent`)
  })
})
