import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Demand } from '../../src/engine/download/demand.ts'
import { DownlinkModel } from '../../src/engine/download/downlink-model.ts'
import { Readers } from '../../src/engine/download/readers.ts'
import { RequestLedger } from '../../src/engine/download/request-ledger.ts'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import type { SwarmState } from '../../src/engine/state.ts'
import { DEMAND } from '../../src/engine/tunables.ts'
import { RateBudget } from '../../src/util/rate-budget.ts'
import { addNeighbour, prove, stateOf } from './parts.ts'
import { PIECE_BYTES } from './world.ts'

const CAPACITY = 8
const TRIAL_MS = 100

interface Setting {
  state: SwarmState
  demand: Demand
  model: DownlinkModel
  readers: Readers
  /** Asks the neighbour for the next piece. */
  ask: (neighbour: Neighbour, nowMs: number) => number
  /** A neighbour that holds everything and has delivered; with 0 ms, one that never did. */
  sender: (serviceMs: number) => Neighbour
}

function settingOf(have: readonly number[] = [0]): Setting {
  const state = stateOf(64, have, { maxPendingPieces: CAPACITY })
  const budgets = [new RateBudget(0, 0)]
  const model = new DownlinkModel(0)
  const ledger = new RequestLedger(state, budgets)
  const readers = new Readers(state)
  let next = 1
  const ask = (neighbour: Neighbour, nowMs: number): number => {
    ledger.recordRequest(neighbour, next, false, model.receivedBytes, nowMs)
    return next++
  }
  const sender = (serviceMs: number): Neighbour => {
    const neighbour = addNeighbour(state, `n${state.neighbours.length}`, { have: 'all' })
    state.marks.unproven.add(neighbour.slot)
    if (serviceMs > 0) prove(state, neighbour, serviceMs)
    return neighbour
  }
  return { state, demand: new Demand(state, budgets, model, ledger, readers), model, readers, ask, sender }
}

/** Pieces come one each 10 ms, each 10 ms after its request. */
function receive(model: DownlinkModel, pieces: number): void {
  for (let piece = 1; piece <= pieces; piece++) model.record(PIECE_BYTES, model.receivedBytes, 10, piece * 10)
}

describe('demand', () => {
  it('is one piece at a time while there is nothing to pass on', () => {
    const { demand, ask, sender } = settingOf([])
    assert.ok(demand.hasRoom(50, 0))
    ask(sender(10), 0)
    assert.equal(demand.hasRoom(50, 0), false)
  })

  it('lets a stranger that was asked for the first piece hold it up only while it is on trial', () => {
    const { demand, ask, sender } = settingOf([])
    const piece = ask(sender(0), 0)
    assert.equal(demand.hasRoom(50, TRIAL_MS - 1), false)
    assert.ok(demand.hasRoom(50, TRIAL_MS))
    assert.ok(demand.isUnproven(piece, TRIAL_MS))
  })

  it('is bounded by what may be pending or verifying, but for what a reader waits for', () => {
    const { state, demand, readers, ask, sender } = settingOf()
    const neighbour = sender(10)
    for (let i = 0; i < CAPACITY - 1; i++) ask(neighbour, 0)
    assert.ok(demand.hasRoom(50, 1e6))
    state.verifying = 1
    assert.equal(demand.hasRoom(50, 1e6), false)
    readers.move('reader', 50, 51, 0)
    assert.ok(demand.hasRoom(50, 1e6))
  })

  it('is not filled by claims whose trial is over, and lets no more of them in than there are neighbours', () => {
    const { state, demand, ask, sender } = settingOf()
    const liars = Array.from({ length: 4 }, () => sender(0))
    for (let i = 0; i < CAPACITY; i++) ask(liars[i % 4] as Neighbour, 0)
    assert.equal(demand.hasRoom(50, TRIAL_MS - 1), false)
    assert.ok(demand.hasRoom(50, TRIAL_MS))
    for (let i = 0; i < state.neighbourOf.size; i++) ask(liars[i] as Neighbour, 0)
    assert.equal(demand.hasRoom(50, TRIAL_MS), false)
  })

  it('is nothing while paused, leaving, or when the disk keeps nothing', () => {
    const { state, demand } = settingOf()
    state.isPaused = true
    assert.equal(demand.hasRoom(50, 0), false)
    state.isPaused = false
    state.storeFault = 'ENOSPC'
    assert.equal(demand.hasRoom(50, 0), false)
  })
})

describe('the downlink', () => {
  it('is full at the limit of proven requests, and not of claims', () => {
    const { demand, model, ask, sender } = settingOf()
    receive(model, 32)
    const [proven, stranger] = [sender(10), sender(0)]
    const limit = demand.limitPieces
    for (let i = 0; i < limit; i++) ask(stranger, 0)
    assert.equal(demand.isDownlinkFull(proven, TRIAL_MS), false)
    for (let i = 0; i < limit; i++) ask(proven, 0)
    assert.ok(demand.isDownlinkFull(proven, TRIAL_MS))
  })

  it('counts a slow sender for what it brings', () => {
    const { demand, model, ask, sender } = settingOf()
    receive(model, 32)
    const slow = sender(10 * 10 * DEMAND.SLOW_SENDER_FACTOR)
    const usual = sender(10)
    const limit = demand.limitPieces
    for (let i = 0; i < limit; i++) ask(slow, 400)
    assert.equal(demand.isDownlinkFull(usual, 400), false)
    for (let i = 0; i < limit; i++) ask(usual, 400)
    assert.ok(demand.isDownlinkFull(usual, 400))
  })

  it('welcomes a sender much faster than what comes now', () => {
    const { demand, model, ask, sender } = settingOf()
    receive(model, 32)
    const [usual, fast] = [sender(10), sender(4)]
    const limit = demand.limitPieces
    for (let i = 0; i < limit; i++) ask(usual, 400)
    assert.ok(demand.isDownlinkFull(usual, 400))
    assert.equal(demand.isDownlinkFull(fast, 400), false)
    for (let i = 0; i < 3 * limit; i++) ask(usual, 400)
    assert.ok(demand.isDownlinkFull(fast, 400))
  })
})
