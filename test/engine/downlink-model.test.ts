import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DownlinkModel } from '../../src/engine/download/downlink-model.ts'

const PIECE_BYTES = 262_144
const PIECE_MS = 400

/** A model to which 16 pieces came, one each {@link PIECE_MS} but for a burst of five within `burstMs`. */
function afterArrivals(burstMs: number): DownlinkModel {
  const model = new DownlinkModel(0)
  let nowMs = 0
  let bytes = 0
  for (let piece = 0; piece < 16; piece++) {
    nowMs += piece >= 4 && piece < 8 ? burstMs / 4 : PIECE_MS
    model.record(PIECE_BYTES, bytes, PIECE_MS, nowMs)
    bytes += PIECE_BYTES
  }
  return model
}

test('where a refusal costs as much as a piece, a downlink that carried a burst takes many more', () => {
  const narrow = afterArrivals(4 * PIECE_MS)
  const wide = afterArrivals(PIECE_MS)
  const quickMs = PIECE_MS / 5
  assert.equal(wide.limitPieces(PIECE_BYTES, quickMs), narrow.limitPieces(PIECE_BYTES, quickMs))
  assert.equal(narrow.limitPieces(PIECE_BYTES, PIECE_MS), narrow.limitPieces(PIECE_BYTES, quickMs))
  assert.equal(wide.limitPieces(PIECE_BYTES, PIECE_MS), wide.limitPieces(PIECE_BYTES, quickMs) + 9)
})

test('where pieces take long and answers do not, less is ready at uploaders and so less is taken', () => {
  const model = afterArrivals(PIECE_MS)
  assert.equal(model.limitPieces(PIECE_BYTES, PIECE_MS / 10), model.limitPieces(PIECE_BYTES, PIECE_MS / 5) - 1)
})

test('nothing is known of answers: the downlink counts as narrow', () => {
  const wide = afterArrivals(PIECE_MS)
  assert.equal(wide.limitPieces(PIECE_BYTES, 0), wide.limitPieces(PIECE_BYTES, 1))
})

test('a fast downlink takes what comes in 40 ms, however soon a piece is there', () => {
  const model = new DownlinkModel(0)
  // 256 KiB each 0.8 ms (320 MB/s), each 2.4 ms after its request.
  for (let piece = 1; piece <= 64; piece++) model.record(PIECE_BYTES, Math.max(0, piece - 3) * PIECE_BYTES, 2.4, piece * 0.8)
  const pieces = model.limitPieces(PIECE_BYTES, 1)
  assert.ok(pieces >= 40 / 0.8 && pieces < 2 * (40 / 0.8), `${pieces}`)
})

test('a piece that comes after it was given up counts for how long pieces take', () => {
  const model = new DownlinkModel(0)
  model.recordLate(PIECE_BYTES, 8000)
  assert.equal(model.typicalMs, 8000)
  assert.equal(model.receivedBytes, PIECE_BYTES)
  assert.equal(model.drainMs(PIECE_BYTES), 0)
})

test('what is pending takes as long as the downlink needs for it at the best rate of late', () => {
  const model = new DownlinkModel(0)
  model.record(PIECE_BYTES, 0, 100, 100)
  assert.equal(model.drainMs(3 * PIECE_BYTES), 300)
})
