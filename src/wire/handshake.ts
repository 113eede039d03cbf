/**
 * The first frames of a peer stream, of a piece connection and of a question for a piece list: both sides
 * prove that they know the root, and the root never travels.
 *
 *   open    (opener)    key digest, 32 | nonce, 32 | u8 bindings that the opener has | proof, 32
 *   answer  (answerer)  u8 binding that counts | nonce, 32 | proof, 32
 *   confirm (opener)    proof, 32
 *
 * The content is named by the digest of its DHT key, which anybody may know. A proof is a keyed BLAKE3 under
 * a key that follows from the root, over the protocol, the step, both peer ids, the nonces and what ties it
 * to this connection: it says nothing to those who do not know the root, and is of no use between other
 * peers, on another protocol or in another step. The answerer checks `open` before it says anything at all.
 *
 * Pure: nonces and bindings are handed in. Used by the network's handshake. docs/PROTOCOL.md is the
 * specification.
 */

import { blake3 } from '@noble/hashes/blake3.js'
import { dhtKey } from '../content/dht-key.ts'
import { ProtocolError } from '../errors.ts'
import { encodeUtf8 } from '../util/bytes.ts'
import { BytesReader } from './bytes-reader.ts'
import { BytesWriter } from './bytes-writer.ts'
import { MAX_TEXT_BYTES } from './messages.ts'

/** The type byte of each frame; those of messages are in codec.ts. */
export const HANDSHAKE_FRAME_TYPES = { open: 13, answer: 14, confirm: 15 } as const

export const NONCE_BYTES = 32
const PROOF_BYTES = 32
const DIGEST_BYTES = 32
/** What ties a proof to its connection: nothing, or keying material that TLS exports. */
const NO_BINDING = 0
const TLS_EXPORTER = 1
/** Label of the exporter (RFC 8446 7.5), without a context, and bytes of it. */
export const TLS_EXPORTER_LABEL = 'EXPORTER-swarm-root-proof-1'
export const TLS_EXPORTER_BYTES = 32

/** Context of BLAKE3's key derivation; the root is the key material. */
const KEY_CONTEXT = 'swarm 2026-11-30 root proof 1'

/** A content as strangers know it, and as its members prove that they know it. */
export interface RootKey {
  /** SHA-256 digest in the DHT key. */
  readonly digest: Uint8Array
  readonly proofKey: Uint8Array
}

export interface Open {
  type: 'open'
  digest: Uint8Array
  nonce: Uint8Array
  canBind: boolean
  proof: Uint8Array
}

export interface Answer {
  type: 'answer'
  isBound: boolean
  nonce: Uint8Array
  proof: Uint8Array
}

export interface Confirm {
  type: 'confirm'
  proof: Uint8Array
}

export type HandshakeFrame = Open | Answer | Confirm

/** What a proof is over, besides its step. */
export interface Transcript {
  protocol: string
  /** Peer ids as text. */
  opener: string
  answerer: string
  openerNonce: Uint8Array
  /** Unknown while the stream is opened. */
  answererNonce?: Uint8Array | undefined
  /** Exported by TLS, where both sides can. */
  binding?: Uint8Array | undefined
}

export function rootKeyOf(root: Uint8Array): RootKey {
  return { digest: dhtKey(root).multihash.digest, proofKey: blake3(root, { context: encodeUtf8(KEY_CONTEXT) }) }
}

export function prove(step: HandshakeFrame['type'], { proofKey }: RootKey, transcript: Transcript): Uint8Array {
  const writer = new BytesWriter(320)
  writer.text(transcript.protocol, MAX_TEXT_BYTES)
  writer.text(step, MAX_TEXT_BYTES)
  writer.text(transcript.opener, MAX_TEXT_BYTES)
  writer.text(transcript.answerer, MAX_TEXT_BYTES)
  writer.put(transcript.openerNonce)
  if (transcript.answererNonce !== undefined) writer.put(transcript.answererNonce)
  if (transcript.binding !== undefined) writer.put(transcript.binding)
  return blake3(writer.finish(), { key: proofKey })
}

/** Whether a received proof is ours. In the same time wherever they differ. */
export function isProven(received: Uint8Array, expected: Uint8Array): boolean {
  let difference = received.byteLength ^ expected.byteLength
  for (let i = 0; i < expected.byteLength; i++) difference |= (received[i] ?? 0) ^ (expected[i] as number)
  return difference === 0
}

/** The whole frame. */
export function encodeHandshake(frame: HandshakeFrame): Uint8Array {
  const writer = new BytesWriter(128)
  writer.u32(0)
  writer.u8(HANDSHAKE_FRAME_TYPES[frame.type])
  if (frame.type === 'open') {
    writer.put(frame.digest)
    writer.put(frame.nonce)
    writer.u8(frame.canBind ? TLS_EXPORTER : NO_BINDING)
  } else if (frame.type === 'answer') {
    writer.u8(frame.isBound ? TLS_EXPORTER : NO_BINDING)
    writer.put(frame.nonce)
  }
  writer.put(frame.proof)
  writer.patchU32(0, writer.length - 4)
  return writer.finish()
}

/** Longest body of this type, in bytes; undefined for a type that is none of a handshake. */
export function handshakeBodyBytes(type: number): number | undefined {
  if (type === HANDSHAKE_FRAME_TYPES.open) return DIGEST_BYTES + NONCE_BYTES + 1 + PROOF_BYTES
  if (type === HANDSHAKE_FRAME_TYPES.answer) return 1 + NONCE_BYTES + PROOF_BYTES
  return type === HANDSHAKE_FRAME_TYPES.confirm ? PROOF_BYTES : undefined
}

/** The frame in a body (without length and type), copied. Throws `ProtocolError`. */
export function decodeHandshake(type: number, body: Uint8Array): HandshakeFrame {
  const reader = new BytesReader(body.slice())
  const frame = decodeFrame(type, reader)
  reader.end('handshake')
  return frame
}

function decodeFrame(type: number, reader: BytesReader): HandshakeFrame {
  switch (type) {
    case HANDSHAKE_FRAME_TYPES.open:
      return {
        type: 'open',
        digest: reader.take(DIGEST_BYTES, 'key digest'),
        nonce: reader.take(NONCE_BYTES, 'nonce'),
        canBind: decodeBinding(reader),
        proof: reader.take(PROOF_BYTES, 'proof')
      }
    case HANDSHAKE_FRAME_TYPES.answer:
      return {
        type: 'answer',
        isBound: decodeBinding(reader),
        nonce: reader.take(NONCE_BYTES, 'nonce'),
        proof: reader.take(PROOF_BYTES, 'proof')
      }
    case HANDSHAKE_FRAME_TYPES.confirm:
      return { type: 'confirm', proof: reader.take(PROOF_BYTES, 'proof') }
    default:
      throw new ProtocolError(`frame type ${type} is no handshake`)
  }
}

function decodeBinding(reader: BytesReader): boolean {
  const binding = reader.u8('binding')
  if (binding > TLS_EXPORTER) throw new ProtocolError(`unknown binding ${binding}`)
  return binding === TLS_EXPORTER
}
