import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import { needOf, type PiecePicker, piecePicker } from '../../src/engine/strategies.ts'
import { CHOICE } from '../../src/engine/tunables.ts'
import { Random } from '../../src/util/random.ts'
import { addNeighbour, stateOf } from './parts.ts'

/** A picker where each listed piece is held by one neighbour, and 0 by two. */
function pickerOf(
  which: 'own' | 'missing',
  pieceOrder: 'rarest' | 'random' | 'sequential',
  held: readonly number[]
): PiecePicker {
  const state = stateOf(8, which === 'own' ? 'all' : [])
  addNeighbour(state, 'a', { have: held })
  addNeighbour(state, 'b', { have: [0] })
  return piecePicker(which, { pieceOrder }, state.table, new Random('test'))
}

describe('the choice of a piece', () => {
  it('falls on one that the fewest neighbours hold', () => {
    const pick = pickerOf('own', 'rarest', [0, 1, 2, 3, 4])
    assert.ok([5, 6, 7].includes(pick(() => true)))
    assert.ok([1, 2, 3, 4].includes(pick(piece => piece < 5)))
    assert.equal(
      pick(piece => piece === 0),
      0
    )
    assert.equal(
      pick(() => false),
      -1
    )
  })

  it('counts what neighbours expect as spread', () => {
    const state = stateOf(3, 'all')
    const { slot } = addNeighbour(state, 'a', { have: [0] })
    state.table.recordExpects(slot, 1)
    assert.equal(
      piecePicker('own', { pieceOrder: 'rarest' }, state.table, new Random('test'))(() => true),
      2
    )
  })

  it('falls on no missing piece that nobody holds', () => {
    const pick = pickerOf('missing', 'rarest', [0, 3])
    assert.equal(
      pick(() => true),
      3
    )
    assert.equal(
      pick(piece => piece === 5),
      -1
    )
  })

  it('is made at random among equally rare ones', () => {
    const pick = pickerOf('own', 'rarest', [])
    const picked = new Set(Array.from({ length: 100 }, () => pick(piece => piece > 0)))
    assert.equal(picked.size, 7)
  })

  it('looks at a bounded number of pieces', () => {
    const state = stateOf(2 * CHOICE.MAX_LOOKS, 'all')
    let looks = 0
    const piece = piecePicker('own', { pieceOrder: 'rarest' }, state.table, new Random('test'))(() => ++looks < 0)
    assert.deepEqual([piece, looks], [-1, CHOICE.MAX_LOOKS])
  })

  it('may be the first in order, for comparison', () => {
    assert.equal(
      pickerOf('own', 'sequential', [0, 1])(piece => piece > 1),
      2
    )
  })
})

describe('the neediest neighbour', () => {
  const NOW_MS = 4000

  /** Names of neighbours in the order in which they are served. */
  function orderOf(neighbours: readonly [key: string, pieces: number, joinedMs: number][]): string[] {
    const state = stateOf(64, 'all')
    const added = neighbours.map(([key, pieces, joinedMs]) =>
      addNeighbour(state, key, { have: Array.from({ length: pieces }, (_, piece) => piece), joinedMs })
    )
    const need = needOf({ peerOrder: 'neediest' }, state.table)
    const oldestMs = Math.min(...added.map(({ joinedMs }) => joinedMs))
    const needs = new Map<Neighbour, number>(added.map(neighbour => [neighbour, need(neighbour, oldestMs, NOW_MS)]))
    return added.sort((a, b) => (needs.get(a) as number) - (needs.get(b) as number)).map(({ key }) => key)
  }

  it('is one that has hardly any piece, however late it came', () => {
    assert.deepEqual(
      orderOf([
        ['early', CHOICE.STARTING_PIECES, 0],
        ['late', CHOICE.STARTING_PIECES - 1, NOW_MS]
      ]),
      ['late', 'early']
    )
    assert.deepEqual(
      orderOf([
        ['one', 1, 0],
        ['none', 0, NOW_MS]
      ]),
      ['none', 'one']
    )
  })

  it('is then one that is here longest, in coarse steps', () => {
    assert.deepEqual(
      orderOf([
        ['late', 10, 3000],
        ['early', 60, 0]
      ]),
      ['early', 'late']
    )
    assert.deepEqual(
      orderOf([
        ['early', 60, 0],
        ['hardly later', 10, 900]
      ]),
      ['hardly later', 'early']
    )
  })

  it('is then one that has and expects the fewest pieces', () => {
    assert.deepEqual(
      orderOf([
        ['many', 40, 0],
        ['few', 20, 0]
      ]),
      ['few', 'many']
    )
  })
})

describe('tit-for-tat', () => {
  it('serves first who gave us most of late', () => {
    const state = stateOf(8, 'all')
    const [giver, other] = [addNeighbour(state, 'giver'), addNeighbour(state, 'other')]
    giver.download.recentBytes = 100
    const need = needOf({ peerOrder: 'tit-for-tat' }, state.table)
    assert.ok(need(giver, 0, 0) < need(other, 0, 0))
  })
})
