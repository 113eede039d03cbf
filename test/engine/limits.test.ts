import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PIECE_BYTES, swarmOf, World } from './world.ts'

const PIECES = 256

/** Virtual time that one leecher takes from one seeder whose uplink carries a piece in 1 ms, in seconds. */
function secondsWith(seeder: object, leecher: object): number {
  const world = new World({ delayMs: 2, pieceMs: 1 })
  world.add('seeder', swarmOf(PIECES, 'all', seeder))
  world.add('leecher', swarmOf(PIECES, [], leecher))
  world.connect('seeder', 'leecher')
  assert.ok(world.run(() => world.isEveryoneComplete(), 600_000))
  assert.equal(world.dropped, 0)
  return world.nowMs / 1000
}

describe('a rate limit', () => {
  // A twentieth of what the uplink carries.
  const bytesPerSecond = 50 * PIECE_BYTES
  const seconds = (PIECES * PIECE_BYTES) / bytesPerSecond

  it('on downloads is used in full and not exceeded', () => {
    const took = secondsWith({}, { downloadBytesPerSecond: bytesPerSecond })
    assert.ok(took > 0.9 * seconds && took < 1.1 * seconds, `${took} s instead of ${seconds} s`)
  })

  it('on uploads is used in full and not exceeded', () => {
    const took = secondsWith({ uploadBytesPerSecond: bytesPerSecond }, {})
    assert.ok(took > 0.9 * seconds && took < 1.1 * seconds, `${took} s instead of ${seconds} s`)
  })

  it('on downloads holds for readers too', () => {
    const world = new World({ delayMs: 2, pieceMs: 1 })
    world.add('seeder', swarmOf(PIECES, 'all'))
    world.add('leecher', swarmOf(PIECES, [], { downloadBytesPerSecond: bytesPerSecond }))
    world.connect('seeder', 'leecher')
    for (let first = 0; first < PIECES; first += 32) {
      world.input('leecher', { type: 'readerMoved', reader: `at ${first}`, first, last: first + 31, deadlineMs: 0 })
    }
    assert.ok(world.run(() => world.isEveryoneComplete(), 600_000))
    const took = world.nowMs / 1000
    assert.ok(took > 0.9 * seconds && took < 1.1 * seconds, `${took} s instead of ${seconds} s`)
  })
})
