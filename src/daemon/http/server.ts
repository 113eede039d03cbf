/**
 * The HTTP server: Fastify with its plugins, bounds, the guard in front of every route and one shape for every error.
 *
 * Invariants: no handler runs before the guard; bodies, headers, connections and waiting are bounded; whatever is thrown answers as
 * `{ code, message, details }` of the errors' table, and only a bug of ours is logged as an error. Called by index.ts.
 */

import type { Server } from 'node:http'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import fastifyStatic from '@fastify/static'
import swagger from '@fastify/swagger'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyRequest,
  LogController
} from 'fastify'
import { httpStatusOf, InvalidOptionsError, NotFoundError, RequestRefusedError, SwarmError } from '../../errors.ts'
import { type Caller, NOBODY } from '../access/caller.ts'
import type { AuditLog } from '../audit.ts'
import type { Refusals } from '../refusals.ts'
import { errorBody } from '../tasks/error-body.ts'
import { withoutQuery } from '../unsigned.ts'
import type { Uploads } from '../uploads/multipart.ts'
import type { TusUploads } from '../uploads/tus.ts'
import { callerAddress } from './address-group.ts'
import { Connections } from './connections.ts'
import { dashboardFolder } from './dashboard-files.ts'
import type { GatewayMeter } from './gateway.ts'
import { authorize, identify } from './guard.ts'
import { READER_BUDGET_BYTES, ReaderGate, STALL_MS } from './reader-gate.ts'
import type { RoutesInit } from './route-parts.ts'
import { accessRoutes } from './routes-access.ts'
import { fileRoutes } from './routes-files.ts'
import { operationRoutes } from './routes-operations.ts'
import { swarmRoutes } from './routes-swarms.ts'
import { taskRoutes } from './routes-tasks.ts'
import { uploadRoutes } from './routes-uploads.ts'

export interface ServerInit extends Omit<RoutesInit, 'meter'> {
  log: FastifyBaseLogger
  audit: AuditLog | undefined
  refusals: Refusals
  tls: { cert: string; key: string } | undefined
  uploads: Uploads
  tus: TusUploads
}

const MAX_BODY_BYTES = 1024 * 1024
const MAX_HEADER_BYTES = 16 * 1024
/** From the connection, or the first byte of a further request, to the end of its headers. */
const HEADERS_TIMEOUT_MS = 5000
/** To receive a whole request. */
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 15_000

/**
 * Bodies are taken as they are: Fastify's own compiler would make null of a 0 where null is allowed. And it, like that for replies, costs a
 * daemon 0.2 s of CPU at its start for routes that are mostly never asked; replies are typed, so plain JSON does.
 */
const lazyValidator: typeof TypeBoxValidatorCompiler = route => {
  let validate: ReturnType<typeof TypeBoxValidatorCompiler> | undefined
  return (value: unknown) => {
    validate ??= TypeBoxValidatorCompiler(route)
    return validate(value)
  }
}

export async function buildServer(init: ServerInit): Promise<FastifyInstance> {
  const { options, metrics } = init
  const bounds = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 500 }
  const app = fastify({
    loggerInstance: init.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    // Uploads take as long as they take; all others are timed below.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    ...(init.tls === undefined
      ? { http: bounds }
      : { https: { ...bounds, cert: init.tls.cert, key: init.tls.key, handshakeTimeout: HEADERS_TIMEOUT_MS } }),
    routerOptions: { maxParamLength: 8192 },
    exposeHeadRoutes: false
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(lazyValidator)
  app.setSerializerCompiler(() => JSON.stringify)
  const { refusals } = init
  const connections = new Connections({ max: options.maxConnections, refusals })
  connections.attach(app.server as Server)
  // Only JSON is taken: what a form can send without asking first would let pages of others speak to us.
  app.removeContentTypeParser('text/plain')

  app.decorateRequest('caller', null as unknown as Caller)
  app.decorateRequest('audited', undefined)
  const { access, queue } = init
  const guard = { access, queue, allowHosts: options.allowHosts, corsOrigins: options.corsOrigins }
  app.addHook('onRequest', async (request, reply) => {
    request.caller = NOBODY
    if (connections.isReserve(request.raw) && request.routeOptions.config.isHealth !== true) {
      void reply.header('connection', 'close')
      throw new RequestRefusedError('unavailable', 'all connections of this daemon are taken (option max-connections)')
    }
    request.caller = identify(request, guard)
    authorize(request, guard)
  })
  app.addHook('onRequest', async request => {
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
    if (request.routeOptions.config.isUpload === true || (encoding === undefined && (length === undefined || length === '0')))
      return
    const { raw } = request
    const timer = setTimeout(() => raw.destroy(), REQUEST_TIMEOUT_MS)
    const settle = (): void => {
      clearTimeout(timer)
      raw.socket.off('close', settle)
    }
    // A request that was answered before all of it had come tells neither when its connection is closed, so that one is asked as well.
    raw.once('end', settle).once('close', settle).socket.once('close', settle)
  })
  // The gateway bounds its readers itself, and has no answer to send from here.
  app.addHook('onSend', async request => {
    request.raw.socket.setTimeout(STALL_MS)
  })
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    metrics.observeRequest(request.method, route, reply.statusCode, reply.elapsedTime / 1000)
    request.log.debug(
      {
        method: request.method,
        url: withoutQuery(request.url),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        from: callerAddress(request)
      },
      'request'
    )
    recordOutcome(request, reply.statusCode, init)
  })

  app.setErrorHandler((thrown: FastifyError | Error, request, reply) => {
    const err = translate(thrown)
    const status = httpStatusOf(err)
    if (status >= 500 && !(err instanceof SwarmError))
      request.log.error({ err, url: withoutQuery(request.url) }, 'request failed')
    if (err instanceof RequestRefusedError && err.code === 'unauthorized') reply.header('www-authenticate', 'Bearer')
    if (status === 503) reply.header('retry-after', '5')
    if (status === 429 && err instanceof SwarmError)
      reply.header('retry-after', Math.ceil(Number(err.details.retryAfterMs ?? 1000) / 1000))
    void reply.removeHeader('content-length')
    return reply.code(status).type('application/json').send(errorBody(err))
  })
  app.setNotFoundHandler((request, reply) => {
    return reply.code(404).send(
      errorBody(
        new NotFoundError('there is nothing at this address', {
          method: request.method,
          path: withoutQuery(request.url).slice(0, 200)
        })
      )
    )
  })

  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        styleSrc: ["'self'"],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"]
      }
    },
    // Browsers would refuse plain HTTP on this host's other ports, too.
    strictTransportSecurity: false
  })
  await app.register(cors, {
    origin: options.corsOrigins.length === 0 ? false : options.corsOrigins,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'swarm daemon',
        version: init.version,
        description: 'Tasks, limits, folders, swarms and the range gateway of one node.'
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: options.isOpen ? [] : [{ token: [] }]
    }
  })
  const gate = new ReaderGate({
    budgetBytes: READER_BUDGET_BYTES,
    onStalled: address => refusals.record('reader_stalled', address)
  })
  const meter: GatewayMeter = {
    gate,
    readerCame: socket => {
      metrics.readerCame()
      connections.readerMoved(socket)
    },
    readerLeft: () => metrics.readerLeft(),
    sent: (bytes, socket) => {
      metrics.sent(bytes)
      connections.readerMoved(socket)
    }
  }
  for (const routes of [taskRoutes, swarmRoutes, fileRoutes, operationRoutes, accessRoutes])
    await app.register(routes, { ...init, meter })
  await app.register(uploadRoutes, { ...init, meter })
  app.get('/v1/openapi.json', { config: { scope: 'read', reach: 'handler' }, schema: { hide: true } }, async () => app.swagger())

  const folder = dashboardFolder()
  if (folder === undefined) {
    app.get('/', { config: { isPublic: true }, schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/plain').send('swarm daemon\nThe dashboard is not built here: npm run build:dashboard\n')
    )
  } else {
    await app.register(async scope => {
      scope.addHook('onRoute', route => {
        route.config = { ...route.config, isPublic: true }
        route.schema = { hide: true }
      })
      await scope.register(fastifyStatic, { root: folder, wildcard: false, cacheControl: false, globIgnore: ['**/*.map'] })
    })
  }
  return app
}

/** A line of the audit log, and a count of what was refused. */
function recordOutcome(request: FastifyRequest, status: number, { audit, refusals }: ServerInit): void {
  const { caller, audited, params, routeOptions } = request
  const ip = callerAddress(request)
  const isRefused = status === 401 || status === 403 || status === 429
  if (status === 403) refusals.record('forbidden', ip)
  // A wrong token was counted where it was compared.
  if (status === 401 && request.headers.authorization === undefined && routeOptions.config?.isPublic !== true)
    refusals.record('unauthorized', ip)
  const { id, root } = (params ?? {}) as { id?: string; root?: string }
  const action = routeOptions.config?.audit ?? (isRefused ? 'refused' : undefined)
  if (action === undefined) return
  const target = audited?.target ?? root ?? id ?? null
  audit?.record({
    action,
    who: caller.name,
    token: caller.tokenId ?? null,
    from: ip,
    status,
    target,
    bytes: audited?.bytes ?? null
  })
}

/** What Fastify and its plugins throw, as one of our errors. */
function translate(err: FastifyError | Error): Error {
  if (err instanceof SwarmError) return err
  const { code, statusCode, validation, validationContext } = err as FastifyError
  if (validation !== undefined) {
    const [fault] = validation
    const field = `${validationContext ?? 'request'}${fault?.instancePath ?? ''}`
    return new InvalidOptionsError(`${field}: ${fault?.message ?? err.message}`, { field, ...fault?.params })
  }
  if (statusCode === 413) return new RequestRefusedError('too_large', err.message)
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new InvalidOptionsError(err.message, { reason: code })
  return err
}
