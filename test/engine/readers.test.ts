import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Readers } from '../../src/engine/download/readers.ts'
import { HAVE, type SwarmState } from '../../src/engine/state.ts'
import { READER } from '../../src/engine/tunables.ts'
import { addNeighbour, stateOf } from './parts.ts'
import { bitsOf } from './world.ts'

function readersOf(held: readonly number[] | 'all' = 'all'): { state: SwarmState; readers: Readers } {
  const state = stateOf(128, [])
  addNeighbour(state, 'holder', { have: held })
  return { state, readers: new Readers(state) }
}

const wantedOf = (readers: Readers): number[] =>
  Array.from({ length: 128 }, (_, piece) => piece).filter(piece => readers.want(piece))

describe('readers', () => {
  it('wait for a few pieces until the first is there, then for their whole window', () => {
    const { readers } = readersOf()
    readers.move('r', 40, 50, 0)
    assert.deepEqual(wantedOf(readers), [40, 41, 42])
    for (const reader of readers.all()) reader.isStarting = false
    assert.deepEqual(wantedOf(readers), [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50])
    readers.delete('r')
    assert.deepEqual(wantedOf(readers), [])
  })

  it('wait for their whole window where nobody has the first piece', () => {
    const { readers } = readersOf([50])
    readers.move('r', 40, 50, 0)
    assert.equal(wantedOf(readers).length, 11)
  })

  it('start again when they jump, and not when they go on', () => {
    const { readers } = readersOf()
    assert.equal(readers.move('r', 40, 50, 0), true)
    assert.equal(readers.move('r', 41, 51, 10), false)
    assert.equal(wantedOf(readers).length, 11)
    assert.equal(readers.move('r', 52, 60, 20), true, 'past its window')
    assert.equal(readers.move('r', 51, 60, 30), true, 'backwards')
    assert.deepEqual(wantedOf(readers), [51, 52, 53])
  })

  it('keep the time since which they stand where they are', () => {
    const { readers } = readersOf()
    const movedMs = (): number | undefined => [...readers.all()][0]?.movedMs
    readers.move('r', 40, 50, 0)
    readers.move('r', 40, 60, 10)
    assert.equal(movedMs(), 0)
    readers.move('r', 41, 60, 20)
    assert.equal(movedMs(), 20)
  })

  it('are behind while they lack a wanted piece near them that can be had', () => {
    const { state, readers } = readersOf([40, 41])
    assert.equal(readers.isBehind, false)
    readers.move('r', 40, 50, 0)
    assert.equal(readers.isBehind, true)
    state.status[40] = HAVE
    state.wanted = bitsOf(128, [40])
    assert.equal(readers.isBehind, false, 'the other is not wanted')
    state.wanted = undefined
    state.status[41] = HAVE
    assert.equal(readers.isBehind, false, 'the others cannot be had')
  })

  it('are not behind for what lies far ahead', () => {
    const { readers } = readersOf([READER.AHEAD_PIECES])
    readers.move('r', 0, 127, 0)
    assert.equal(readers.isBehind, false)
    readers.move('r', 1, 127, 0)
    assert.equal(readers.isBehind, true)
  })

  it('are bounded in number', () => {
    const { readers } = readersOf()
    for (let i = 0; i < READER.MAX_READERS; i++) assert.equal(readers.move(`r${i}`, i, i, 0), true)
    assert.equal(readers.move('one more', 100, 101, 0), false)
    assert.equal(readers.size, READER.MAX_READERS)
    assert.equal(readers.move('r0', 100, 101, 0), true, 'those that are there may move')
  })
})
