/**
 * The HTTP server: Fastify with its plugins, bounds, the guard in front of every route and one shape for
 * every error.
 *
 * Invariants: no handler runs before the guard; bodies, headers, connections and waiting are bounded;
 * whatever is thrown answers as `{ code, message, details }` of the errors' table, and only a bug of ours is
 * logged as an error. The routes are mounted by start-daemon.ts.
 */

import type { Server } from 'node:http'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import type { Access } from '../daemon/access/access.ts'
import { type Caller, NOBODY } from '../daemon/access/caller.ts'
import type { DaemonOptions } from '../daemon/options.ts'
import { RequestRefusedError } from '../errors.ts'
import { HEADERS_TIMEOUT_MS, KEEP_ALIVE_MS, MAX_BODY_BYTES, MAX_HEADER_BYTES, REQUEST_TIMEOUT_MS, STALL_MS } from './bounds.ts'
import { Connections } from './connections.ts'
import { answerErrors } from './error-reply.ts'
import { authorize, type ContentPlaces, identify } from './guard.ts'
import { type OutcomeInit, recordOutcome } from './outcome.ts'
import './route-config.ts'

interface ServerInit extends OutcomeInit {
  version: string
  options: Pick<DaemonOptions, 'allowHosts' | 'corsOrigins' | 'maxConnections' | 'isOpen'>
  access: Access
  /** Which content a route is about, for callers that may reach only some. */
  contents: ContentPlaces
  tls: { cert: string; key: string } | undefined
  log: FastifyBaseLogger
  /** Adds the routes, which the guard stands in front of. */
  mount: (app: FastifyInstance, connections: Connections) => Promise<void>
}

/**
 * Bodies are taken as they are: Fastify's own compiler would make null of a 0 where null is allowed. And it,
 * like that for replies, costs a daemon 0.2 s of CPU at its start for routes that are mostly never asked;
 * replies are typed, so plain JSON does.
 */
const lazyValidator: typeof TypeBoxValidatorCompiler = route => {
  let validate: ReturnType<typeof TypeBoxValidatorCompiler> | undefined
  return (value: unknown) => {
    validate ??= TypeBoxValidatorCompiler(route)
    return validate(value)
  }
}

export async function buildServer(init: ServerInit): Promise<FastifyInstance> {
  const bounds = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 500 }
  const app = fastify({
    loggerInstance: init.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    // Uploads take as long as they take; all others are timed by endLateRequest.
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
  // Only JSON is taken: what a form can send without asking first would let pages of others speak to us.
  app.removeContentTypeParser('text/plain')
  const connections = new Connections({ max: init.options.maxConnections, refusals: init.refusals })
  connections.attach(app.server as Server)
  addHooks(app, connections, init)
  answerErrors(app)
  await registerPlugins(app, init)
  await init.mount(app, connections)
  return app
}

function addHooks(app: FastifyInstance, connections: Connections, init: ServerInit): void {
  const { access, contents, options } = init
  const guard = { access, contents, allowHosts: options.allowHosts, corsOrigins: options.corsOrigins }
  app.decorateRequest('caller', null as unknown as Caller)
  app.decorateRequest('audited', undefined)
  app.addHook('onRequest', async (request, reply) => {
    request.caller = NOBODY
    if (connections.isReserve(request.raw) && request.routeOptions.config.isHealth !== true) {
      void reply.header('connection', 'close')
      throw new RequestRefusedError('unavailable', 'all connections of this daemon are taken (option max-connections)')
    }
    request.caller = identify(request, guard)
    authorize(request, guard)
  })
  app.addHook('onRequest', async request => endLateRequest(request))
  // The gateway bounds its readers itself, and has no answer to send from here.
  app.addHook('onSend', async request => {
    request.raw.socket.setTimeout(STALL_MS)
  })
  app.addHook('onResponse', async (request, reply) => recordOutcome(request, reply, init))
}

/** A body that is not whole in time ends its connection. */
function endLateRequest({ headers, raw, routeOptions }: FastifyRequest): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = headers
  const hasBody = encoding !== undefined || (length !== undefined && length !== '0')
  if (routeOptions.config.isUpload === true || !hasBody) return
  const timer = setTimeout(() => raw.destroy(), REQUEST_TIMEOUT_MS)
  const settle = (): void => {
    clearTimeout(timer)
    raw.socket.off('close', settle)
  }
  // A request that was answered before all of it had come tells neither when its connection is closed, so
  // that one is asked as well.
  raw.once('end', settle).once('close', settle).socket.once('close', settle)
}

async function registerPlugins(app: FastifyInstance, { options, version }: ServerInit): Promise<void> {
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
        version,
        description: 'Tasks, limits, folders, swarms and the range gateway of one node.'
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: options.isOpen ? [] : [{ token: [] }]
    }
  })
}
