import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from '../../src/errors.ts'
import { FRAME_TYPES, PIECE_FRAME_TYPE } from '../../src/wire/codec.ts'
import {
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_FRAME_TYPES,
  type HandshakeFrame,
  handshakeBodyBytes,
  isProven,
  prove,
  rootKeyOf,
  type Transcript
} from '../../src/wire/handshake.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const anyFrame: fc.Arbitrary<HandshakeFrame> = fc.oneof(
  fc.record(
    { type: fc.constant('open' as const), digest: bytes32, nonce: bytes32, canBind: fc.boolean(), proof: bytes32 },
    { noNullPrototype: true }
  ),
  fc.record(
    { type: fc.constant('answer' as const), isBound: fc.boolean(), nonce: bytes32, proof: bytes32 },
    { noNullPrototype: true }
  ),
  fc.record({ type: fc.constant('confirm' as const), proof: bytes32 }, { noNullPrototype: true })
)

const ROOT = new Uint8Array(32).fill(7)
const TRANSCRIPT: Transcript = {
  protocol: '/swarm/pieces/2.0.0',
  opener: '12D3KooWa',
  answerer: '12D3KooWb',
  openerNonce: new Uint8Array(32).fill(1),
  answererNonce: new Uint8Array(32).fill(2),
  binding: new Uint8Array(32).fill(3)
}

describe('a frame of the handshake', () => {
  it('reads back to what was written, and refers to no buffer of the reader', () => {
    fc.assert(
      fc.property(anyFrame, frame => {
        const bytes = encodeHandshake(frame)
        const type = bytes[4] as number
        const body = bytes.slice(5)
        assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), bytes.byteLength - 4)
        assert.equal(handshakeBodyBytes(type), body.byteLength)
        const decoded = decodeHandshake(type, body)
        body.fill(0xff)
        assert.deepEqual(decoded, frame)
      })
    )
  })

  it('is refused when it is too short, too long, or names a binding that does not exist', () => {
    fc.assert(
      fc.property(anyFrame, frame => {
        const bytes = encodeHandshake(frame)
        const type = bytes[4] as number
        assert.throws(() => decodeHandshake(type, bytes.subarray(5, -1)), ProtocolError)
        assert.throws(() => decodeHandshake(type, Uint8Array.of(...bytes.subarray(5), 0)), ProtocolError)
        if (frame.type === 'confirm') return
        bytes[frame.type === 'open' ? 69 : 5] = 2
        assert.throws(() => decodeHandshake(type, bytes.subarray(5)), /unknown binding 2/)
      })
    )
  })

  it('has a type byte that is no message', () => {
    const types = [...Object.values(HANDSHAKE_FRAME_TYPES), ...Object.values(FRAME_TYPES), PIECE_FRAME_TYPE]
    assert.equal(new Set(types).size, types.length)
    for (const type of [0, FRAME_TYPES.hello, PIECE_FRAME_TYPE, 255]) assert.equal(handshakeBodyBytes(type), undefined)
  })
})

describe('a proof', () => {
  it('is another one for another root, step, protocol, peer, nonce or connection', () => {
    const proofs = [prove('answer', rootKeyOf(ROOT), TRANSCRIPT)]
    const other = new Uint8Array(32).fill(9)
    proofs.push(prove('answer', rootKeyOf(other), TRANSCRIPT))
    proofs.push(prove('confirm', rootKeyOf(ROOT), TRANSCRIPT))
    proofs.push(prove('open', rootKeyOf(ROOT), TRANSCRIPT))
    for (const change of [
      { protocol: '/swarm/lane/2.0.0' },
      { opener: '12D3KooWc' },
      { answerer: '12D3KooWc' },
      { opener: TRANSCRIPT.answerer, answerer: TRANSCRIPT.opener },
      { openerNonce: other },
      { answererNonce: other },
      { binding: other },
      { binding: undefined }
    ]) {
      proofs.push(prove('answer', rootKeyOf(ROOT), { ...TRANSCRIPT, ...change }))
    }
    for (const [i, a] of proofs.entries()) for (const [j, b] of proofs.entries()) assert.equal(isProven(a, b), i === j)
  })

  it('is wrong when any bit or its length is', () => {
    const proof = prove('answer', rootKeyOf(ROOT), TRANSCRIPT)
    for (let bit = 0; bit < 256; bit++) {
      const changed = proof.slice()
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      assert.equal(isProven(changed, proof), false)
    }
    assert.equal(isProven(proof.subarray(0, 31), proof), false)
    assert.equal(isProven(new Uint8Array(0), proof), false)
    assert.equal(isProven(proof.slice(), proof), true)
  })
})
