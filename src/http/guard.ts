/**
 * Who may ask, decided before any handler: the Host check, the origin check, who it is, and whether that
 * caller may use the route.
 *
 * Invariants: a web page of another origin cannot drive the daemon (its requests carry a foreign `Origin` or
 * `Sec-Fetch-Site`; a page that rebinds its own name to our address carries that name as `Host`); a route is
 * for `admin` and the whole daemon unless it says otherwise. Called by server.ts.
 */

import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Access } from '../daemon/access/access.ts'
import { type Caller, checkReach, checkScope } from '../daemon/access/caller.ts'
import { InvalidOptionsError, RequestRefusedError } from '../errors.ts'
import { callerAddress } from './address-group.ts'

interface ContentPlace {
  root: string
  path: string | null
}

/** Where contents are, for tokens that are for certain contents or folders. */
export interface ContentPlaces {
  /** Undefined when no task has this root. */
  ofRoot(root: string): ContentPlace | undefined
  /** Throws `NotFoundError`. */
  get(taskId: string): ContentPlace
}

interface GuardInit {
  access: Access
  contents: ContentPlaces
  allowHosts: readonly string[]
  corsOrigins: readonly string[]
}

export const SESSION_COOKIE = 'swarm_session'

type Headers = FastifyRequest['headers']

/**
 * The caller. Throws `RequestRefusedError` ('forbidden', 'unauthorized', 'too_many_requests') or
 * `InvalidOptionsError`.
 */
export function identify(request: FastifyRequest, { access, allowHosts, corsOrigins }: GuardInit): Caller {
  const { headers, method, routeOptions } = request
  checkSingleHost(request.raw.rawHeaders)
  checkHost(headers.host, allowHosts)
  checkOrigin(method, headers, corsOrigins)
  return access.callerOf({
    authorization: headers.authorization,
    session: cookieValue(headers.cookie, SESSION_COOKIE),
    signed: routeOptions.config.takesSignature === true ? signedPart(request) : undefined,
    address: callerAddress(request)
  })
}

/** Throws `RequestRefusedError` ('forbidden', 'unauthorized') for a route that the caller may not use. */
export function authorize(request: FastifyRequest, { contents, corsOrigins }: GuardInit): void {
  const { caller, headers, method, routeOptions } = request
  const { config } = routeOptions
  const isPreflight = method === 'OPTIONS' && corsOrigins.includes(headers.origin ?? '')
  if (isPreflight || config.isPublic === true) return
  if (caller.trust === 'nobody')
    throw new RequestRefusedError('unauthorized', 'this daemon asks for a token (Authorization: Bearer …)')
  checkScope(caller, config.scope ?? 'admin')
  if (caller.reach === undefined || config.reach === 'handler') return
  const { id = '', root = '' } = request.params as { id?: string; root?: string }
  if (config.reach === 'root') checkReach(caller, contents.ofRoot(root) ?? { root, path: null })
  else checkReach(caller, config.reach === 'task' ? contents.get(id) : undefined)
}

function signedPart(request: FastifyRequest): { path: string; query: { expires?: unknown; signature?: unknown } } {
  return { path: request.url.split('?')[0] ?? '', query: request.query as { expires?: unknown; signature?: unknown } }
}

/** A proxy in front may judge one of two and we the other. */
function checkSingleHost(rawHeaders: readonly string[]): void {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === 'host') hosts++
  if (hosts > 1) throw new InvalidOptionsError('the request has more than one Host header', { field: 'host' })
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

function checkOrigin(method: string, headers: Headers, corsOrigins: readonly string[]): void {
  const { origin, host } = headers
  if (origin !== undefined && corsOrigins.includes(origin)) return
  const refuse = (): never => {
    throw new RequestRefusedError('forbidden', 'pages of other origins may not use this daemon (option cors-origin)')
  }
  const isRead = method === 'GET' || method === 'HEAD'
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) refuse()
  const site = headers['sec-fetch-site']
  // Following a link to us is a person's choice; everything else that another site starts is not.
  const isNavigation = isRead && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  if ((site === 'cross-site' || site === 'same-site') && !isNavigation) refuse()
}

export function cookieValue(header: string | undefined, name: string): string | undefined {
  for (const pair of header?.split(';') ?? []) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim()
  }
  return undefined
}
