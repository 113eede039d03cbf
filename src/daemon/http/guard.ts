/**
 * Who may ask, decided before any handler: the Host check, the origin check and the token.
 *
 * Invariants: a web page of another origin cannot drive the daemon (its requests carry a foreign `Origin` or `Sec-Fetch-Site`; a page
 * that rebinds its own name to our address carries that name as `Host`); secrets are compared in constant time; a request that shows
 * a wrong secret is refused even where none is needed. Called by server.ts.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import { RequestRefusedError } from '../../errors.ts'

/** local: can read our state folder, so it is the same user. token: knows the operator's token. open: none is asked for. */
export type Trust = 'local' | 'token' | 'open'

export interface GuardOptions {
  token: string | undefined
  /** Written to the state folder at each start, for the CLI of the same user. */
  localSecret: string
  allowHosts: readonly string[]
  corsOrigins: readonly string[]
}

export interface GuardedRequest {
  method: string
  headers: Readonly<Record<string, string | string[] | undefined>>
  /** Needs no token: health, the dashboard's own files, logging in. */
  isPublic: boolean
}

export const SESSION_COOKIE = 'swarm_session'

/** Throws `RequestRefusedError` ('forbidden' or 'unauthorized'). */
export function checkRequest({ method, headers, isPublic }: GuardedRequest, options: GuardOptions): Trust {
  checkHost(one(headers.host), options.allowHosts)
  checkOrigin(method, headers, options.corsOrigins)
  const shown = one(headers.authorization)
  if (shown !== undefined) {
    const bearer = /^Bearer +(\S+) *$/i.exec(shown)?.[1]
    if (bearer !== undefined && sameSecret(bearer, options.localSecret)) return 'local'
    if (bearer !== undefined && options.token !== undefined && sameSecret(bearer, options.token)) return 'token'
    throw new RequestRefusedError('unauthorized', 'the token is wrong')
  }
  if (options.token === undefined) return 'open'
  const cookie = cookieValue(one(headers.cookie), SESSION_COOKIE)
  if (cookie !== undefined && sameSecret(cookie, sessionOf(options.token))) return 'token'
  if (isPublic) return 'open'
  throw new RequestRefusedError('unauthorized', 'this daemon asks for a token (Authorization: Bearer …)')
}

/** What the browser keeps in place of the token. */
export function sessionOf(token: string): string {
  return createHash('sha256').update('swarm session\n').update(token).digest('base64url')
}

export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}

/** Rebinding needs a name; an IP address, localhost and names that the operator gave are ours. */
function checkHost(host: string | undefined, allowHosts: readonly string[]): void {
  const name = (host ?? '')
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase()
  if (isIP(name) !== 0 || name === 'localhost' || allowHosts.some(allowed => allowed.toLowerCase() === name)) return
  throw new RequestRefusedError(
    'forbidden',
    `the host name "${name.slice(0, 100)}" is not one of this daemon's (option allow-host)`
  )
}

function checkOrigin(method: string, headers: GuardedRequest['headers'], corsOrigins: readonly string[]): void {
  const origin = one(headers.origin)
  if (origin !== undefined && corsOrigins.includes(origin)) return
  const refuse = (): never => {
    throw new RequestRefusedError('forbidden', 'pages of other origins may not use this daemon (option cors-origin)')
  }
  const isRead = method === 'GET' || method === 'HEAD'
  const host = one(headers.host)
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) refuse()
  const site = one(headers['sec-fetch-site'])
  // Following a link to us is a person's choice; everything else that another site starts is not.
  const isNavigation = isRead && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  if ((site === 'cross-site' || site === 'same-site') && !isNavigation) refuse()
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function cookieValue(header: string | undefined, name: string): string | undefined {
  for (const pair of header?.split(';') ?? []) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim()
  }
  return undefined
}
