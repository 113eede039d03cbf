import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RateMeter } from '../../src/util/rate-meter.ts'

describe('a rate meter', () => {
  it('reads a steady stream as its rate, in the first second and later', () => {
    const meter = new RateMeter(1000)
    for (let nowMs = 1000; nowMs < 31_000; nowMs += 10) {
      meter.record(1000, nowMs)
      if (nowMs > 1400) assert.ok(Math.abs(meter.rate(nowMs) - 100_000) < 10_000, `${meter.rate(nowMs)} at ${nowMs}`)
    }
    assert.equal(meter.total, 3_000_000)
  })

  it('falls towards zero in silence', () => {
    const meter = new RateMeter(0)
    meter.record(1_000_000, 10)
    const soon = meter.rate(1000)
    assert.ok(soon > 0)
    assert.ok(meter.rate(10_000) < soon / 10)
    assert.equal(meter.rate(1_000_000), 0)
  })
})
