import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BufferPool } from '../../src/util/buffer-pool.ts'

describe('a buffer pool', () => {
  it('hands out what was given back, to one taker at a time and only at its length', () => {
    const pool = new BufferPool(1000)
    const first = pool.take(100)
    pool.give(first)
    assert.notEqual(pool.take(99), first)
    assert.equal(pool.take(100), first)
    assert.notEqual(pool.take(100), first)
    assert.equal(pool.freeBytes, 0)
  })

  it('keeps no more than its bound, and no view of something larger', () => {
    const pool = new BufferPool(250)
    for (let i = 0; i < 5; i++) pool.give(new Uint8Array(100))
    assert.equal(pool.freeBytes, 200)
    pool.give(new Uint8Array(100).subarray(0, 10))
    assert.equal(pool.freeBytes, 200)
  })

  it('throws when a buffer is given back twice', () => {
    const pool = new BufferPool(1000)
    const buffer = pool.take(10)
    pool.give(buffer)
    assert.throws(() => pool.give(buffer), /twice/)
  })
})
