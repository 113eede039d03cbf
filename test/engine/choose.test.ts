import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import type { SwarmState } from '../../src/engine/state.ts'
import { type Choice, Chooser } from '../../src/engine/upload/choose.ts'
import { SendLedger } from '../../src/engine/upload/send-ledger.ts'
import { Random } from '../../src/util/random.ts'
import { addNeighbour, stateOf } from './parts.ts'

interface Setting {
  state: SwarmState
  ledger: SendLedger
  chooser: Chooser
  add: (key: string, have: readonly number[], isEligible?: boolean) => Neighbour
  choose: (mayGrant?: (neighbour: Neighbour) => boolean) => Choice | undefined
}

function settingOf(): Setting {
  const state = stateOf(16, 'all')
  const ledger = new SendLedger(state)
  const chooser = new Chooser(state, ledger, new Random('test'))
  for (let word = 0; word < state.table.words; word++) chooser.eligible[word] = 0
  const add = (key: string, have: readonly number[], isEligible = true): Neighbour => {
    const neighbour = addNeighbour(state, key, { have })
    if (isEligible) chooser.eligible[0] = (chooser.eligible[0] as number) | (1 << neighbour.slot)
    return neighbour
  }
  return { state, ledger, chooser, add, choose: (mayGrant = () => true) => chooser.choose(mayGrant, 1000) }
}

const ALL_BUT_LAST = Array.from({ length: 15 }, (_, piece) => piece)

describe('a choice', () => {
  it('is the rarest piece that somebody eligible lacks, for the one of these with the fewest pieces', () => {
    const { add, choose } = settingOf()
    add('most', ALL_BUT_LAST)
    const needy = add('needy', ALL_BUT_LAST.slice(4))
    add('holder', [15], false)
    // Pieces 0 to 3 are held by one, 15 by one; the others by two.
    const choice = choose()
    assert.ok(choice !== undefined && [0, 1, 2, 3, 15].includes(choice.piece))
    assert.deepEqual([choice.neighbour, choice.isWish], [needy, false])
  })

  it('is none where no eligible neighbour lacks or does not expect a piece', () => {
    const { state, add, choose } = settingOf()
    const { slot } = add('one', ALL_BUT_LAST)
    add('not asked', [], false)
    assert.equal(choose()?.piece, 15)
    state.table.recordExpects(slot, 15)
    assert.equal(choose(), undefined)
  })

  it('passes over those that were excluded', () => {
    const { chooser, add, choose } = settingOf()
    const [first, second] = [add('first', []), add('second', [1, 2])]
    assert.equal(choose()?.neighbour, first)
    chooser.exclude(first.slot)
    assert.equal(choose()?.neighbour, second)
    chooser.exclude(second.slot)
    assert.equal(choose(), undefined)
  })

  it('is a wish where what is asked for is rarer than what would be offered, if it may be granted now', () => {
    const { ledger, add, choose } = settingOf()
    add('eligible', ALL_BUT_LAST.slice(1))
    add('others', [0, 15], false)
    const wisher = add('wisher', [0, 15], false)
    ledger.recordWish(wisher, 1, 0)
    // Eligible lacks pieces 0 and 15, held by two; the wish is for one held by one.
    assert.deepEqual(choose(), { neighbour: wisher, piece: 1, isWish: true })
    assert.equal(choose(() => false)?.isWish, false)
  })

  it('is no wish where what would be offered is rarer', () => {
    const { ledger, add, choose } = settingOf()
    const eligible = add('eligible', ALL_BUT_LAST)
    const wisher = add('wisher', [3], false)
    ledger.recordWish(wisher, 1, 0)
    assert.deepEqual(choose(), { neighbour: eligible, piece: 15, isWish: false })
  })
})
