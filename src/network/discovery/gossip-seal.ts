/**
 * Gossip of a root is sealed for those who know the root: others can neither read it nor make any, and what
 * they make is recognised before its signature is checked, which costs a hundred times as much.
 *
 *   payload = nonce, 12 | AES-256-GCM of the message (wire/gossip.ts) | tag, 16
 *
 * The key follows from the root; the topic and the author's peer id as text are authenticated with it, so
 * that a payload cannot be sent on in another name. Used by gossip.ts.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { blake3 } from '@noble/hashes/blake3.js'
import { encodeUtf8 } from '../../util/bytes.ts'
import { MAX_GOSSIP_BYTES } from '../../wire/gossip.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
export const SEAL_BYTES = NONCE_BYTES + TAG_BYTES
const KEY_CONTEXT = encodeUtf8('swarm 2026-11-30 gossip 1')

export class GossipSeal {
  readonly #key: Uint8Array
  readonly #topic: string

  constructor(root: Uint8Array, topic: string) {
    this.#key = blake3(root, { context: KEY_CONTEXT })
    this.#topic = topic
  }

  seal(message: Uint8Array, author: string, nonce: Uint8Array = randomBytes(NONCE_BYTES)): Uint8Array {
    const cipher = createCipheriv(CIPHER, this.#key, nonce).setAAD(this.#over(author))
    return new Uint8Array(Buffer.concat([nonce, cipher.update(message), cipher.final(), cipher.getAuthTag()]))
  }

  /** The message; undefined for what nobody who knows the root has sealed for this topic and author. */
  open(payload: Uint8Array, author: string): Uint8Array | undefined {
    const end = payload.byteLength - TAG_BYTES
    if (end < NONCE_BYTES || payload.byteLength > MAX_GOSSIP_BYTES + SEAL_BYTES) return undefined
    const decipher = createDecipheriv(CIPHER, this.#key, payload.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAAD(this.#over(author)).setAuthTag(payload.subarray(end))
    try {
      return new Uint8Array(Buffer.concat([decipher.update(payload.subarray(NONCE_BYTES, end)), decipher.final()]))
    } catch {
      return undefined
    }
  }

  #over(author: string): Uint8Array {
    return encodeUtf8(`${this.#topic}\n${author}`)
  }
}
