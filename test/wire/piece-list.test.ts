import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodePieceListAnswerHeader, encodePieceListAnswerHeader } from '../../src/wire/piece-list.ts'

test('an answer header reads back to what was written', () => {
  for (const [status, length] of [
    ['found', 100],
    ['unknown', 0],
    ['busy', 0]
  ] as const) {
    assert.deepEqual(decodePieceListAnswerHeader(encodePieceListAnswerHeader(status, length), 100), { status, length })
  }
})

test('an answer that is too long, unknown or contradicts itself is refused', () => {
  assert.throws(() => decodePieceListAnswerHeader(encodePieceListAnswerHeader('found', 101), 100), /at most 100/)
  assert.throws(() => decodePieceListAnswerHeader(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff), 1e8), /4294967295 bytes/)
  assert.throws(() => decodePieceListAnswerHeader(Uint8Array.of(3, 0, 0, 0, 0), 100), /unknown piece list status/)
  assert.throws(() => decodePieceListAnswerHeader(Uint8Array.of(1, 0, 0, 0, 1), 100), /with 1 bytes/)
  assert.throws(() => decodePieceListAnswerHeader(Uint8Array.of(0, 0, 0, 0), 100), /truncated/)
  assert.throws(() => decodePieceListAnswerHeader(Uint8Array.of(0, 0, 0, 0, 0, 0), 100), /behind the end/)
})
