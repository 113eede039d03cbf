import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UplinkModel } from '../../src/engine/upload/uplink-model.ts'

const PIECE_BYTES = 262_144

/**
 * Pieces sent one after another, `pieceMs` apart, from `fromMs` on; the time when the last was acknowledged.
 */
function deliver(model: UplinkModel, pieces: number, pieceMs: number, fromMs: number, isSample = true): number {
  let nowMs = fromMs
  for (let piece = 0; piece < pieces; piece++) {
    const flight = model.start(0, piece, PIECE_BYTES, false, 0, nowMs)
    nowMs += pieceMs
    model.acknowledged(flight, isSample, nowMs)
  }
  return nowMs
}

test('a slow uplink keeps its estimate although an acknowledgement takes longer than a window', () => {
  const model = new UplinkModel(PIECE_BYTES, 0)
  let nowMs = deliver(model, 1, 4000, 0)
  for (let piece = 0; piece < 20; piece++) {
    nowMs = deliver(model, 1, 4000, nowMs)
    assert.equal(model.pieceMs, 4000)
  }
})

test('an estimate that no flight confirms any more is given up', () => {
  const model = new UplinkModel(PIECE_BYTES, 0)
  const nowMs = deliver(model, 4, 200, 0)
  assert.equal(model.pieceMs, 200)
  // All of them stalled, by that estimate: they count for the end of the window, though not as samples.
  deliver(model, 12, 1000, nowMs, false)
  assert.equal(model.rate, 0)
})

test('pieces on a slow uplink follow each other: the next begins when the one before should almost have left', () => {
  const model = new UplinkModel(PIECE_BYTES, 0)
  const nowMs = deliver(model, 4, 1000, 0)
  const nextMs = (inFlight: number, answerMs: number) => model.nextStartMs(inFlight, answerMs) - nowMs
  model.start(0, 5, PIECE_BYTES, false, 0, nowMs)
  assert.equal(nextMs(1, 0), 875)
  // An acknowledgement comes as late as answers do.
  assert.equal(nextMs(1, 400), 500)
  // None came: the receivers are slow, not our uplink.
  assert.equal(nextMs(2, 0), 1875)
  // An idle uplink waits for nothing.
  assert.ok(nextMs(0, 0) <= 0)
})

test('answers of peers that are busy with their start do not make the first pieces share a slow uplink', () => {
  const model = new UplinkModel(PIECE_BYTES, 0)
  const nowMs = deliver(model, 1, 2000, 0)
  model.start(0, 5, PIECE_BYTES, false, 0, nowMs)
  assert.equal(model.nextStartMs(1, 4000) - nowMs, 750)
})

test('pieces on a fast uplink do not wait for each other', () => {
  const model = new UplinkModel(PIECE_BYTES, 0)
  const nowMs = deliver(model, 4, 20, 0)
  model.start(0, 5, PIECE_BYTES, false, 0, nowMs)
  assert.ok(model.nextStartMs(1, 5) <= nowMs)
})
