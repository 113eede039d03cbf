import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { join, PIECE_BYTES, say, sent, swarmOf, World } from './world.ts'

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

/** How many pieces a leecher takes from a fast seeder while its disk writes none of them. */
function takenWithStuckDisk(pieceLength: number): number {
  const swarm = swarmOf(PIECES, [0], {}, 'test', pieceLength)
  join(swarm, 'seeder', PIECES, 'all')
  const taken = new Set<number>()
  for (let nowMs = 10; nowMs < 1000; nowMs += 10) {
    const pieces = Array.from({ length: PIECES }, (_, piece) => piece).filter(piece => piece > 0 && !taken.has(piece))
    const outputs = [...say(swarm, 'seeder', { type: 'offer', pieces }, nowMs)]
    for (let output = outputs.shift(); output !== undefined; output = outputs.shift()) {
      for (const piece of sent([output], 'request').flatMap(request => request.pieces)) {
        taken.add(piece)
        outputs.push(...swarm.handle({ type: 'pieceReceived', peer: 'seeder', piece, bytes: pieceLength }, nowMs + 1))
      }
    }
  }
  return taken.size
}

describe('pieces that wait for the disk', () => {
  const MIB = 1024 * 1024

  it('fill 32 MiB', () => {
    assert.equal(takenWithStuckDisk(MIB), 32)
    assert.equal(takenWithStuckDisk(2 * MIB), 16)
  })

  it('may be eight, however long they are', () => assert.equal(takenWithStuckDisk(16 * MIB), 8))
})
