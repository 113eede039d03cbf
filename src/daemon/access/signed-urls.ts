/**
 * Gateway addresses that carry their own permission: `?expires=<seconds since 1970>&signature=<token
 * id>.<HMAC>`.
 *
 * Invariants: the signature covers the path and the end, so neither can be changed; it ends with the token
 * that made it, revoked or expired. The key is in the state folder; deleting it ends all. Called by access.ts
 * and the routes.
 */

import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../../errors.ts'
import { sameSecret } from './secrets.ts'

const FILE = 'url-key'
const KEY_BYTES = 32

export class UrlSigner {
  readonly #key: Buffer

  constructor(stateDir: string) {
    const path = join(stateDir, FILE)
    try {
      this.#key = readKey(path)
    } catch (err) {
      throw new StoreError('cannot use the key of signed URLs', path, err)
    }
  }

  /** The path with what signs it. `expiresMs` is rounded up to whole seconds. */
  sign(path: string, tokenId: string, expiresMs: number): string {
    const expires = Math.ceil(expiresMs / 1000)
    return `${path}?expires=${expires}&signature=${tokenId}.${this.#mac(path, tokenId, expires)}`
  }

  /** The token that signed this path; undefined when nothing valid did, or it is over. */
  signerOf(path: string, query: { expires?: unknown; signature?: unknown }, nowMs: number): string | undefined {
    const { expires, signature } = query
    if (typeof expires !== 'string' || !/^\d{1,12}$/.test(expires) || typeof signature !== 'string') return undefined
    const [tokenId = '', mac = ''] = signature.split('.', 2)
    if (Number(expires) * 1000 <= nowMs || !sameSecret(mac, this.#mac(path, tokenId, Number(expires)))) return undefined
    return tokenId
  }

  #mac(path: string, tokenId: string, expires: number): string {
    return createHmac('sha256', this.#key)
      .update(`swarm url 1\n${tokenId}\n${expires}\n${decoded(path)}`)
      .digest('base64url')
  }
}

/** Clients differ in what they percent-encode. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function readKey(path: string): Buffer {
  try {
    const key = readFileSync(path)
    if (key.byteLength !== KEY_BYTES) throw new Error(`has ${key.byteLength} bytes and not ${KEY_BYTES}; delete it`)
    return key
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
    const key = randomBytes(KEY_BYTES)
    writeFileSync(path, key, { mode: 0o600, flag: 'wx' })
    return key
  }
}
