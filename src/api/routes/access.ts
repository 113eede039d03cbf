/**
 * The routes of access: tokens, logging a browser in, signed addresses of the gateway. Thin: access/ does the
 * work. Called by api.ts.
 */

import { isAbsolute, resolve } from 'node:path'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type Caller, checkReach } from '../../daemon/access/caller.ts'
import { SESSION_MS } from '../../daemon/access/sessions.ts'
import type { TokenRecord } from '../../daemon/access/tokens.ts'
import { InvalidOptionsError, NotFoundError } from '../../errors.ts'
import { callerAddress } from '../../http/address-group.ts'
import { cookieValue, SESSION_COOKIE } from '../../http/guard.ts'
import { Empty, Id, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import {
  CreatedToken,
  Login,
  LoginAddress,
  LoginReply,
  NewToken,
  SignedUrl,
  SignUrl,
  TokenList,
  type TokenView
} from '../schema/access.ts'

const MAX_URL_MS = 30 * 24 * 3600_000

const tokenRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { access }) => {
  app.post(
    '/v1/tokens',
    {
      config: { audit: 'token.create' },
      schema: { tags: ['access'], summary: 'Make a token', body: NewToken, response: replies({ 201: CreatedToken }) }
    },
    async (request, reply) => {
      const { name, scopes, roots = [], folders = [], expiresMs } = request.body
      for (const folder of folders) if (!isAbsolute(folder)) throw new InvalidOptionsError('folders: not absolute', { folder })
      const resolved = folders.map(folder => resolve(folder))
      const { token, record } = access.tokens.create({ name, scopes, roots, folders: resolved, expiresMs })
      request.audited = { target: record.id }
      return reply.code(201).send({ ...viewToken(record), token })
    }
  )
  app.get(
    '/v1/tokens',
    { schema: { tags: ['access'], summary: 'All tokens', response: replies({ 200: TokenList }) } },
    async () => ({
      tokens: access.tokens.list().map(viewToken)
    })
  )
  app.delete(
    '/v1/tokens/:id',
    {
      config: { audit: 'token.revoke' },
      schema: { tags: ['access'], summary: 'Revoke a token, by id or name', params: Id, response: replies({ 204: Empty }) }
    },
    async (request, reply) => {
      request.audited = { target: access.tokens.revoke(request.params.id).id }
      return reply.code(204).send(null)
    }
  )
}

const sessionRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { access }) => {
  const logIn = (request: FastifyRequest, caller: Caller): string => {
    request.caller = caller
    return cookieOf(request, access.beginSession(caller), SESSION_MS / 1000)
  }

  app.post(
    '/v1/session',
    {
      config: { isPublic: true, audit: 'login' },
      schema: {
        tags: ['access'],
        summary: 'Log a browser in: sets a cookie',
        body: Login,
        response: replies({ 200: LoginReply })
      }
    },
    async (request, reply) => {
      reply.header('set-cookie', logIn(request, access.callerOfToken(request.body.token, callerAddress(request))))
      return { authenticated: true }
    }
  )
  app.delete(
    '/v1/session',
    {
      config: { isPublic: true },
      schema: { tags: ['access'], summary: 'Log a browser out', response: replies({ 204: Empty }) }
    },
    async (request, reply) => {
      access.sessions.end(cookieValue(request.headers.cookie, SESSION_COOKIE) ?? '')
      return reply
        .code(204)
        .header('set-cookie', cookieOf(request, '', 0))
        .send(null)
    }
  )
  app.post(
    '/v1/login-addresses',
    {
      config: { scope: 'read', reach: 'handler' },
      schema: {
        tags: ['access'],
        summary: 'An address that logs a browser in once, as this caller',
        response: replies({ 201: LoginAddress })
      }
    },
    async (request, reply) => reply.code(201).send({ url: `/login?code=${access.newCode(request.caller)}` })
  )
  app.get(
    '/login',
    {
      config: { isPublic: true, audit: 'login' },
      schema: { hide: true, querystring: Type.Object({ code: Type.String({ maxLength: 200 }) }) }
    },
    async (request, reply) => {
      const cookie = logIn(request, access.callerOfCode(request.query.code, callerAddress(request)))
      return reply.header('set-cookie', cookie).header('cache-control', 'no-store').redirect('/', 303)
    }
  )
}

const urlRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { access, queue }) => {
  app.post(
    '/v1/urls',
    {
      config: { scope: 'read', reach: 'handler', audit: 'url.sign' },
      schema: {
        tags: ['access'],
        summary: 'An address of one file in the gateway that needs no token until it ends',
        description: 'It ends with the token that it was made with at the latest, expired or revoked.',
        body: SignUrl,
        response: replies({ 201: SignedUrl })
      }
    },
    async (request, reply) => {
      const { root, path, expiresMs } = request.body
      const { caller } = request
      const task = queue.contents.ofRoot(root)
      if (task === undefined) throw new NotFoundError('no task has this root', { root })
      checkReach(caller, task)
      const nowMs = Date.now()
      if (!(expiresMs > nowMs && expiresMs <= nowMs + MAX_URL_MS))
        throw new InvalidOptionsError('expiresMs: is not within the next 30 days', { field: 'expiresMs' })
      request.audited = { target: root }
      const file = (path ?? task.record.name).split('/').map(encodeURIComponent).join('/')
      return reply.code(201).send(access.signUrl(`/files/${root}/${file}`, caller, expiresMs))
    }
  )
}

export const accessRoutes = [tokenRoutes, sessionRoutes, urlRoutes]

function cookieOf({ protocol }: FastifyRequest, session: string, seconds: number): string {
  const secure = protocol === 'https' ? '; Secure' : ''
  return `${SESSION_COOKIE}=${session}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`
}

function viewToken({ id, name, scopes, roots, folders, createdMs, expiresMs }: TokenRecord): TokenView {
  return { id, name, scopes: [...scopes], roots: [...roots], folders: [...folders], createdMs, expiresMs: expiresMs ?? null }
}
