/**
 * From what a request shows to who it is: the secret of the state folder, a token, a session's cookie, a
 * signed URL, or nothing.
 *
 * Invariants: the daemon always has a token (the operator's, or one of its own in the state folder); secrets
 * are compared in constant time; a request that shows a wrong secret is refused even where none is needed.
 * Called by the guard and the routes of access.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RequestRefusedError, StoreError } from '../../errors.ts'
import type { Refusals } from '../refusals.ts'
import { type Caller, everything, NOBODY } from './caller.ts'
import { FailedLogins } from './failed-logins.ts'
import { newToken, sameSecret } from './secrets.ts'
import { Sessions } from './sessions.ts'
import { UrlSigner } from './signed-urls.ts'
import { TokenStore } from './tokens.ts'

interface AccessInit {
  stateDir: string
  /** What the operator chose; undefined: the daemon has a token of its own. */
  token: string | undefined
  /** Written to the state folder at each start, for the commands of the same user. */
  localSecret: string
  /** Whether everybody on loopback may do everything. */
  isOpen: boolean
  refusals: Refusals
}

interface ShownRequest {
  /** `Authorization`. */
  authorization: string | undefined
  session: string | undefined
  /** Of a gateway address. */
  signed: { path: string; query: { expires?: unknown; signature?: unknown } } | undefined
  address: string
}

/** Of the daemon's own token, and of what the operator chose. */
const OWN_ID = 'own'
const OWN_FILE = 'token'

export class Access {
  readonly tokens: TokenStore
  readonly sessions = new Sessions()
  readonly #init: AccessInit
  readonly #signer: UrlSigner
  readonly #failedLogins = new FailedLogins()
  readonly #ownToken: string | undefined

  /** Throws `StoreError`. */
  constructor(init: AccessInit) {
    this.#init = init
    this.tokens = new TokenStore(init.stateDir)
    this.#signer = new UrlSigner(init.stateDir)
    this.#ownToken = init.token === undefined ? readOwnToken(join(init.stateDir, OWN_FILE)) : undefined
  }

  /** Throws `RequestRefusedError` for a secret that is wrong, over, or offered too often. */
  callerOf({ authorization, session, signed, address }: ShownRequest): Caller {
    const nowMs = Date.now()
    if (authorization !== undefined) {
      const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
      return this.callerOfToken(token ?? '', address)
    }
    if (session !== undefined) {
      const caller = this.#callerOfId(this.sessions.tokenOf(session, nowMs), nowMs)
      if (caller !== undefined) return caller
    }
    if (signed?.query.signature !== undefined) {
      const caller = this.#callerOfId(this.#signer.signerOf(signed.path, signed.query, nowMs), nowMs)
      if (caller === undefined)
        throw new RequestRefusedError('forbidden', 'the address has expired, or its signature is wrong; ask for a fresh one')
      return { ...caller, name: `${caller.name} (signed URL)`, scopes: ['read'] }
    }
    return this.#init.isOpen ? everything('open', 'open', OWN_ID) : NOBODY
  }

  /** Throws `RequestRefusedError` ('unauthorized', 'too_many_requests'). */
  callerOfToken(shown: string, address: string): Caller {
    const nowMs = Date.now()
    const { localSecret, token, refusals } = this.#init
    const known = sameSecret(shown, localSecret)
      ? everything('local', 'local', OWN_ID)
      : this.#ownToken !== undefined && sameSecret(shown, this.#ownToken)
        ? everything('token', 'daemon', OWN_ID)
        : this.tokens.callerOf(shown, nowMs)
    if (known !== undefined) return known
    const waitMs = this.#failedLogins.waitMs(address, nowMs)
    if (waitMs > 0) {
      refusals.record('login_slowed', address)
      throw new RequestRefusedError('too_many_requests', `too many wrong tokens from ${address}; wait`, {
        retryAfterMs: waitMs
      })
    }
    if (token !== undefined && sameSecret(shown, token)) {
      this.#failedLogins.succeeded(address)
      return everything('token', 'configured', OWN_ID)
    }
    this.#failedLogins.failed(address, nowMs)
    refusals.record('login_failed', address)
    throw new RequestRefusedError('unauthorized', 'the token is wrong, expired or revoked')
  }

  /** Logs in with a code of one login. Throws `RequestRefusedError`. */
  callerOfCode(code: string, address: string): Caller {
    const nowMs = Date.now()
    const caller = this.#callerOfId(this.sessions.useCode(code, nowMs), nowMs)
    if (caller !== undefined) return caller
    this.#init.refusals.record('login_failed', address)
    throw new RequestRefusedError('unauthorized', "this login was used or is over; run 'swarm dashboard' again")
  }

  beginSession(caller: Caller): string {
    return this.sessions.begin(caller.tokenId ?? OWN_ID, Date.now())
  }

  newCode(caller: Caller): string {
    return this.sessions.newCode(caller.tokenId ?? OWN_ID, Date.now())
  }

  /** A gateway path that may be read without a token until then, or until the caller's token ends. */
  signUrl(path: string, caller: Caller, expiresMs: number): { url: string; expiresMs: number } {
    const ends = Math.min(expiresMs, caller.expiresMs ?? Number.POSITIVE_INFINITY)
    return { url: this.#signer.sign(path, caller.tokenId ?? OWN_ID, ends), expiresMs: ends }
  }

  #callerOfId(id: string | undefined, nowMs: number): Caller | undefined {
    if (id === undefined) return undefined
    return id === OWN_ID
      ? everything('token', this.#ownToken === undefined ? 'configured' : 'daemon', OWN_ID)
      : this.tokens.callerOfId(id, nowMs)
  }
}

/** Made at the first start, and kept, so that scripts can rely on it. */
function readOwnToken(path: string): string {
  try {
    const token = readFileSync(path, 'utf8').trim()
    if (!/^[\x21-\x7e]{16,4096}$/.test(token)) throw new Error('holds no token; delete it')
    return token
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw new StoreError('cannot use the token', path, err)
  }
  const token = newToken()
  try {
    writeFileSync(path, `${token}\n`, { mode: 0o600, flag: 'wx' })
  } catch (err) {
    throw new StoreError('cannot keep the token', path, err)
  }
  return token
}
