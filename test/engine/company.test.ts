import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Company } from '../../src/engine/origin/company.ts'
import { ORIGIN } from '../../src/engine/tunables.ts'
import { addNeighbour, stateOf } from './parts.ts'

const settingOf = (hasUntried = false) => {
  const state = stateOf(64, [])
  return { state, company: new Company(state, { hasUntried }) }
}

describe('a peer with an origin', () => {
  it('is alone once a search ended and for a while no neighbour came', () => {
    const { company } = settingOf()
    assert.equal(company.isAlone(60_000), false)
    company.handleSearched(false, 1000)
    assert.equal(company.isAlone(1000), true)
    company.handleLonely(5000)
    assert.equal(company.isAlone(5000 + ORIGIN.ALONE_MS - 1), false)
    assert.equal(company.isAlone(5000 + ORIGIN.ALONE_MS), true)
  })

  it('is not alone with a neighbour, nor soon with peers that have not failed to answer', () => {
    const { state, company } = settingOf(true)
    company.handleOpened(0)
    company.handleSearched(true, 0)
    assert.equal(company.isAlone(ORIGIN.DESERTED_MS - 1), false)
    assert.equal(company.isAlone(ORIGIN.DESERTED_MS), true)
    addNeighbour(state, 'a')
    assert.equal(company.isAlone(ORIGIN.DESERTED_MS), false)
  })

  it('may take ever more while it is not sure that it is alone, and all once it is', () => {
    const { state, company } = settingOf()
    company.handleOpened(0)
    company.handleSearched(false, 0)
    const allowances = [0, 500, 900].map(nowMs => company.allowance(0, nowMs))
    assert.deepEqual(
      allowances,
      [...allowances].sort((a, b) => a - b)
    )
    assert.ok((allowances[0] as number) <= state.geometry.length / 8)
    assert.equal(company.allowance(0, ORIGIN.SURELY_ALONE_MS), Number.POSITIVE_INFINITY)
    company.handleSearched(true, 0)
    assert.equal(company.allowance(0, 0), Number.POSITIVE_INFINITY)
  })

  it('waits longer for others where its machine comes late, up to a bound', () => {
    const { company } = settingOf()
    company.meet(0)
    assert.equal(company.hasLasted(300, 300), true)
    company.recordLateness(100)
    assert.equal(company.hasLasted(300, 300), false)
    company.recordLateness(1e6)
    assert.equal(company.hasLasted(300, 300 + ORIGIN.MAX_LENIENCE_MS), true)
  })
})
