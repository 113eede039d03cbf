import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { UploadSlots } from '../../src/node/upload-slots.ts'

describe('upload slots', () => {
  /** Takes `count` slots; how many were given so far, in order. */
  const take = (slots: UploadSlots, count: number): number[] => {
    const given: number[] = []
    for (let i = 0; i < count; i++) void slots.acquire().then(() => given.push(i))
    return given
  }
  const turn = () => new Promise(resolve => setImmediate(resolve))

  test('without a limit everybody sends at once', async () => {
    const given = take(new UploadSlots(), 100)
    await turn()
    assert.equal(given.length, 100)
  })

  test('never more than the limit are out, and who waits is served in order', async () => {
    const slots = new UploadSlots()
    slots.limit = 2
    const given = take(slots, 5)
    for (const expected of [2, 3, 4, 5, 5]) {
      await turn()
      assert.deepEqual(given, [0, 1, 2, 3, 4].slice(0, expected))
      slots.release()
    }
  })

  test('a higher limit lets those in who wait; a lower one holds new ones back until enough have ended', async () => {
    const slots = new UploadSlots()
    slots.limit = 1
    const given = take(slots, 6)
    slots.limit = 4
    await turn()
    assert.equal(given.length, 4)
    slots.limit = 2
    slots.release()
    slots.release()
    await turn()
    assert.equal(given.length, 4)
    slots.release()
    await turn()
    assert.equal(given.length, 5)
  })
})
