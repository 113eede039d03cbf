import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from '../../../src/errors.ts'
import { FrameReader } from '../../../src/network/streams/frame-reader.ts'
import { BufferPool } from '../../../src/util/buffer-pool.ts'
import { concatBytes } from '../../../src/util/bytes.ts'
import { encodeMessage, encodePieceHeader } from '../../../src/wire/codec.ts'
import { encodeHandshake, type HandshakeFrame } from '../../../src/wire/handshake.ts'
import { type Message, WIRE_VERSION } from '../../../src/wire/messages.ts'

const LIMITS = { pieceCount: 100, maxPieceBytes: 5000 }
const HELLO: Message = { type: 'hello', version: WIRE_VERSION, pieceCount: 100, labels: {} }
const CONFIRM: HandshakeFrame = { type: 'confirm', proof: new Uint8Array(32).fill(5) }

type Frame = Message | HandshakeFrame | { type: 'piece'; piece: number; data: Uint8Array }

function encode(frame: Frame): Uint8Array {
  if (frame.type === 'piece') return concatBytes([encodePieceHeader(frame.piece, frame.data.byteLength), frame.data])
  return frame.type === 'open' || frame.type === 'answer' || frame.type === 'confirm'
    ? encodeHandshake(frame)
    : encodeMessage(frame)
}

function readerInto(frames: Frame[], buffers = new BufferPool(0)): FrameReader {
  const reader = new FrameReader(
    {
      handleMessage: message => {
        frames.push(message)
        if (message.type === 'hello') reader.setLimits(LIMITS)
      },
      handleHandshake: frame => frames.push(frame),
      checkPiece: () => {},
      handlePiece: ({ piece }, data) => frames.push({ type: 'piece', piece, data })
    },
    buffers
  )
  return reader
}

const pieces = fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 20 })
const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  pieces.map((pieces): Frame => ({ type: 'have', pieces })),
  pieces.map((pieces): Frame => ({ type: 'request', pieces, urgent: true })),
  fc
    .tuple(fc.integer({ min: 0, max: 99 }), fc.uint8Array({ minLength: 1, maxLength: 5000 }))
    .map(([piece, data]): Frame => ({ type: 'piece', piece, data }))
)

describe('the frame reader', () => {
  it('gives the same frames however the bytes were split', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 10 }), fc.array(fc.integer({ min: 1, max: 3000 })), (sent, sizes) => {
        const frames: Frame[] = []
        const reader = readerInto(frames)
        const bytes = concatBytes([CONFIRM, HELLO, ...sent].map(encode))
        let offset = 0
        for (const size of sizes) {
          // Each chunk in memory that is overwritten afterwards: nothing may refer to it.
          const chunk = bytes.slice(offset, offset + size)
          offset += size
          reader.push(chunk)
          chunk.fill(0xff)
        }
        reader.push(bytes.slice(offset))
        assert.deepEqual(frames, [CONFIRM, HELLO, ...sent])
        assert.equal(reader.midFrame, false)
      })
    )
  })

  it('throws nothing but a protocol error at any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), fc.boolean(), (chunks, greeted) => {
        const reader = readerInto([])
        if (greeted) reader.push(encode(HELLO))
        try {
          for (const chunk of chunks) reader.push(chunk)
        } catch (err) {
          assert.ok(err instanceof ProtocolError)
        }
      }),
      { numRuns: 2000 }
    )
  })

  it('takes no handshake after the hello, and none of another length', () => {
    const reader = readerInto([])
    reader.push(encode(HELLO))
    assert.throws(() => reader.push(encode(CONFIRM)), /handshake after hello/)
    for (const length of [32, 34, 0xffffffff]) {
      const head = encode(CONFIRM).slice(0, 5)
      new DataView(head.buffer).setUint32(0, length)
      assert.throws(() => readerInto([]).push(head), /frame of type 15 with length/)
    }
  })

  it('takes nothing for a piece that the sink refuses', () => {
    const pool = new BufferPool(10_000)
    pool.give(new Uint8Array(1000))
    const reader = new FrameReader(
      {
        handleMessage: () => reader.setLimits(LIMITS),
        handleHandshake: () => assert.fail(),
        checkPiece: () => {
          throw new ProtocolError('not requested')
        },
        handlePiece: () => assert.fail()
      },
      pool
    )
    reader.push(encode(HELLO))
    assert.throws(() => reader.push(encodePieceHeader(1, 1000)), /not requested/)
    assert.equal(pool.freeBytes, 1000)
  })

  it('gives the buffer of an unfinished piece back when it is ended', () => {
    const pool = new BufferPool(10_000)
    const reader = readerInto([], pool)
    reader.push(encode(HELLO))
    reader.push(encodePieceHeader(1, 1000))
    reader.push(new Uint8Array(10))
    assert.equal(reader.midFrame, true)
    reader.end()
    assert.equal(pool.freeBytes, 1000)
    reader.push(new Uint8Array(2000))
  })
})
