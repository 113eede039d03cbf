/**
 * Who asks, and what that caller may do. Pure; called by the guard and the routes.
 *
 * Invariant: a route that says nothing needs `admin` and the whole daemon, so that a forgotten line locks out
 * instead of letting in.
 */

import { sep } from 'node:path'
import { RequestRefusedError } from '../../errors.ts'

/**
 * local: can read our state folder, so it is the same user, and may name any path. token: shows a token, or a
 * session or signed URL made with one. open: everybody on loopback, as the operator said. nobody: shows
 * nothing.
 */
type Trust = 'local' | 'token' | 'open' | 'nobody'

/** read: look and read contents. get: have contents downloaded. upload: bring some. admin: everything. */
const SCOPES = ['read', 'get', 'upload', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** Contents that a token is for: those with these roots, and those that lie in these folders. */
interface Reach {
  readonly roots: readonly string[]
  readonly folders: readonly string[]
}

export interface Caller {
  readonly trust: Trust
  /** For people: the token's name. */
  readonly name: string
  readonly tokenId: string | undefined
  readonly scopes: readonly Scope[]
  /** Undefined: all contents, and the daemon as a whole. */
  readonly reach: Reach | undefined
  /** When the token ends, in ms since 1970; undefined: never. */
  readonly expiresMs: number | undefined
}

export const NOBODY: Caller = {
  trust: 'nobody',
  name: 'nobody',
  tokenId: undefined,
  scopes: [],
  reach: undefined,
  expiresMs: undefined
}

/** A caller who may do everything. */
export function everything(trust: Trust, name: string, tokenId?: string): Caller {
  return { trust, name, tokenId, scopes: ['admin'], reach: undefined, expiresMs: undefined }
}

/** Throws `RequestRefusedError` ('forbidden'). */
export function checkScope(caller: Caller, scope: Scope): void {
  if (caller.scopes.includes('admin') || caller.scopes.includes(scope)) return
  throw new RequestRefusedError('forbidden', `the token "${caller.name}" may not do this: it lacks the scope ${scope}`, { scope })
}

export function mayReach({ reach }: Caller, content: { root: string; path: string | null }): boolean {
  if (reach === undefined || reach.roots.includes(content.root)) return true
  return content.path !== null && isInside(content.path, reach.folders)
}

/**
 * Throws `RequestRefusedError` ('forbidden') for a content, or with undefined for the daemon as a whole, that
 * the token is not for.
 */
export function checkReach(caller: Caller, content: { root: string; path: string | null } | undefined): void {
  if (content === undefined ? caller.reach === undefined : mayReach(caller, content)) return
  throw new RequestRefusedError('forbidden', `the token "${caller.name}" is for certain contents or folders, and not for this`)
}

function isInside(path: string, folders: readonly string[]): boolean {
  return folders.some(folder => path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep))
}
