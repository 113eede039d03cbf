import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { chooseRanges, evaluateConditions, ifRangeHolds, MAX_RANGES } from '../../../src/fronts/files/ranges.ts'

const one = (start: number, end: number) => ({ kind: 'ranges', ranges: [{ start, end }] })
const WHOLE = { kind: 'whole' }
const UNSATISFIABLE = { kind: 'unsatisfiable' }

describe('Range headers', () => {
  const cases: [string | undefined, object][] = [
    [undefined, WHOLE],
    ['bytes=0-0', one(0, 1)],
    ['bytes=0-99', one(0, 100)],
    ['bytes=0-1000', one(0, 100)],
    ['bytes=10-', one(10, 100)],
    ['bytes=-1', one(99, 100)],
    ['bytes=-1000', one(0, 100)],
    ['BYTES=5-6', one(5, 7)],
    ['bytes= 5-6 ', one(5, 7)],
    ['bytes=99-99', one(99, 100)],
    ['bytes=99999999999999999999-', UNSATISFIABLE],
    ['bytes=5-99999999999999999999', one(5, 100)],
    ['bytes=100-', UNSATISFIABLE],
    ['bytes=-0', UNSATISFIABLE],
    ['bytes=5-4', UNSATISFIABLE],
    ['bytes=', UNSATISFIABLE],
    ['bytes=a-b', UNSATISFIABLE],
    ['bytes=1', UNSATISFIABLE],
    ['bytes=--1', UNSATISFIABLE],
    ['lines=1-2', WHOLE],
    ['bytes 1-2', WHOLE],
    [
      'bytes=0-0,50-59, -1',
      {
        kind: 'ranges',
        ranges: [
          { start: 0, end: 1 },
          { start: 50, end: 60 },
          { start: 99, end: 100 }
        ]
      }
    ],
    ['bytes=200-300,0-0', one(0, 1)],
    ['bytes=0-99,0-99', WHOLE],
    [`bytes=${'0-0,'.repeat(MAX_RANGES)}0-0`, UNSATISFIABLE]
  ]
  for (const [header, expected] of cases) {
    test(`"${header?.slice(0, 40)}" of 100 bytes asks for ${JSON.stringify(expected).slice(0, 80)}`, () => {
      assert.deepEqual(chooseRanges(header, 100), expected)
    })
  }

  test('an empty content is sent whole for "all from the start", and has no other range', () => {
    assert.deepEqual(chooseRanges('bytes=0-', 0), WHOLE)
    assert.deepEqual(chooseRanges('bytes=0-0', 0), UNSATISFIABLE)
    assert.deepEqual(chooseRanges('bytes=-5', 0), UNSATISFIABLE)
  })

  test('every range chosen lies within the content, and together they are never more than it', () => {
    const spec = fc.oneof(
      fc.tuple(fc.nat(200), fc.nat(200)).map(([a, b]) => `${a}-${b}`),
      fc.nat(200).map(a => `${a}-`),
      fc.nat(200).map(a => `-${a}`),
      fc.string({ maxLength: 5 })
    )
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 6 }), fc.nat(150), (specs, length) => {
        const choice = chooseRanges(`bytes=${specs.join(',')}`, length)
        if (choice.kind !== 'ranges') return
        let sum = 0
        for (const { start, end } of choice.ranges) {
          assert.ok(start >= 0 && start < end && end <= length)
          sum += end - start
        }
        assert.ok(sum <= length)
      })
    )
  })
})

describe('conditions', () => {
  const DATE = 'Sat, 21 Nov 2026 06:00:00 GMT'
  const EARLIER = 'Sat, 21 Nov 2026 05:59:59 GMT'
  const LATER = 'Sat, 21 Nov 2026 06:00:01 GMT'
  const resource = { etag: '"abc"', lastModifiedMs: Date.parse(DATE) + 400 }

  const cases: [string, Parameters<typeof evaluateConditions>[0], 'go on' | 304 | 412][] = [
    ['no condition goes on', {}, 'go on'],
    ['the same tag is not sent again', { ifNoneMatch: '"abc"' }, 304],
    ['a weak form of the tag is the same for If-None-Match', { ifNoneMatch: 'W/"abc"' }, 304],
    ['one tag of a list is enough', { ifNoneMatch: '"x", "abc"' }, 304],
    ['a star matches whatever there is', { ifNoneMatch: '*' }, 304],
    ['another tag is sent', { ifNoneMatch: '"x"' }, 'go on'],
    ['the date is ignored beside If-None-Match', { ifNoneMatch: '"x"', ifModifiedSince: DATE }, 'go on'],
    ['not modified since its own date', { ifModifiedSince: DATE }, 304],
    ['modified since an earlier date', { ifModifiedSince: EARLIER }, 'go on'],
    ['what is no date is ignored', { ifModifiedSince: 'yesterday' }, 'go on'],
    ['If-Match with our tag goes on', { ifMatch: '"abc"' }, 'go on'],
    ['If-Match with another tag fails', { ifMatch: '"x"' }, 412],
    ['If-Match compares strongly', { ifMatch: 'W/"abc"' }, 412],
    ['If-Match wins over If-Unmodified-Since', { ifMatch: '"abc"', ifUnmodifiedSince: EARLIER }, 'go on'],
    ['modified after If-Unmodified-Since fails', { ifUnmodifiedSince: EARLIER }, 412],
    ['unmodified since a later date goes on', { ifUnmodifiedSince: LATER }, 'go on']
  ]
  for (const [title, headers, expected] of cases) test(title, () => assert.equal(evaluateConditions(headers, resource), expected))

  test('If-Range holds for our strong tag and our exact date alone', () => {
    assert.equal(ifRangeHolds(undefined, resource), true)
    assert.equal(ifRangeHolds('"abc"', resource), true)
    assert.equal(ifRangeHolds(DATE, resource), true)
    for (const other of ['"x"', 'W/"abc"', EARLIER, LATER, 'abc', '']) assert.equal(ifRangeHolds(other, resource), false, other)
  })
})
