import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bitfield } from '../../src/content/bitfield.ts'
import {
  DEFAULT_PIECE_LENGTH,
  defaultPieceLength,
  Geometry,
  isPieceLength,
  MAX_CONTENT_LENGTH,
  MAX_PIECE_COUNT,
  MAX_PIECE_LENGTH,
  MIN_PIECE_LENGTH
} from '../../src/content/geometry.ts'

const pieceLengths = fc.integer({ min: 14, max: 24 }).map(power => 2 ** power)

test('pieces follow each other without gap and sum up to the length', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 50_000_000 }), pieceLengths, (length, pieceLength) => {
      const geometry = new Geometry(length, pieceLength)
      let offset = 0
      for (let piece = 0; piece < geometry.pieceCount; piece++) {
        assert.equal(geometry.pieceOffset(piece), offset)
        const bytes = geometry.pieceBytes(piece)
        assert.ok(bytes >= 1 && bytes <= pieceLength)
        offset += bytes
      }
      assert.equal(offset, length)
      assert.equal(geometry.hasPiece(geometry.pieceCount), false)
    }),
    { numRuns: 200 }
  )
})

test('the pieces of a range are those that hold its first and last byte, and no others', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(2 ** 40), fc.nat(2 ** 40), (length, a, b) => {
      const geometry = new Geometry(length, MAX_PIECE_LENGTH)
      const [start, end] = [Math.min(a, b) % length, Math.max(a, b) % (length + 1)]
      const range = geometry.piecesOfRange(start, end)
      if (end <= start) return assert.equal(range, undefined)
      assert.ok(range !== undefined && geometry.hasPiece(range.first) && geometry.hasPiece(range.last))
      assert.ok(geometry.pieceOffset(range.first) <= start)
      assert.ok(start < geometry.pieceOffset(range.first) + geometry.pieceBytes(range.first))
      assert.ok(geometry.pieceOffset(range.last) < end)
      assert.ok(end <= geometry.pieceOffset(range.last) + geometry.pieceBytes(range.last))
    })
  )
})

test('the default piece length is 256 KiB, grows with the content and always fits it', () => {
  const MIB = 2 ** 20
  const GIB = 2 ** 30
  assert.equal(defaultPieceLength(0), DEFAULT_PIECE_LENGTH)
  // At most 512 pieces until one has 1 MiB ...
  assert.equal(defaultPieceLength(128 * MIB), DEFAULT_PIECE_LENGTH)
  assert.equal(defaultPieceLength(128 * MIB + 1), 2 * DEFAULT_PIECE_LENGTH)
  assert.equal(defaultPieceLength(256 * MIB + 1), MIB)
  // ... and from there at most 16,384.
  assert.equal(defaultPieceLength(16 * GIB), MIB)
  assert.equal(defaultPieceLength(16 * GIB + 1), 2 * MIB)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX_CONTENT_LENGTH }), length => {
      const pieceLength = defaultPieceLength(length)
      assert.ok(isPieceLength(pieceLength))
      assert.ok(new Geometry(length, pieceLength).pieceCount <= MAX_PIECE_COUNT)
    })
  )
})

test('values out of bounds are refused', () => {
  assert.throws(() => new Geometry(-1, MIN_PIECE_LENGTH), RangeError)
  assert.throws(() => new Geometry(1.5, MIN_PIECE_LENGTH), RangeError)
  assert.throws(() => new Geometry(MAX_CONTENT_LENGTH + 1, MAX_PIECE_LENGTH), RangeError)
  for (const value of [0, 1, MIN_PIECE_LENGTH / 2, MIN_PIECE_LENGTH + 1, MAX_PIECE_LENGTH * 2, Number.NaN, '16384', null]) {
    assert.equal(isPieceLength(value), false)
  }
})

test('a bitfield behaves as a set of numbers, and survives its wire form', () => {
  fc.assert(
    fc.property(
      fc
        .integer({ min: 1, max: 300 })
        .chain(size => fc.tuple(fc.constant(size), fc.array(fc.tuple(fc.nat(size - 1), fc.boolean())))),
      ([size, steps]) => {
        const field = new Bitfield(size)
        const model = new Set<number>()
        for (const [piece, on] of steps) {
          assert.equal(on ? field.set(piece) : field.clear(piece), on !== model.has(piece))
          if (on) model.add(piece)
          else model.delete(piece)
          assert.equal(field.get(piece), on)
        }
        assert.deepEqual(
          [...field.ones()],
          [...model].sort((a, b) => a - b)
        )
        assert.equal(field.count, model.size)
        assert.equal(field.isEmpty, model.size === 0)
        assert.equal(field.isFull, model.size === size)
        const copy = Bitfield.fromBytes(field.toBytes(), size)
        assert.deepEqual([...copy.ones()], [...field.ones()])
        assert.equal(copy.count, field.count)
      }
    )
  )
})

test('a full bitfield has every piece and nothing behind them', () => {
  for (const size of [0, 1, 7, 8, 9, 64, 1000]) {
    const full = Bitfield.full(size)
    assert.equal([...full.ones()].length, size)
    assert.ok(full.isFull)
    assert.equal(Bitfield.fromBytes(full.toBytes(), size).count, size)
  }
})

test('wire bits of a wrong length or behind the end are refused', () => {
  assert.throws(() => Bitfield.fromBytes(new Uint8Array(2), 8), RangeError)
  assert.throws(() => Bitfield.fromBytes(Uint8Array.of(0, 1), 15), RangeError)
  assert.throws(() => new Bitfield(8).set(8), RangeError)
  assert.throws(() => new Bitfield(8).clear(-1), RangeError)
})
