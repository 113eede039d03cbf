import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Timetable } from '../../src/sim/timetable.ts'

interface Entry {
  readonly machine: number
  readonly ms: number
  readonly name: string
}

/**
 * Handles everything, and what `then` adds meanwhile; returns it in the order of handling with the time of
 * handling.
 */
function runAll(timetable: Timetable<string>, then: (entry: Entry) => void = () => {}): Entry[] {
  const handled: Entry[] = []
  for (let startMs = timetable.nextMs; startMs !== undefined; startMs = timetable.nextMs) {
    timetable.advanceTo(startMs)
    timetable.runWindow((ms, name, machine) => {
      const entry = { machine, ms, name }
      handled.push(entry)
      then(entry)
    })
  }
  return handled
}

describe('the timetable', () => {
  it('handles what one machine has in a window together, by time, and equal times in the order of their making', () => {
    const timetable = new Timetable<string>(10)
    for (const [machine, ms, name] of [
      [1, 7, 'd'],
      [0, 3, 'b'],
      [1, 2, 'c'],
      [0, 9, 'f'],
      [0, 1, 'a'],
      [1, 7, 'e']
    ] as const) {
      timetable.push(machine, ms, name)
    }
    assert.equal(timetable.windowMs, 8)
    assert.equal(
      runAll(timetable)
        .map(({ name }) => name)
        .join(''),
      'abcdef'
    )
  })

  it('lets a machine act on itself at once and on others not before the next window', () => {
    const timetable = new Timetable<string>(10)
    timetable.push(0, 1, 'first')
    const handled = runAll(timetable, ({ name }) => {
      if (name !== 'first') return
      timetable.push(0, 2, 'own')
      timetable.push(1, 2, 'early')
      timetable.push(1, 11, 'usual')
    })
    assert.deepEqual(handled, [
      { machine: 0, ms: 1, name: 'first' },
      { machine: 0, ms: 2, name: 'own' },
      { machine: 1, ms: 8, name: 'early' },
      { machine: 1, ms: 11, name: 'usual' }
    ])
  })

  it('loses nothing, and time goes back for no machine', () => {
    const entries = fc.array(fc.tuple(fc.nat(300), fc.double({ min: 0, max: 200, noNaN: true })), { maxLength: 500 })
    fc.assert(
      fc.property(entries, made => {
        const timetable = new Timetable<string>(10)
        for (const [index, [machine, ms]] of made.entries()) timetable.push(machine, ms, String(index))
        let extra = 0
        const handled = runAll(timetable, ({ machine, ms }) => {
          if (extra < 100) timetable.push((machine * 7) % 300, ms + 10, `x${extra++}`)
        })
        assert.equal(new Set(handled.map(({ name }) => name)).size, made.length + extra)
        const last = new Map<number, number>()
        for (const { machine, ms } of handled) {
          assert.ok(ms >= (last.get(machine) ?? 0))
          last.set(machine, ms)
        }
      })
    )
  })
})
