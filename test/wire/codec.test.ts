import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from '../../src/errors.ts'
import { decodeHex } from '../../src/util/bytes.ts'
import {
  checkFrame,
  decodeMessage,
  decodePieceHeader,
  encodeMessage,
  encodePieceHeader,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  maxFrameBytes,
  PIECE_FRAME_TYPE,
  type WireLimits
} from '../../src/wire/codec.ts'
import type { Message } from '../../src/wire/messages.ts'
import { messageFor } from './arbitraries.ts'

const LIMITS: WireLimits = { pieceCount: 300, maxPieceBytes: 16_384 }

function decodeFrame(frame: Uint8Array, limits = LIMITS): Message {
  const view = new DataView(frame.buffer, frame.byteOffset)
  assert.equal(view.getUint32(0), frame.byteLength - 4)
  checkFrame(view.getUint32(0), view.getUint8(4), limits)
  return decodeMessage(view.getUint8(4), frame.subarray(FRAME_HEADER_BYTES), limits)
}

/** Type and body in hex. */
function assertRefused(type: number, body: string, reason: RegExp): void {
  const bytes = decodeHex(body.replaceAll(' ', '')) as Uint8Array
  assert.throws(
    () => decodeMessage(type, bytes, LIMITS),
    (err: unknown) => err instanceof ProtocolError && reason.test(err.reason),
    body
  )
}

test('every message reads back to what was written, within the largest frame', () => {
  fc.assert(
    fc.property(messageFor(LIMITS.pieceCount), message => {
      const frame = encodeMessage(message)
      assert.deepEqual(decodeFrame(frame), message)
      assert.ok(frame.byteLength <= maxFrameBytes(LIMITS))
    }),
    { numRuns: 500 }
  )
})

test('a decoded message does not refer to the buffer that it came from', () => {
  for (const message of [
    { type: 'bitfield', bits: new Uint8Array(38).fill(0x55, 0, 37) },
    { type: 'hello', version: 1, pieceCount: 300, labels: { rack: 'r1' } }
  ] satisfies Message[]) {
    const frame = encodeMessage(message)
    const decoded = decodeFrame(frame)
    frame.fill(0xff)
    assert.deepEqual(decoded, message)
  }
})

test('a have of one piece takes at most a dozen bytes even of the largest content', () => {
  assert.ok(encodeMessage({ type: 'have', pieces: [(1 << 20) - 1] }).byteLength <= 12)
})

test('a content without pieces has an empty bitfield', () => {
  const limits = { pieceCount: 0, maxPieceBytes: 16_384 }
  assert.deepEqual(decodeFrame(encodeMessage({ type: 'bitfield', bits: new Uint8Array(0) }), limits), {
    type: 'bitfield',
    bits: new Uint8Array(0)
  })
  assert.throws(() => decodeMessage(FRAME_TYPES.have, Uint8Array.of(0), limits), /piece 0 of 0/)
})

test('a frame that is too long for its type is refused by its header alone', () => {
  assert.throws(() => checkFrame(0, FRAME_TYPES.have, LIMITS), ProtocolError)
  assert.throws(() => checkFrame(0xffffffff, FRAME_TYPES.have, LIMITS), /at most/)
  assert.throws(() => checkFrame(40, FRAME_TYPES.bitfield, LIMITS), /at most 39/)
  assert.throws(() => checkFrame(1 + 4 + 16_385, PIECE_FRAME_TYPE, LIMITS), /at most/)
  for (const type of [0, 13, 15, 17, 255]) assert.throws(() => checkFrame(1, type, LIMITS), /unknown frame type/)
  checkFrame(39, FRAME_TYPES.bitfield, LIMITS)
  checkFrame(1 + 4 + 16_384, PIECE_FRAME_TYPE, LIMITS)
})

test('malformed keepers are refused', () => {
  const { keepers } = FRAME_TYPES
  assertRefused(keepers, '09', /9 keepers are more than 8/)
  assertRefused(keepers, '01 01 61 00', /truncated/)
  assertRefused(keepers, '01 01 61 00 8080808008', /more than/)
  assertRefused(keepers, '01 01 61 09', /9 addresses are more than 8/)
  assertRefused(keepers, '00 00', /left over|behind|trailing/)
})

test('malformed lists of pieces are refused', () => {
  const { have, request, reject } = FRAME_TYPES
  assertRefused(have, '', /truncated/)
  assertRefused(have, 'ac02', /piece 300 of 300/)
  assertRefused(have, '05 80', /truncated/)
  assertRefused(have, '8000', /shortest form/)
  assertRefused(have, 'ffffffffff01', /longer than 5/)
  assertRefused(have, 'ffffffff7f', /more than/)
  assertRefused(have, '00'.repeat(1025), /more than 1024 pieces/)
  assertRefused(have, '00'.repeat(3073), /at most/)
  assertRefused(request, '02 01', /unknown request flags/)
  assertRefused(request, '01', /truncated/)
  assertRefused(reject, '05 01', /unknown reject reason/)
})

test('malformed bitfields are refused', () => {
  assertRefused(FRAME_TYPES.bitfield, '00'.repeat(37), /expected 38/)
  assertRefused(FRAME_TYPES.bitfield, `${'00'.repeat(37)}08`, /behind its end/)
})

test('malformed hellos are refused', () => {
  const { hello } = FRAME_TYPES
  assertRefused(hello, '02 0000', /version 2/)
  assertRefused(hello, '01', /truncated/)
  assertRefused(hello, '01 81808001 00', /more than/)
  assertRefused(hello, '01 0011', /17 labels/)
  assertRefused(hello, '01 0001 0161 8102', /more than 256/)
  assertRefused(hello, '01 0001 0141 0161', /lower-case word/)
  assertRefused(hello, '01 0001 095f5f70726f746f5f5f 0161', /lower-case word/)
  assertRefused(hello, '01 0002 01610162 01610163', /twice/)
  assertRefused(hello, '01 0001 0161 01ff', /not UTF-8/)
  assertRefused(hello, '01 0000 00', /behind the end/)
})

test('malformed peers and goodbyes are refused', () => {
  const { peers, goodbye } = FRAME_TYPES
  assertRefused(peers, '41', /65 peers/)
  assertRefused(peers, '01 0161 09', /9 addresses/)
  assertRefused(peers, '01 0161 01 05 61', /truncated/)
  assertRefused(peers, '00 00', /0 near peers of 0/)
  assertRefused(peers, '01 0161 00 02', /2 near peers of 1/)
  assertRefused(peers, '01 0161 00 01 00', /behind the end/)
  assertRefused(goodbye, 'c328', /not UTF-8/)
  assertRefused(goodbye, '61'.repeat(257), /at most/)
})

test('a long goodbye is cut between characters, anything else too long is a bug of the caller', () => {
  for (const reason of ['x'.repeat(300), `x${'é'.repeat(300)}`, '👩'.repeat(100), `${'日'.repeat(85)}x`]) {
    const message = decodeFrame(encodeMessage({ type: 'goodbye', reason }))
    assert.ok(message.type === 'goodbye' && reason.startsWith(message.reason) && message.reason.length > 80)
  }
  assert.throws(() => encodeMessage({ type: 'have', pieces: [] }), RangeError)
  assert.throws(() => encodeMessage({ type: 'have', pieces: new Array(1025).fill(0) }), RangeError)
  assert.throws(() => encodeMessage({ type: 'have', pieces: [-1] }), RangeError)
  assert.throws(() => encodeMessage({ type: 'have', pieces: [0.5] }), RangeError)
  assert.throws(() => encodeMessage({ type: 'peers', peers: [{ peer: 'x'.repeat(257), addresses: [] }] }), RangeError)
})

test('peers near the receiver go first and are told apart', () => {
  const near = { peer: 'a', addresses: [], isNear: true }
  const far = { peer: 'b', addresses: [] }
  const message: Message = { type: 'peers', peers: [near, far] }
  assert.deepEqual(decodeFrame(encodeMessage(message)), message)
  assert.throws(() => encodeMessage({ type: 'peers', peers: [far, near] }), RangeError)
})

test('addresses are hints: those too long or too many are left out', () => {
  const addresses = ['x'.repeat(257), ...Array.from({ length: 20 }, (_, i) => `/ip4/192.0.2.${i}/tcp/1`)]
  const message = decodeFrame(encodeMessage({ type: 'peers', peers: [{ peer: 'a', addresses }] }))
  assert.deepEqual(message, { type: 'peers', peers: [{ peer: 'a', addresses: addresses.slice(1, 9) }] })
})

test('a piece header says which piece and how many bytes follow', () => {
  for (const [piece, bytes] of [
    [0, 1],
    [299, 16_384],
    [255, 100]
  ] as const) {
    const header = encodePieceHeader(piece, bytes)
    const length = new DataView(header.buffer).getUint32(0)
    assert.equal(header[4], PIECE_FRAME_TYPE)
    assert.deepEqual(decodePieceHeader(length, header.subarray(FRAME_HEADER_BYTES), LIMITS), { piece, bytes })
  }
  assert.throws(() => decodePieceHeader(5, Uint8Array.of(0, 0, 0, 0), LIMITS), /without bytes/)
  assert.throws(() => decodePieceHeader(4, Uint8Array.of(0, 0, 0), LIMITS), ProtocolError)
  assert.throws(() => decodePieceHeader(6, Uint8Array.of(0, 0, 1, 44), LIMITS), /piece 300 of 300/)
  assert.throws(() => decodePieceHeader(6, Uint8Array.of(0xff, 0xff, 0xff, 0xff), LIMITS), /piece 4294967295/)
  assert.throws(() => decodePieceHeader(16_390, Uint8Array.of(0, 0, 0, 0), LIMITS), /at most/)
})
