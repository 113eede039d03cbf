import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import type { Message } from '../../src/wire/messages.ts'
import { swarmOf, World } from './world.ts'

/** From each offer to the start of its piece, ms, as the swarm goes on. */
function recordWaits(swarm: Swarm): number[] {
  const offeredMs = new Map<string, number>()
  const waits: number[] = []
  const handle = swarm.handle.bind(swarm)
  swarm.handle = (input, nowMs) => {
    const outputs = handle(input, nowMs)
    for (const output of outputs) {
      if (output.type === 'send' && output.message.type === 'offer') {
        for (const piece of output.message.pieces) offeredMs.set(`${output.peer} ${piece}`, nowMs)
      } else if (output.type === 'servePiece') {
        waits.push(nowMs - (offeredMs.get(`${output.peer} ${output.piece}`) ?? Number.NaN))
      }
    }
    return outputs
  }
  return waits
}

describe('a swarm of engines', () => {
  it('brings every piece to one leecher, each sent once', () => {
    const world = new World()
    world.add('seeder', swarmOf(64, 'all'))
    world.add('leecher', swarmOf(64, []))
    world.connect('seeder', 'leecher')
    assert.ok(world.run(() => world.isEveryoneComplete(), 60_000))
    assert.equal(world.served.get('seeder'), 64)
    assert.equal(world.dropped, 0)
  })

  it('spreads to eight leechers near the bound, the seeder sending little more than one copy', () => {
    const world = new World({ delayMs: 1, pieceMs: 100 })
    world.add('seeder', swarmOf(128, 'all', {}, 'seeder'))
    const keys = ['seeder']
    for (let i = 0; i < 8; i++) {
      const key = `leecher${i}`
      world.add(key, swarmOf(128, [], {}, key))
      for (const other of keys) world.connect(key, other)
      keys.push(key)
    }
    assert.ok(world.run(() => world.isEveryoneComplete(), 120_000))
    const boundMs = 128 * 100 * (1 + Math.floor(Math.log2(8)) / 128)
    assert.ok(world.nowMs < 1.12 * boundMs, `took ${world.nowMs} ms, the bound is ${boundMs} ms`)
    assert.ok((world.served.get('seeder') ?? 0) <= 1.15 * 128, `the seeder sent ${world.served.get('seeder')} pieces`)
    assert.equal(world.dropped, 0)
  })

  it('chooses a piece only when its turn on a slow uplink is near', () => {
    const PIECE_MS = 500
    const world = new World({ delayMs: 5, pieceMs: PIECE_MS })
    const seeder = swarmOf(64, 'all')
    const waits = recordWaits(seeder)
    world.add('seeder', seeder)
    const keys = ['a', 'b', 'c', 'd']
    for (const key of keys) {
      world.add(key, swarmOf(64, [], {}, key))
      world.connect('seeder', key)
    }
    for (const key of keys) for (const other of keys) if (key < other) world.connect(key, other)
    assert.ok(world.run(() => world.isEveryoneComplete(), 120_000))
    // The uplink is being learnt from the first ones.
    const steady = waits.slice(16)
    assert.ok(steady.length >= 48, `${steady.length} pieces`)
    const longest = Math.max(...steady)
    assert.ok(longest < PIECE_MS / 2, `waited ${longest} ms for its turn`)
  })

  it('chooses pieces of 100 ms late, too, but where most receivers say that they are full', () => {
    /**
     * Mean time from a taken offer to its piece's start, ms, when receivers turn down so many of each three
     * offers.
     */
    const waitMs = (refused: number): number => {
      const world = new World({ delayMs: 5, pieceMs: 100 })
      const seeder = swarmOf(256, 'all')
      const waits = recordWaits(seeder)
      world.add('seeder', seeder)
      let offers = 0
      for (const key of Array.from({ length: 16 }, (_, index) => `receiver ${index}`)) {
        const say = (message: Message): Output[] => [{ type: 'send', peer: 'seeder', message }]
        const receiver = swarmOf(256, [], {}, key)
        const join = receiver.handle.bind(receiver)
        receiver.handle = (input, nowMs) => {
          if (input.type === 'peerJoined') return join(input, nowMs)
          if (input.type === 'pieceReceived') return say({ type: 'have', pieces: [input.piece] })
          if (input.type !== 'messageReceived' || input.message.type !== 'offer') return []
          const { pieces } = input.message
          if (offers++ % 3 < refused) return say({ type: 'reject', pieces, reason: 'full' })
          return say({ type: 'request', pieces, urgent: false })
        }
        receiver.deadlineMs = () => undefined
        world.add(key, receiver)
        world.connect('seeder', key)
      }
      world.run(() => waits.length === 128, 60_000)
      const steady = waits.slice(64)
      return steady.reduce((sum, ms) => sum + ms, 0) / steady.length
    }
    const late = waitMs(0)
    const early = waitMs(2)
    assert.ok(late < 120, `late: waited ${late} ms`)
    assert.ok(early > 150, `early: waited ${early} ms`)
  })

  for (const pieceMs of [20, 500]) {
    it(`goes on with others when some answer no offer any more, where a piece takes ${pieceMs} ms`, () => {
      const world = new World({ delayMs: 5, pieceMs })
      world.add('seeder', swarmOf(64, 'all'))
      world.add('leecher', swarmOf(64, [], {}, 'leecher'))
      for (const key of ['hung 1', 'hung 2', 'hung 3']) {
        const hung = swarmOf(64, [], {}, key)
        const handle = hung.handle.bind(hung)
        hung.handle = (input, nowMs) => (nowMs < 20 * pieceMs || input.type !== 'messageReceived' ? handle(input, nowMs) : [])
        world.add(key, hung)
        world.connect('seeder', key)
      }
      world.connect('seeder', 'leecher')
      assert.ok(world.run(() => world.completedMs.has('leecher'), 300_000))
      // They still request, so its share of the uplink is a quarter.
      assert.ok(world.nowMs < 4 * 64 * pieceMs + 20_000, `took ${world.nowMs} ms`)
    })
  }

  it('completes from the other leechers when the seeder leaves after its first copy', () => {
    const world = new World()
    world.add('seeder', swarmOf(32, 'all', {}, 'seeder'))
    for (const key of ['a', 'b', 'c']) world.add(key, swarmOf(32, [], {}, key))
    for (const [one, other] of [
      ['seeder', 'a'],
      ['seeder', 'b'],
      ['seeder', 'c'],
      ['a', 'b'],
      ['b', 'c'],
      ['a', 'c']
    ] as const) {
      world.connect(one, other)
    }
    const heldTogether = (): boolean => {
      const held = new Set<number>()
      for (const key of ['a', 'b', 'c']) {
        const holders = world.members.get(key)?.swarm.holders() ?? []
        for (let piece = 0; piece < holders.length; piece++) if ((holders[piece] as number) > 1) held.add(piece)
      }
      return held.size === 32
    }
    assert.ok(world.run(heldTogether, 60_000))
    world.remove('seeder')
    assert.ok(world.run(() => world.isEveryoneComplete(), 120_000))
  })
})
