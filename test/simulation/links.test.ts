/**
 * Links as queues of packets: sharing, windows, loss; and what they show that whole pieces one after another
 * do not.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Flow, type Item } from '../../src/sim/links/flow.ts'
import type { SimulationOptions } from '../../src/sim/options.ts'
import type { PeerStream } from '../../src/sim/peer-stream.ts'
import { commandOf, Simulation, simulate } from '../../src/sim/run.ts'
import { SCENARIO_NAMES } from '../../src/sim/scenario-names.ts'

const PIECE = 256 * 1024
const KIB = 1024
const FIRST_WINDOW = 14_480

function item(change: Partial<Item> = {}): Item {
  return { bytes: PIECE, piece: 0, message: undefined, isUrgent: false, sent: 0, arrived: 0, isServed: false, ...change }
}

/** A flow with one piece to send; which stream it is of means nothing to it. */
function makeFlow(...items: Item[]): Flow {
  const flow = new Flow({} as PeerStream)
  for (const each of items) flow.add(each)
  return flow
}

/** Bytes that the flow may send before it must wait. */
function windowOf(flow: Flow, nowMs: number): number {
  let bytes = 0
  while (flow.isReady) {
    flow.recordSent(KIB, nowMs)
    bytes += KIB
  }
  flow.recordAcknowledged(bytes, 0)
  return bytes
}

describe('a flow', () => {
  it('begins with ten packets and doubles with each round trip', () => {
    const flow = makeFlow(item())
    flow.recordSent(14 * KIB, 0)
    assert.ok(flow.isReady)
    flow.recordSent(KIB, 0)
    assert.ok(!flow.isReady)
    flow.recordAcknowledged(15 * KIB, 10)
    flow.recordSent(28 * KIB, 10)
    assert.ok(flow.isReady)
    flow.recordSent(2 * KIB, 10)
    assert.ok(!flow.isReady, 'twice the first window is full')
    assert.equal(flow.underWay, 30 * KIB)
  })

  it('stops doubling when the round trip grows', () => {
    const flow = makeFlow(item())
    for (let round = 0; round < 3; round++) {
      flow.recordSent(15 * KIB, round * 10)
      flow.recordAcknowledged(15 * KIB, round === 0 ? 10 : 100)
    }
    assert.ok(windowOf(flow, 40) < 48 * KIB)
  })

  it('sends what was lost again and takes its window back, once in a round trip', () => {
    const lost = item({ sent: 32 * KIB })
    const flow = makeFlow(lost)
    flow.recordSent(64 * KIB, 0)
    flow.recordAcknowledged(32 * KIB, 10)
    flow.recordLost(lost, 16 * KIB, 20)
    flow.recordLost(lost, 16 * KIB, 21)
    assert.equal(lost.sent, 0)
    assert.equal(flow.underWay, 0)
    assert.equal(flow.waiting.length, 1, 'it waits once')
    const window = windowOf(flow, 22)
    assert.ok(window > FIRST_WINDOW && window < 34 * KIB, `${window}`)
  })

  it('begins again with the first window after a pause', () => {
    const flow = makeFlow(item())
    flow.recordSent(15 * KIB, 0)
    flow.recordAcknowledged(15 * KIB, 10)
    flow.recordSent(KIB, 5000)
    flow.recordSent(14 * KIB, 5000)
    assert.ok(!flow.isReady)
  })

  it('lets an urgent piece pass those that have not begun, and no message', () => {
    const [begun, message, waits] = [item({ sent: 1 }), item({ piece: undefined }), item({ piece: 2 })]
    const urgent = item({ piece: 3, isUrgent: true })
    assert.deepEqual(makeFlow(begun, message, waits, urgent).waiting, [begun, message, urgent, waits])
  })
})

describe('queued links', () => {
  const crowd: Partial<SimulationOptions> = {
    nodes: 8,
    contentBytes: 64 * PIECE,
    pieceLength: PIECE,
    uplink: 2_500_000,
    latencyMs: 1,
    links: 'queued'
  }

  for (const scenario of SCENARIO_NAMES.filter(name => name !== 'mixed')) {
    it(`complete under all checkers in scenario ${scenario}`, () => {
      const result = simulate({ ...crowd, nodes: 12, contentBytes: 24 * PIECE, scenario, seed: '3' })
      assert.equal(result.completed, result.measured)
    })
  }

  it('carry no more than their rate, and little less', () => {
    const { ratio } = simulate({ ...crowd, nodes: 1 })
    assert.ok(ratio >= 1 && ratio < 1.06, `${ratio}`)
  })

  it('take nearly as long as simple ones where only uplinks are narrow, and much longer where downlinks are, too', () => {
    const ratioOf = (scenario: 'flash-crowd' | 'symmetric-caps', links: 'simple' | 'queued'): number => {
      const downlink = scenario === 'symmetric-caps' ? 2_500_000 : 0
      return simulate({ ...crowd, scenario, links, downlink, contentBytes: 128 * PIECE }).ratio
    }
    const apart = ratioOf('flash-crowd', 'queued') / ratioOf('flash-crowd', 'simple')
    assert.ok(apart > 0.97 && apart < 1.05, `${apart}`)
    assert.ok(ratioOf('symmetric-caps', 'queued') > ratioOf('symmetric-caps', 'simple'))
  })

  it('send again what a full queue dropped', () => {
    const simulation = new Simulation({ ...crowd, nodes: 2, uplink: 50_000_000, downlink: 100_000, contentBytes: 32 * PIECE })
    const { completed, wastedShare } = simulation.run()
    assert.equal(completed, 2)
    assert.ok(wastedShare < 0.05, `${wastedShare}`)
  })

  it('give the same result for the same seed, and say so in the command', () => {
    const options = { ...crowd, scenario: 'churn', seed: 'x' } as const
    assert.deepEqual(simulate(options), simulate(options))
    assert.match(commandOf(new Simulation(options).options), / --links queued/)
  })
})
