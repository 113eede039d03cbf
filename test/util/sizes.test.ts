import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  formatBinaryBytes,
  formatBytes,
  formatDuration,
  formatRate,
  parseDuration,
  parseRate,
  parseSize
} from '../../src/util/sizes.ts'

describe('sizes', () => {
  it('reads decimal, binary and bare units', () => {
    const cases: Array<[string, number]> = [
      ['0', 0],
      ['17', 17],
      ['17B', 17],
      ['5MB', 5_000_000],
      ['5mb', 5_000_000],
      ['256KiB', 262_144],
      ['256K', 262_144],
      [' 1.5 GiB ', 1_610_612_736],
      ['2T', 2 * 1024 ** 4]
    ]
    for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, text)
  })

  it('refuses what is not a size', () => {
    for (const text of ['', 'MB', '-1', '1e9', '5 apples', '1.2.3', 'iB', '1iB', 'NaN', '99999999P', '1/s', '٣']) {
      assert.equal(parseSize(text), undefined, text)
    }
  })

  it('reads rates in bytes and in bits', () => {
    const cases: Array<[string, number]> = [
      ['20mbit', 2_500_000],
      ['100Mbps', 12_500_000],
      ['1gbit/s', 125_000_000],
      ['5MB', 5_000_000],
      ['512KiB/s', 524_288],
      ['0', 0],
      ['unlimited', 0],
      ['none', 0]
    ]
    for (const [text, rate] of cases) assert.equal(parseRate(text), rate, text)
    for (const text of ['fast', '20mbits/h', '-5MB', '5MB/s/s', '']) assert.equal(parseRate(text), undefined, text)
  })

  it('never turns a tiny limit into zero, which would mean unlimited', () => {
    assert.equal(parseRate('1bit'), 1)
    assert.equal(parseRate('0.001B'), 1)
  })

  it('reads durations, a bare number being seconds', () => {
    assert.equal(parseDuration('500ms'), 500)
    assert.equal(parseDuration('30'), 30_000)
    assert.equal(parseDuration('1.5h'), 5_400_000)
    assert.equal(parseDuration('2d'), 172_800_000)
    for (const text of ['soon', '1y', '-1s', '', 'constructor', '1constructor'])
      assert.equal(parseDuration(text), undefined, text)
  })

  it('writes three significant digits and carries at the edge of a unit', () => {
    assert.equal(formatBytes(0), '0 B')
    assert.equal(formatBytes(999), '999 B')
    assert.equal(formatBytes(999_999), '1.00 MB')
    assert.equal(formatBytes(126_595_440), '127 MB')
    assert.equal(formatRate(10_400_000), '10.4 MB/s')
    assert.equal(formatBinaryBytes(262_144), '256 KiB')
    assert.equal(formatBinaryBytes(1_048_576), '1 MiB')
  })

  it('writes durations in the two units that matter', () => {
    assert.equal(formatDuration(849.6), '850 ms')
    assert.equal(formatDuration(12_340), '12.3 s')
    assert.equal(formatDuration(59_960), '1m 00s')
    assert.equal(formatDuration(3_780_000), '1h 03m')
    assert.equal(formatDuration(273_600_000), '3d 04h')
  })

  it('reads back what it wrote, to three digits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9e14 }), bytes => {
        for (const text of [formatBytes(bytes), formatBinaryBytes(bytes)]) {
          const read = parseSize(text)
          assert.ok(read !== undefined && Math.abs(read - bytes) <= bytes * 0.0051, `${bytes} -> ${text} -> ${read}`)
        }
        assert.equal(parseRate(formatRate(bytes)), parseSize(formatBytes(bytes)))
      })
    )
  })

  it('gives a whole safe number or nothing for any text', () => {
    const texts = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc
        .tuple(fc.float({ min: 0, noNaN: true }), fc.constantFrom('', 'k', 'MB', 'GiB', 'mbit', 'Tbps', 's', 'd', '/s'))
        .map(([n, u]) => `${n}${u}`)
    )
    fc.assert(
      fc.property(texts, text => {
        for (const parse of [parseSize, parseRate, parseDuration]) {
          const value = parse(text)
          assert.ok(value === undefined || (Number.isSafeInteger(value) && value >= 0))
        }
      }),
      { numRuns: 2000 }
    )
  })
})
