import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Evidence } from '../../src/engine/merit/evidence.ts'
import type { Neighbour } from '../../src/engine/neighbour.ts'
import type { EngineOptions } from '../../src/engine/options.ts'
import { MERIT } from '../../src/engine/tunables.ts'
import { addNeighbour, stateOf } from './parts.ts'

interface Setting {
  evidence: Evidence
  taker: Neighbour
  other: Neighbour
  isLight: (neighbour: Neighbour) => boolean
  /** The neighbour says that it has the piece. */
  have: (neighbour: Neighbour, piece: number, isOurs: boolean) => void
}

function settingOf(policy: EngineOptions['policy'] = 'cooperative', have: readonly number[] | 'all' = 'all'): Setting {
  const state = stateOf(32, have, { policy })
  const evidence = new Evidence(state)
  const [taker, other] = [addNeighbour(state, 'taker'), addNeighbour(state, 'other')]
  for (const neighbour of [taker, other]) evidence.admit(neighbour)
  return {
    evidence,
    taker,
    other,
    isLight: ({ slot }) => state.marks.light.has(slot),
    have: (neighbour, piece, isOurs) => {
      state.table.recordHave(neighbour.slot, piece)
      evidence.recordHave(neighbour, piece, isOurs)
    }
  }
}

/** Gives the taker one first copy more than is given on trust. */
function giveTooMany({ have, taker, isLight }: Setting, trusted: number): void {
  for (let piece = 0; piece < trusted; piece++) have(taker, piece, true)
  assert.equal(isLight(taker), false)
  have(taker, trusted, true)
  assert.equal(isLight(taker), true)
}

const { cooperative, contributors } = MERIT.TRUSTED_FIRST_COPIES

describe('evidence of merit', () => {
  it('makes a neighbour light that has more first copies outstanding than are given on trust', () => {
    giveTooMany(settingOf(), cooperative)
    giveTooMany(settingOf('contributors'), contributors)
  })

  it('makes newcomers light while most of the last ones took a piece and left without a word', () => {
    const state = stateOf(32, 'all')
    const evidence = new Evidence(state)
    const comeAndGo = (key: string, isHeardOf: boolean): void => {
      const neighbour = addNeighbour(state, key)
      evidence.admit(neighbour)
      neighbour.upload.bytesUploaded = 1
      if (isHeardOf) {
        neighbour.upload.drainRate = 1
        evidence.recordProven(neighbour)
      }
      evidence.forget(neighbour)
    }
    const stays = addNeighbour(state, 'stays')
    evidence.admit(stays)
    for (let i = 0; i < MERIT.NEWCOMERS; i++) comeAndGo(`lost ${i}`, false)
    assert.equal(state.marks.light.has(stays.slot), true)
    stays.upload.drainRate = 1
    evidence.recordProven(stays)
    assert.equal(state.marks.light.has(stays.slot), false)
    for (let i = 0; i < MERIT.NEWCOMERS; i++) comeAndGo(`heard of ${i}`, true)
    const late = addNeighbour(state, 'late')
    evidence.admit(late)
    assert.equal(state.marks.light.has(late.slot), false)
  })

  it('pays a first copy back when the piece turns up at another neighbour', () => {
    const setting = settingOf()
    giveTooMany(setting, cooperative)
    setting.have(setting.other, 0, false)
    assert.equal(setting.isLight(setting.taker), false)
  })

  it('pays nothing back for a piece of which we gave the second copy, too', () => {
    const setting = settingOf()
    giveTooMany(setting, cooperative)
    for (let piece = 0; piece <= cooperative; piece++) setting.have(setting.other, piece, true)
    assert.equal(setting.isLight(setting.taker), true)
  })

  it('forgives such pieces as soon as one turns up that only the neighbour can have passed on', () => {
    const setting = settingOf()
    giveTooMany(setting, cooperative)
    for (let piece = 0; piece <= cooperative; piece++) setting.have(setting.other, piece, true)
    setting.have(setting.taker, 20, true)
    setting.have(setting.other, 20, false)
    assert.equal(setting.isLight(setting.taker), false)
  })

  it('counts only pieces that we gave and that nobody else had', () => {
    const { have, other, taker, isLight } = settingOf()
    for (let piece = 0; piece < 8; piece++) have(other, piece, false)
    for (let piece = 0; piece < 8; piece++) have(taker, piece, true)
    for (let piece = 8; piece < 16; piece++) have(taker, piece, false)
    assert.equal(isLight(taker), false)
  })

  it('is kept over a reconnect, and a spotless neighbour is no worse for one', () => {
    const setting = settingOf()
    const { evidence, taker, other, isLight } = setting
    giveTooMany(setting, cooperative)
    for (const neighbour of [taker, other]) {
      evidence.forget(neighbour)
      evidence.admit(neighbour)
    }
    assert.equal(isLight(taker), true)
    assert.equal(isLight(other), false)
  })

  it('makes a leecher of an open swarm light that has what we lack and offers nothing for long', () => {
    const { evidence, taker, other, isLight, have } = settingOf('contributors', [0])
    have(taker, 3, false)
    evidence.review(0, 1000)
    evidence.review(0, 1000 + MERIT.CONTRIBUTION_MS - 1)
    assert.equal(isLight(taker), false)
    evidence.review(0, 1000 + MERIT.CONTRIBUTION_MS)
    assert.equal(isLight(taker), true)
    assert.equal(isLight(other), false, 'it has nothing that we lack')
    taker.download.lastOfferMs = 7000
    evidence.review(0, 7100)
    assert.equal(isLight(taker), false)
  })

  it('gives it the time of many pieces on a slow uplink', () => {
    const { evidence, taker, isLight, have } = settingOf('contributors', [0])
    const pieceMs = 1000
    have(taker, 3, false)
    evidence.review(pieceMs, 0)
    evidence.review(pieceMs, MERIT.CONTRIBUTION_PIECES * pieceMs - 1)
    assert.equal(isLight(taker), false)
    evidence.review(pieceMs, MERIT.CONTRIBUTION_PIECES * pieceMs)
    assert.equal(isLight(taker), true)
  })
})
