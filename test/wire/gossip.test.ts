import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bitfield } from '../../src/content/bitfield.ts'
import { MAX_PIECE_COUNT } from '../../src/content/geometry.ts'
import { ProtocolError } from '../../src/errors.ts'
import { decodeHex } from '../../src/util/bytes.ts'
import { decodeGossip, encodeGossip, MAX_GOSSIP_BYTES } from '../../src/wire/gossip.ts'
import { gossip } from './arbitraries.ts'

function assertRefused(payload: string, reason: RegExp, pieceCount?: number): void {
  const bytes = decodeHex(payload.replaceAll(' ', '')) as Uint8Array
  assert.throws(
    () => decodeGossip(bytes, pieceCount),
    (err: unknown) => err instanceof ProtocolError && reason.test(err.reason),
    payload
  )
}

test('gossip of a content with ordinary piece counts reads back exactly', () => {
  fc.assert(
    fc.property(gossip, value => {
      const payload = encodeGossip(value)
      assert.ok(payload.byteLength <= MAX_GOSSIP_BYTES)
      assert.deepEqual(decodeGossip(payload, value.pieceCount), value)
    })
  )
})

test('a seeder and a newcomer of the largest content take a few bytes', () => {
  const all = { peer: 'a', addresses: [], pieceCount: MAX_PIECE_COUNT, bits: Bitfield.full(MAX_PIECE_COUNT).toBytes() }
  const none = { ...all, bits: new Bitfield(MAX_PIECE_COUNT).toBytes() }
  for (const value of [all, none]) {
    const payload = encodeGossip(value)
    assert.ok(payload.byteLength < 20)
    assert.deepEqual(decodeGossip(payload), value)
  }
})

test('scattered pieces of the largest content fit the bound and never claim a piece that is not there', () => {
  const have = new Bitfield(MAX_PIECE_COUNT - 3)
  let state = 1
  for (let piece = 0; piece < have.size; piece++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    if (state >>> 28 !== 0) have.set(piece)
  }
  const value = { peer: 'a', addresses: new Array(8).fill('x'.repeat(256)), pieceCount: have.size, bits: have.toBytes() }
  const payload = encodeGossip(value)
  assert.ok(payload.byteLength <= MAX_GOSSIP_BYTES)
  const told = Bitfield.fromBytes(decodeGossip(payload).bits, have.size)
  for (const piece of told.ones()) assert.ok(have.get(piece))
  assert.ok(told.count > have.count / 4)
})

test('malformed gossip is refused', () => {
  const head = '01 0161 00'
  assertRefused('', /truncated/)
  assertRefused('02', /version 2/)
  assertRefused('01 0161 09', /9 addresses/)
  assertRefused(`${head} 818040 00 00`, /more than/)
  assertRefused(`${head} 08 15 00 00`, /shift 21/)
  assertRefused(`${head} 08 00 02 00`, /unknown form/)
  assertRefused(`${head} 08 00 00`, /truncated/)
  assertRefused(`${head} 07 00 00 01`, /behind the end/)
  assertRefused(`${head} 08 00 00 00 00`, /behind the end/)
  assertRefused(`${head} 08 00 01 09`, /more than 8/)
  assertRefused(`${head} 08 00 01 04 00 04`, /empty run/)
  assertRefused(`${head} 08 00 01 00 00`, /empty run/)
  assertRefused(`${head} 08 00 01 04`, /truncated/)
  assertRefused(`${head} 08 00 01 08 00`, /behind the end/)
  assertRefused(`${head} 08 00 01 08`, /8 pieces, expected 9/, 9)
  assertRefused('00'.repeat(MAX_GOSSIP_BYTES + 1), /at most/)
})
