/**
 * Both sides of the proof that opens a stream (wire/handshake.ts): each keeps what its next step must be
 * over.
 *
 * Invariants: the answering side says nothing before the opener has proven the root; the opener says nothing
 * but its `open` before the answerer has; nothing of the content goes before that. A step out of order, or a
 * proof that is not ours, is a `ProtocolError`, and the stream is over. Used by peer-streams.ts,
 * piece-connections.ts and piece-list-fetch.ts.
 */

import { randomBytes } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import {
  type Answer,
  type Confirm,
  encodeHandshake,
  isProven,
  NONCE_BYTES,
  type Open,
  prove,
  type RootKey,
  type Transcript
} from '../../wire/handshake.ts'
import { isChannelBound } from '../transport/fast-path.ts'

const NOT_PROVEN = 'the root is not proven'
/** Checked against where the key digest is not known, so that both take the same time. */
const NO_ROOT: RootKey = { digest: new Uint8Array(32), proofKey: new Uint8Array(randomBytes(32)) }

/** What both sides know of a stream before anything is said on it. */
export interface StreamParties {
  readonly protocol: string
  readonly self: string
  readonly peer: string
  /** What ties a proof to the connection; undefined where the encryption exports nothing. */
  readonly binding: Uint8Array | undefined
}

export function partiesOf(protocol: string, self: string, stream: Stream, connection: Connection): StreamParties {
  const binding = isChannelBound(stream) ? stream.channelBinding() : undefined
  return { protocol, self, peer: connection.remotePeer.toString(), binding }
}

/** A stream that we open. */
export class OpeningHandshake {
  /** The first frame. */
  readonly open: Uint8Array
  readonly #key: RootKey
  readonly #parties: StreamParties
  readonly #transcript: Transcript
  #isProven = false

  constructor(key: RootKey, parties: StreamParties) {
    this.#key = key
    this.#parties = parties
    const nonce = new Uint8Array(randomBytes(NONCE_BYTES))
    const { protocol, self, peer, binding } = parties
    this.#transcript = { protocol, opener: self, answerer: peer, openerNonce: nonce }
    const proof = prove('open', key, this.#transcript)
    this.open = encodeHandshake({ type: 'open', digest: key.digest, nonce, canBind: binding !== undefined, proof })
  }

  /** The answerer has proven the root. */
  get isProven(): boolean {
    return this.#isProven
  }

  /** The last frame of the handshake, after which anything may be said. */
  handleAnswer({ isBound, nonce, proof }: Answer): Uint8Array {
    if (this.#isProven) throw new ProtocolError('second answer')
    const { binding } = this.#parties
    if (isBound && binding === undefined) throw new ProtocolError('bound to a channel that exports nothing')
    const transcript = { ...this.#transcript, answererNonce: nonce, binding: isBound ? binding : undefined }
    if (!isProven(proof, prove('answer', this.#key, transcript))) throw new ProtocolError(NOT_PROVEN)
    this.#isProven = true
    return encodeHandshake({ type: 'confirm', proof: prove('confirm', this.#key, transcript) })
  }
}

/** A stream that a peer opened. */
export class AnsweringHandshake {
  /** The answer, to be sent when nothing else speaks against it. */
  readonly answer: Uint8Array
  readonly #expected: Uint8Array
  #isProven = false

  private constructor(key: RootKey, transcript: Transcript) {
    const isBound = transcript.binding !== undefined
    const nonce = transcript.answererNonce as Uint8Array
    this.answer = encodeHandshake({ type: 'answer', isBound, nonce, proof: prove('answer', key, transcript) })
    this.#expected = prove('confirm', key, transcript)
  }

  /** Undefined where the opener does not know the root, or we do not: it cannot tell which. */
  static of(open: Open, key: RootKey | undefined, parties: StreamParties): AnsweringHandshake | undefined {
    const { protocol, self, peer, binding } = parties
    const transcript = { protocol, opener: peer, answerer: self, openerNonce: open.nonce }
    const isMember = isProven(open.proof, prove('open', key ?? NO_ROOT, transcript))
    if (!isMember || key === undefined) return undefined
    return new AnsweringHandshake(key, {
      ...transcript,
      answererNonce: new Uint8Array(randomBytes(NONCE_BYTES)),
      binding: open.canBind ? binding : undefined
    })
  }

  /** The opener has confirmed: pieces and lists may go. */
  get isProven(): boolean {
    return this.#isProven
  }

  handleConfirm({ proof }: Confirm): void {
    if (this.#isProven) throw new ProtocolError('second confirmation')
    if (!isProven(proof, this.#expected)) throw new ProtocolError(NOT_PROVEN)
    this.#isProven = true
  }
}
