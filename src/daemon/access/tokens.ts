/**
 * The tokens that an operator gave out, in `tokens.json` of the state folder.
 *
 * Invariants: only hashes are kept; a change is on disk before it is answered; a token that expired or was
 * revoked is nobody's from that moment on. Called by access.ts and the routes.
 */

import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidOptionsError, NotFoundError, RequestRefusedError, StoreError } from '../../errors.ts'
import type { Caller, Scope } from './caller.ts'
import { hashSecret, newToken } from './secrets.ts'

export interface TokenRecord {
  readonly id: string
  readonly name: string
  /** SHA-256 of the token, hex. */
  readonly hash: string
  readonly scopes: readonly Scope[]
  readonly roots: readonly string[]
  readonly folders: readonly string[]
  readonly createdMs: number
  /** Undefined: never. */
  readonly expiresMs: number | undefined
}

type NewTokenRequest = Pick<TokenRecord, 'name' | 'scopes' | 'roots' | 'folders' | 'expiresMs'>

const FILE = 'tokens.json'
const MAX_TOKENS = 1000

export class TokenStore {
  readonly #path: string
  #byHash = new Map<string, TokenRecord>()

  /**
   * Throws `StoreError` when the file is there and cannot be read: going on without it would lose all tokens
   * with the next change.
   */
  constructor(stateDir: string) {
    this.#path = join(stateDir, FILE)
    try {
      const records = JSON.parse(readFileSync(this.#path, 'utf8')) as TokenRecord[]
      this.#byHash = new Map(records.map(record => [record.hash, record]))
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new StoreError('cannot read the tokens; repair or delete the file', this.#path, err)
    }
  }

  list(): TokenRecord[] {
    return [...this.#byHash.values()]
  }

  /** The token itself is told here and never again. */
  create(request: NewTokenRequest, nowMs = Date.now()): { token: string; record: TokenRecord } {
    if (this.#byHash.size >= MAX_TOKENS)
      throw new RequestRefusedError('conflict', `there are ${MAX_TOKENS} tokens already; revoke some`)
    if (this.list().some(({ name }) => name === request.name))
      throw new RequestRefusedError('conflict', `there is a token "${request.name}" already; revoke it first`)
    if (request.expiresMs !== undefined && request.expiresMs <= nowMs)
      throw new InvalidOptionsError('expiresMs: is in the past', { field: 'expiresMs' })
    const token = newToken()
    const record = { ...request, id: randomBytes(4).toString('hex'), hash: hashSecret(token), createdMs: nowMs }
    this.#save([...this.list(), record])
    return { token, record }
  }

  /** By id or name. */
  revoke(idOrName: string): TokenRecord {
    const record = this.list().find(({ id, name }) => id === idOrName || name === idOrName)
    if (record === undefined) throw new NotFoundError('no such token', { token: idOrName })
    this.#save(this.list().filter(each => each !== record))
    return record
  }

  /** Who shows this token; undefined when it is none of ours, or ended. */
  callerOf(token: string, nowMs = Date.now()): Caller | undefined {
    return asCaller(this.#byHash.get(hashSecret(token)), nowMs)
  }

  callerOfId(id: string, nowMs = Date.now()): Caller | undefined {
    return asCaller(
      this.list().find(record => record.id === id),
      nowMs
    )
  }

  #save(records: readonly TokenRecord[]): void {
    const fresh = `${this.#path}.${process.pid}`
    try {
      writeFileSync(fresh, `${JSON.stringify(records, undefined, 2)}\n`, { mode: 0o600 })
      const fd = openSync(fresh, 'r+')
      fsyncSync(fd)
      closeSync(fd)
      renameSync(fresh, this.#path)
    } catch (err) {
      throw new StoreError('cannot keep the tokens', this.#path, err)
    }
    this.#byHash = new Map(records.map(record => [record.hash, record]))
  }
}

function asCaller(record: TokenRecord | undefined, nowMs: number): Caller | undefined {
  if (record === undefined || (record.expiresMs !== undefined && record.expiresMs <= nowMs)) return undefined
  const { id, name, scopes, roots, folders, expiresMs } = record
  const reach = roots.length + folders.length === 0 ? undefined : { roots, folders }
  return { trust: 'token', name, tokenId: id, scopes, reach, expiresMs }
}
