import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Output } from '../../src/engine/contract.ts'
import type { Swarm } from '../../src/engine/swarm.ts'
import type { Message } from '../../src/wire/messages.ts'
import { join, PIECE_BYTES, say, sent, swarmOf, tickUntil, World } from './world.ts'

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

/** A piece that the peer offers, sends and that is right. */
function deliver(swarm: Swarm, peer: string, piece: number, nowMs: number): Output[] {
  return [
    ...say(swarm, peer, { type: 'offer', pieces: [piece] }, nowMs),
    ...swarm.handle({ type: 'pieceReceived', peer, piece, bytes: PIECE_BYTES }, nowMs),
    ...swarm.handle({ type: 'pieceVerified', peer, piece }, nowMs)
  ]
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
    /** Mean time from a taken offer to its piece's start, ms, when receivers turn down so many of each three offers. */
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

describe('the uploading half', () => {
  it('offers the piece that the fewest neighbours hold', () => {
    const swarm = swarmOf(4, 'all')
    join(swarm, 'x', 4, 'all')
    join(swarm, 'y', 4, 'all')
    join(swarm, 'z', 4, [0, 1, 3])
    // What was offered to it and is not on its way does not count.
    say(swarm, 'z', { type: 'reject', pieces: [2], reason: 'full' })
    const [offer] = sent(join(swarm, 'c', 4, [0]), 'offer', 'c')
    assert.equal(offer?.pieces[0], 2)
  })

  it('serves a peer that only requests and never answers offers', () => {
    const swarm = swarmOf(8, 'all')
    join(swarm, 'simple', 8, [])
    const answer = say(swarm, 'simple', { type: 'request', pieces: [5, 6], urgent: false }, 100)
    const servedIn = (outputs: readonly Output[]): number[] =>
      outputs.flatMap(output => (output.type === 'servePiece' ? [output.piece] : []))
    const first = servedIn([...answer, ...tickUntil(swarm, 100, 6000)])
    assert.equal(first.length, 1, 'one on trial')
    // It acknowledges as everybody must.
    const kept = say(swarm, 'simple', { type: 'have', pieces: first }, 6000)
    const second = servedIn([...kept, ...tickUntil(swarm, 6000, 7000)])
    assert.deepEqual([...first, ...second].sort(), [5, 6])
  })

  it('offers again at once when a peer that was full has kept a piece', () => {
    const swarm = swarmOf(4, 'all')
    const [offer] = sent(join(swarm, 'leecher', 4, []), 'offer', 'leecher')
    const [first, ...others] = offer?.pieces ?? []
    assert.ok(first !== undefined && others.length > 0)
    say(swarm, 'leecher', { type: 'request', pieces: [first], urgent: false }, 1)
    say(swarm, 'leecher', { type: 'reject', pieces: others, reason: 'full' }, 1)
    const [again] = sent(say(swarm, 'leecher', { type: 'have', pieces: [first] }, 5), 'offer', 'leecher')
    assert.ok(again !== undefined && again.pieces.length > 0)
  })

  it('gives the first piece the uplink for itself until the transport took it, and for a bounded time', () => {
    const servedBy = (untilMs: number, takenMs?: number, pieceBytes = PIECE_BYTES): number => {
      const swarm = swarmOf(8, 'all', {}, 'test', pieceBytes)
      const peers = ['a', 'b', 'c']
      const offers = peers.map(peer => sent(join(swarm, peer, 8, []), 'offer', peer).flatMap(offer => offer.pieces))
      const outputs = peers.flatMap((peer, index) => {
        const pieces = offers[index] as number[]
        return say(swarm, peer, { type: 'request', pieces, urgent: false }, 100)
      })
      outputs.push(...tickUntil(swarm, 100, takenMs ?? untilMs))
      const first = outputs.find(output => output.type === 'servePiece')
      if (takenMs !== undefined && first !== undefined) {
        const { peer, piece } = first
        outputs.push(...swarm.handle({ type: 'pieceServed', peer, piece, bytes: pieceBytes }, takenMs))
      }
      return [...outputs, ...tickUntil(swarm, takenMs ?? untilMs, untilMs)].filter(({ type }) => type === 'servePiece').length
    }
    assert.equal(servedBy(1900), 1)
    assert.equal(servedBy(1900, 1800), 2)
    assert.equal(servedBy(8000), 2)
    // As long as it takes at 0.5 Mbit/s.
    assert.equal(servedBy(4000, undefined, 256 * 1024), 1)
    assert.equal(servedBy(8000, undefined, 256 * 1024), 2)
  })

  it('begins pieces beside first ones that nobody acknowledges ever more seldom', () => {
    const swarm = swarmOf(64, 'all')
    const startedMs: number[] = []
    const take = (outputs: readonly Output[], nowMs: number): void => {
      for (const output of outputs) {
        if (output.type === 'servePiece') {
          startedMs.push(nowMs)
          take(swarm.handle({ type: 'pieceServed', peer: output.peer, piece: output.piece, bytes: PIECE_BYTES }, nowMs), nowMs)
        } else if (output.type === 'send' && output.message.type === 'offer') {
          take(say(swarm, output.peer, { type: 'request', pieces: output.message.pieces, urgent: false }, nowMs), nowMs)
        }
      }
    }
    const first = Array.from({ length: 16 }, (_, i) => join(swarm, `leecher${i}`, 64, []))
    take(first.flat(), 0)
    for (let nowMs = 10; nowMs <= 50_000; nowMs += 10) take(swarm.handle({ type: 'tick' }, nowMs), nowMs)
    const times = [...new Set(startedMs)]
    // The first had the uplink for itself.
    const pauses = times.slice(2).map((ms, index) => ms - (times[index + 1] as number))
    assert.ok(pauses.length >= 3, `pieces began at ${times}`)
    for (const [index, pause] of pauses.entries()) assert.ok(index === 0 || pause > (pauses[index - 1] as number), `${pauses}`)
  })

  it('offers nothing that a neighbour expects from others, until that does not come', () => {
    const swarm = swarmOf(4, 'all')
    const offersTo = (outputs: readonly Output[]): number[] => sent(outputs, 'offer', 'x').flatMap(({ pieces }) => pieces)
    assert.deepEqual(offersTo(join(swarm, 'x', 4, [0, 1, 2])), [3])
    say(swarm, 'x', { type: 'reject', pieces: [3], reason: 'full' }, 1)
    say(swarm, 'x', { type: 'expecting', pieces: [3] }, 2)
    assert.deepEqual(offersTo(tickUntil(swarm, 2, 3000)), [])
    const again = [...say(swarm, 'x', { type: 'cancel', pieces: [3] }, 3001), ...tickUntil(swarm, 3001, 3100)]
    assert.deepEqual(offersTo(again), [3])
    swarm.assertInvariants()
  })

  it('refuses a neighbour that expects a piece which does not exist', () => {
    const swarm = swarmOf(4, 'all')
    join(swarm, 'x', 4, [])
    const [output] = say(swarm, 'x', { type: 'expecting', pieces: [4] }, 1)
    assert.ok(output?.type === 'disconnect' && output.banMs > 0)
  })

  it('sends nothing that was not requested', () => {
    const swarm = swarmOf(8, 'all')
    const outputs = [...join(swarm, 'leecher', 8, []), ...tickUntil(swarm, 0, 20_000)]
    assert.ok(sent(outputs, 'offer').length > 0)
    assert.equal(outputs.filter(output => output.type === 'servePiece').length, 0)
  })

  it('rejects requests of pieces that it lacks', () => {
    const swarm = swarmOf(8, [1])
    join(swarm, 'peer', 8, [])
    assert.deepEqual(sent(say(swarm, 'peer', { type: 'request', pieces: [2], urgent: false }), 'reject'), [
      { type: 'reject', pieces: [2], reason: 'missing' }
    ])
  })

  it('serves an urgent request before all others', () => {
    const swarm = swarmOf(64, 'all', { maxUploadSlots: 1 })
    join(swarm, 'a', 64, [])
    join(swarm, 'b', 64, [])
    const outputs = say(swarm, 'a', { type: 'request', pieces: [1, 2, 3, 4, 5, 6], urgent: true })
    say(swarm, 'b', { type: 'request', pieces: [9], urgent: false })
    assert.equal(outputs.find(output => output.type === 'servePiece')?.peer, 'a')
  })

  it('starts an urgent piece although its window is full, and so only a few', () => {
    const swarm = swarmOf(64, 'all')
    const offers = ['slow', 'slower'].flatMap(peer => sent(join(swarm, peer, 64, []), 'offer', peer))
    join(swarm, 'reader', 64, [])
    assert.equal(offers.length, 2)
    // Never acknowledged: what was started stays under way.
    const started = ['slow', 'slower'].flatMap((peer, index) => {
      const { pieces } = offers[index] as { pieces: number[] }
      return say(swarm, peer, { type: 'request', pieces, urgent: false }, 11)
    })
    started.push(...tickUntil(swarm, 11, 2500))
    const before = swarm.snapshot()
    assert.ok(started.length > 0 && before.inFlight >= before.window)
    const outputs = say(
      swarm,
      'reader',
      { type: 'request', pieces: Array.from({ length: 16 }, (_, index) => 40 + index), urgent: true },
      2501
    )
    const urgent = outputs.filter(output => output.type === 'servePiece' && output.isUrgent)
    assert.ok(urgent.length >= 1 && urgent.length <= 8, `${urgent.length}`)
  })
})

describe('the downloading half', () => {
  it('takes an offer of a piece that it lacks and turns down the same piece from another', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'a', 8, 'all')
    join(swarm, 'b', 8, 'all')
    assert.deepEqual(sent(say(swarm, 'a', { type: 'offer', pieces: [3] }), 'request', 'a'), [
      { type: 'request', pieces: [3], urgent: false }
    ])
    assert.deepEqual(sent(say(swarm, 'b', { type: 'offer', pieces: [3] }), 'reject', 'b'), [
      { type: 'reject', pieces: [3], reason: 'expected' }
    ])
  })

  it('tells all what it has together with what it took, and when that does not come after all', () => {
    const swarm = swarmOf(8, [0])
    for (const key of ['a', 'b']) join(swarm, key, 8, 'all')
    deliver(swarm, 'a', 7, 0)
    say(swarm, 'a', { type: 'offer', pieces: [3] }, 1)
    say(swarm, 'b', { type: 'offer', pieces: [4] }, 1)
    swarm.handle({ type: 'pieceReceived', peer: 'b', piece: 4, bytes: PIECE_BYTES }, 10)
    const told = (outputs: readonly Output[]): Message[] =>
      outputs.flatMap(output => (output.type === 'broadcast' ? [output.message] : []))
    assert.deepEqual(told(swarm.handle({ type: 'pieceVerified', peer: 'b', piece: 4 }, 11)), [
      { type: 'have', pieces: [4] },
      { type: 'expecting', pieces: [3] }
    ])
    const outputs = swarm.handle({ type: 'peerLeft', peer: 'a', reason: 'gone' }, 20)
    assert.deepEqual(told(outputs), [{ type: 'cancel', pieces: [3] }])
    // Asked for without an offer it gives way to one, so nobody is to refrain.
    assert.equal(sent(outputs, 'request', 'b').length, 1)
    join(swarm, 'c', 8, 'all', 20)
    say(swarm, 'c', { type: 'offer', pieces: [5] }, 21)
    swarm.handle({ type: 'pieceReceived', peer: 'c', piece: 5, bytes: PIECE_BYTES }, 30)
    assert.deepEqual(told(swarm.handle({ type: 'pieceVerified', peer: 'c', piece: 5 }, 31)), [{ type: 'have', pieces: [5] }])
  })

  it('tells nobody that it expects a piece of a sender that never delivered', () => {
    const swarm = swarmOf(8, [0])
    for (const key of ['stranger', 'known']) join(swarm, key, 8, 'all')
    say(swarm, 'stranger', { type: 'offer', pieces: [3] }, 1)
    const outputs = [...deliver(swarm, 'known', 4, 2), ...tickUntil(swarm, 2, 1000)]
    assert.equal(sent(outputs, 'have').length, 1)
    assert.deepEqual(sent(outputs, 'expecting'), [])
  })

  it('bans a peer whose piece is corrupt and takes the piece from another', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'bad', 8, 'all')
    join(swarm, 'good', 8, 'all')
    say(swarm, 'bad', { type: 'offer', pieces: [3] })
    const accepted = swarm.handle({ type: 'pieceReceived', peer: 'bad', piece: 3, bytes: PIECE_BYTES }, 10)
    assert.ok(accepted.some(output => output.type === 'acceptPiece' && output.piece === 3))
    const outputs = swarm.handle({ type: 'pieceCorrupt', peer: 'bad', piece: 3 }, 11)
    const disconnect = outputs.find(output => output.type === 'disconnect')
    assert.ok(disconnect?.type === 'disconnect' && disconnect.peer === 'bad' && disconnect.banMs > 0)
    assert.equal(swarm.accepts('bad', 12), false)
    assert.deepEqual(sent(outputs, 'request', 'good'), [{ type: 'request', pieces: [3], urgent: false }])
    swarm.assertInvariants()
  })

  it('asks others at once for what the sender that left, paused or lost the piece did not send', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'sender', 8, 'all')
    join(swarm, 'other', 8, 'all')
    say(swarm, 'sender', { type: 'offer', pieces: [3] })
    assert.deepEqual(sent(say(swarm, 'other', { type: 'offer', pieces: [3] }), 'reject', 'other')[0]?.reason, 'expected')
    const outputs = swarm.handle({ type: 'peerLeft', peer: 'sender', reason: 'complete' }, 10)
    // 'other' was told that somebody else sends it and would not offer it again for long.
    assert.deepEqual(sent(outputs, 'request', 'other'), [{ type: 'request', pieces: [3], urgent: false }])

    join(swarm, 'third', 8, 'all', 20)
    for (const reason of ['choked', 'missing'] as const) {
      const [from, to] = reason === 'choked' ? (['other', 'third'] as const) : (['third', 'fourth'] as const)
      if (to === 'fourth') join(swarm, 'fourth', 8, 'all', 21)
      const answered = say(swarm, from, { type: 'reject', pieces: [3], reason }, 30)
      assert.deepEqual(sent(answered, 'request', to), [{ type: 'request', pieces: [3], urgent: false }])
    }
    // Nobody is left who has it: it waits for an offer.
    assert.deepEqual(sent(say(swarm, 'fourth', { type: 'reject', pieces: [3], reason: 'missing' }, 40), 'request'), [])
    swarm.assertInvariants()
  })

  it('does not turn down the offer that its own request crossed', () => {
    const swarm = swarmOf(1, [])
    join(swarm, 'a', 1, 'all')
    swarm.handle({ type: 'readerMoved', reader: 'r', first: 0, last: 0, deadlineMs: 100 }, 10)
    assert.deepEqual(say(swarm, 'a', { type: 'offer', pieces: [0] }, 11), [])
  })

  it('drops a piece that it never asked for and bans its sender', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'pushy', 8, 'all')
    const outputs = swarm.handle({ type: 'pieceReceived', peer: 'pushy', piece: 3, bytes: PIECE_BYTES }, 10)
    assert.ok(outputs.some(output => output.type === 'dropPiece'))
    assert.ok(outputs.some(output => output.type === 'disconnect' && output.banMs > 0))
  })

  it('asks another peer when the first goes silent', () => {
    const swarm = swarmOf(1, [])
    join(swarm, 'silent', 1, 'all')
    join(swarm, 'other', 1, 'all')
    say(swarm, 'silent', { type: 'offer', pieces: [0] })
    // The silent one never delivered: there is no reason to wait for its time-out.
    const outputs = tickUntil(swarm, 0, 2000)
    assert.equal(sent(outputs, 'request', 'other').length, 1)
  })

  it('is patient with the only peer while nobody has delivered anything, and drops it soon once somebody has', () => {
    const droppedMs = (hasDelivered: boolean): number => {
      const swarm = swarmOf(8, [])
      if (hasDelivered) {
        join(swarm, 'good', 8, [0])
        say(swarm, 'good', { type: 'offer', pieces: [0] })
        swarm.handle({ type: 'pieceReceived', peer: 'good', piece: 0, bytes: PIECE_BYTES }, 100)
        swarm.handle({ type: 'pieceVerified', piece: 0, peer: 'good' }, 100)
      }
      join(swarm, 'slow', 8, 'all')
      for (let ms = 200; ms < 600_000; ms += 200) {
        const isDropped = swarm
          .handle({ type: 'tick' }, ms)
          .some(output => output.type === 'disconnect' && output.peer === 'slow')
        if (isDropped) return ms
      }
      return Number.POSITIVE_INFINITY
    }
    assert.ok(droppedMs(false) > 120_000, `after ${droppedMs(false)} ms`)
    assert.ok(droppedMs(true) < 100_000, `after ${droppedMs(true)} ms`)
  })

  it('requests by itself from a peer that never offers', () => {
    const swarm = swarmOf(8, [])
    join(swarm, 'simple', 8, 'all')
    assert.ok(sent(tickUntil(swarm, 0, 6000), 'request', 'simple').length > 0)
  })

  it('asks for what a reader waits for at once and urgently', () => {
    const swarm = swarmOf(64, [])
    join(swarm, 'a', 64, 'all')
    const outputs = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 50, deadlineMs: 100 }, 10)
    const [request] = sent(outputs, 'request', 'a')
    assert.equal(request?.urgent, true)
    assert.equal(request?.pieces[0], 40)
  })

  it('clears the way for a reader that comes or jumps', () => {
    const swarm = swarmOf(64, [])
    join(swarm, 'a', 64, 'all')
    join(swarm, 'b', 64, 'all')
    const [first] = sent(say(swarm, 'a', { type: 'offer', pieces: [3] }, 1), 'request', 'a')
    assert.deepEqual(first?.pieces, [3])
    const come = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 50, deadlineMs: 100 }, 10)
    assert.deepEqual(sent(come, 'cancel', 'a'), [{ type: 'cancel', pieces: [3] }])
    // Only what it needs to start, until it has its first piece: others would come before that.
    const asked = sent(come, 'request').flatMap(({ pieces }) => pieces)
    assert.deepEqual(asked.sort(), [40, 41, 42])
    const on = swarm.handle({ type: 'readerMoved', reader: 'r', first: 41, last: 51, deadlineMs: 100 }, 20)
    assert.deepEqual(sent(on, 'cancel'), [])
    const jump = swarm.handle({ type: 'readerMoved', reader: 'r', first: 8, last: 18, deadlineMs: 100 }, 30)
    assert.ok(sent(jump, 'cancel').some(({ pieces }) => pieces.includes(41)))
    swarm.assertInvariants()
  })

  it('goes on with the rest of the window, and with others, where what a reader needs first cannot be had', () => {
    const swarm = swarmOf(64, [])
    join(swarm, 'a', 64, [44, 45, 63])
    const outputs = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 50, deadlineMs: 100 }, 10)
    assert.deepEqual(
      sent(outputs, 'request', 'a').flatMap(({ pieces }) => pieces),
      [44, 45]
    )
    for (const piece of [44, 45]) {
      swarm.handle({ type: 'pieceReceived', peer: 'a', piece, bytes: PIECE_BYTES }, 20)
      swarm.handle({ type: 'pieceVerified', piece, peer: 'a' }, 20)
    }
    assert.deepEqual(sent(say(swarm, 'a', { type: 'offer', pieces: [63] }, 21), 'request')[0]?.pieces, [63])
  })

  it('asks for what a reader waits for where no piece of ours stands before the request', () => {
    const swarm = swarmOf(64, [1, 2])
    const rest = Array.from({ length: 62 }, (_, index) => index + 2)
    join(swarm, 'busy', 64, rest)
    join(swarm, 'idle', 64, rest)
    const served = say(swarm, 'busy', { type: 'request', pieces: [1], urgent: true }, 1)
    assert.ok(served.some(output => output.type === 'servePiece' && output.peer === 'busy'))
    const outputs = swarm.handle({ type: 'readerMoved', reader: 'r', first: 40, last: 40, deadlineMs: 100 }, 10)
    assert.deepEqual(sent(outputs, 'request', 'idle')[0]?.pieces, [40])
  })

  it('says why it waits', () => {
    const swarm = swarmOf(8, [])
    assert.equal(swarm.snapshot().waitingFor, undefined)
    tickUntil(swarm, 0, 5000)
    assert.match(swarm.snapshot().waitingFor ?? '', /no peer of this content/)
    join(swarm, 'a', 8, [], 6000)
    assert.match(swarm.snapshot().waitingFor ?? '', /no connected peer has any of the 8 missing pieces/)
    swarm.handle({ type: 'storeFailed', piece: 1, reason: 'ENOSPC' }, 6001)
    assert.match(swarm.snapshot().waitingFor ?? '', /disk cannot keep pieces: ENOSPC/)
  })
})
