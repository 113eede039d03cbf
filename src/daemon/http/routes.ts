/**
 * The routes of `/v1`, `/files`, `/metrics` and the health checks. Handlers stay thin: they translate, the queue and the node do the work.
 *
 * Invariant: every route has a schema for what it takes and for each reply, from which OpenAPI is made. Called by server.ts.
 */

import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { MAX_MANIFEST_BYTES, type Manifest } from '../../content/manifest.ts'
import { InvalidOptionsError, NotFoundError, RequestRefusedError } from '../../errors.ts'
import type { SwarmNode } from '../../node/types.ts'
import type { FolderScanner } from '../folders.ts'
import type { LimitBoard } from '../limits.ts'
import type { DaemonMetrics } from '../metrics.ts'
import type { DaemonOptions } from '../options.ts'
import { fetchBytes } from '../outbound.ts'
import { checkPath } from '../paths.ts'
import {
  AddTask,
  ErrorBody,
  Health,
  LimitsReply,
  Login,
  LoginReply,
  PatchLimits,
  Probe,
  Readiness,
  Root,
  ScanReport,
  SwarmView,
  Task,
  TaskList,
  TaskState,
  UpdateTask
} from '../schema.ts'
import { checkLink, type NewTask, type TaskQueue } from '../task-queue.ts'
import { unsignedManifest } from '../unsigned.ts'
import { taskEvents } from './events.ts'
import { serveContent } from './gateway.ts'
import { SESSION_COOKIE, sameSecret, sessionOf, type Trust } from './guard.ts'
import { summarizeSwarm, viewSwarm } from './views.ts'

export interface RoutesInit {
  version: string
  startedMs: number
  options: DaemonOptions
  node: SwarmNode
  queue: TaskQueue
  limits: LimitBoard
  scanner: FolderScanner
  metrics: DaemonMetrics
  /** Accepts bytes or text from outside. */
  parseManifest: (source: string | Uint8Array) => Manifest
  isStopping: () => boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    trust: Trust
  }
}

const MAX_EVENT_STREAMS = 64
/** A manifest in a body: some 100,000 pieces. Larger ones are given by URL, path or link. */
const MAX_TASK_BODY_BYTES = 16 * 1024 * 1024
const FETCH_TIMEOUT_MS = 30_000

const Id = Type.Object({ id: Type.String({ maxLength: 64 }) })
const Empty = Type.Null({ description: 'Nothing' })
const Bytes = Type.Unsafe<unknown>({ type: 'string', format: 'binary' })
const replies = <T extends Record<number, Type.TSchema>>(good: T) => ({ ...good, '4xx': ErrorBody, '5xx': ErrorBody })

export const routes: FastifyPluginAsyncTypebox<RoutesInit> = async (app, init) => {
  const { queue, limits, node, options, metrics, parseManifest } = init
  const eventStreams = new Set<Readable>()
  // They would never end by themselves, and a stop waits for what is being answered.
  app.addHook('preClose', async () => {
    for (const stream of eventStreams) stream.destroy()
  })

  // --- tasks -----------------------------------------------------------------------------------------------------------------

  const newTask = async (body: AddTask, trust: Trust): Promise<NewTask> => {
    const given = [body.source, body.manifest, body.seed].filter(each => each !== undefined).length
    if (given !== 1) throw new InvalidOptionsError('give exactly one of source, manifest and seed', { field: 'source' })
    const trusted = trust === 'local'
    const { output, only, peers, origins, originLimits, force, priority, pinned, paused, limits: own, name, pieceLength } = body
    if (only !== undefined && only.length > 0 && body.seed !== undefined)
      throw new InvalidOptionsError('only is for downloads', { field: 'only' })
    return {
      source: await sourceOf(body, trusted, { name, pieceLength }),
      ...(output === undefined ? {} : { output: await checkPath(output, options.paths, trusted) }),
      ...(only === undefined || only.length === 0 ? {} : { only }),
      peers,
      origins,
      originLimits,
      privateOrigins: trusted || options.allowPrivateUrls,
      force,
      priority,
      pinned,
      paused,
      limits: own
    }
  }

  const sourceOf = async (
    body: AddTask,
    trusted: boolean,
    { name, pieceLength }: { name: string | undefined; pieceLength: number | undefined }
  ): Promise<NewTask['source']> => {
    if (body.seed !== undefined) {
      const seed = await checkPath(body.seed, options.paths, trusted)
      return { seed, ...(name === undefined ? {} : { name }), ...(pieceLength === undefined ? {} : { pieceLength }) }
    }
    if (body.manifest !== undefined) return { manifest: parseManifest(JSON.stringify(body.manifest)) }
    const source = body.source as string
    if (!/^https?:/i.test(source)) return { link: checkLink(source) }
    const bytes = await fetchBytes(source, {
      allowPrivate: trusted || options.allowPrivateUrls,
      maxBytes: MAX_MANIFEST_BYTES,
      timeoutMs: FETCH_TIMEOUT_MS
    })
    return { manifest: parseManifest(bytes) }
  }

  app.post(
    '/v1/tasks',
    {
      bodyLimit: MAX_TASK_BODY_BYTES,
      schema: {
        tags: ['tasks'],
        summary: 'Start a download, or share a file of this machine',
        description:
          'One task per root: asking again answers 200 with the task that is there. A seed is answered when it is hashed; ' +
          'GET /v1/tasks and /v1/events tell how far it is.',
        body: AddTask,
        response: replies({ 200: Task, 201: Task })
      }
    },
    async (request, reply) => {
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      const { task, created } = await queue.add(await newTask(request.body, request.trust), left.signal)
      return reply
        .code(created ? 201 : 200)
        .header('location', `/v1/tasks/${task.id}`)
        .send(task)
    }
  )

  app.get(
    '/v1/tasks',
    {
      schema: {
        tags: ['tasks'],
        summary: 'All tasks, and what is being hashed to become one',
        querystring: Type.Object({ state: Type.Optional(TaskState) }),
        response: replies({ 200: TaskList })
      }
    },
    async request => {
      const { state } = request.query
      return { tasks: queue.list().filter(task => state === undefined || task.state === state), hashing: queue.hashing() }
    }
  )

  app.get(
    '/v1/tasks/:id',
    { schema: { tags: ['tasks'], summary: 'One task', params: Id, response: replies({ 200: Task }) } },
    async request => queue.get(request.params.id)
  )

  app.patch(
    '/v1/tasks/:id',
    {
      schema: {
        tags: ['tasks'],
        summary: 'Change priority, place in the queue, pin or limits',
        params: Id,
        body: UpdateTask,
        response: replies({ 200: Task })
      }
    },
    async request => queue.update(request.params.id, request.body, request.trust === 'local' || options.allowPrivateUrls)
  )

  const actions = {
    pause: { summary: 'Wait; what is verified stays', act: (id: string) => queue.pause(id) },
    resume: { summary: 'Go on, or try again after a failure', act: (id: string) => queue.resume(id) },
    cancel: { summary: 'Give the download up; what is verified stays on disk', act: (id: string) => queue.cancel(id) }
  }
  for (const [action, { summary, act }] of Object.entries(actions)) {
    app.post(
      `/v1/tasks/:id/${action}`,
      { schema: { tags: ['tasks'], summary, params: Id, response: replies({ 200: Task }) } },
      async request => act(request.params.id)
    )
  }

  app.delete(
    '/v1/tasks/:id',
    {
      schema: {
        tags: ['tasks'],
        summary: 'Forget a task; with data=true also delete what the download put on disk',
        params: Id,
        querystring: Type.Object({ data: Type.Optional(Type.Boolean()) }),
        response: replies({ 204: Empty })
      }
    },
    async (request, reply) => {
      await queue.remove(request.params.id, { data: request.query.data === true })
      return reply.code(204).send(null)
    }
  )

  app.get(
    '/v1/tasks/:id/manifest',
    {
      schema: {
        tags: ['tasks'],
        summary: 'The manifest',
        params: Id,
        produces: ['application/json'],
        response: replies({ 200: Bytes })
      }
    },
    async (request, reply) => {
      const text = unsignedManifest(queue.manifestText(request.params.id), parseManifest)
      return reply.type('application/json').header('content-disposition', 'attachment; filename="content.swarm"').send(text)
    }
  )

  const sendEvents = (id: string | undefined, reply: FastifyReply): FastifyReply => {
    if (eventStreams.size >= MAX_EVENT_STREAMS)
      throw new RequestRefusedError('unavailable', `${MAX_EVENT_STREAMS} event streams are open already`)
    const stream = taskEvents(queue, id)
    eventStreams.add(stream)
    stream.once('close', () => eventStreams.delete(stream))
    return reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no').send(stream)
  }

  app.get(
    '/v1/events',
    {
      schema: {
        tags: ['tasks'],
        summary: 'Server-sent events: every task and all that is being hashed now, then each change',
        description:
          'Event task, data: the Task. Event removed, data: {id}. Event hashing, data: {path, bytesDone, bytesTotal}. ' +
          'Event hashed, data: {path}: that is over, whether it became a task or failed.',
        produces: ['text/event-stream'],
        response: replies({ 200: Bytes })
      }
    },
    async (_request, reply) => sendEvents(undefined, reply as unknown as FastifyReply) as never
  )

  app.get(
    '/v1/tasks/:id/events',
    {
      schema: {
        tags: ['tasks'],
        summary: 'The events task and removed of one task; ends when it is deleted',
        params: Id,
        produces: ['text/event-stream'],
        response: replies({ 200: Bytes })
      }
    },
    async (request, reply) => sendEvents(request.params.id, reply as unknown as FastifyReply) as never
  )

  // --- limits, folders -------------------------------------------------------------------------------------------------------

  const limitsReply = (): LimitsReply => ({
    limits: limits.limits,
    inForce: limits.inForce,
    quota: { bytes: limits.limits.quotaBytes, usedBytes: queue.usedBytes }
  })

  app.get(
    '/v1/limits',
    { schema: { tags: ['limits'], summary: 'Limits, and what holds now', response: replies({ 200: LimitsReply }) } },
    async () => limitsReply()
  )

  app.patch(
    '/v1/limits',
    {
      schema: {
        tags: ['limits'],
        summary: 'Change limits at once; kept over restarts',
        body: PatchLimits,
        response: replies({ 200: LimitsReply })
      }
    },
    async request => {
      limits.patch(request.body)
      return limitsReply()
    }
  )

  app.post(
    '/v1/scan',
    {
      schema: {
        tags: ['folders'],
        summary: 'Verify and seed files that lie beside their manifests in the folders',
        response: replies({ 200: ScanReport })
      }
    },
    async () => init.scanner.scan()
  )

  // --- what the swarm holds --------------------------------------------------------------------------------------------------

  app.get(
    '/v1/swarms/:root',
    {
      schema: {
        tags: ['swarms'],
        summary: 'Pieces, availability and peers of one content, as this node sees them',
        params: Type.Object({ root: Root }),
        response: replies({ 200: SwarmView })
      }
    },
    async request => {
      const transfer = queue.transferOf(request.params.root)
      if (transfer === undefined)
        throw new NotFoundError('this node does not take part in that swarm', { root: request.params.root })
      return viewSwarm(transfer)
    }
  )

  app.get(
    '/v1/probe',
    { schema: { tags: ['swarms'], summary: 'This node and all its swarms', response: replies({ 200: Probe }) } },
    async () => {
      const swarms = queue.transfers().map(summarizeSwarm)
      return {
        version: init.version,
        peer: node.peer,
        addresses: node.addresses(),
        uptimeMs: Date.now() - init.startedMs,
        downloadRate: swarms.reduce((sum, swarm) => sum + swarm.downloadRate, 0),
        uploadRate: swarms.reduce((sum, swarm) => sum + swarm.uploadRate, 0),
        readers: metrics.readers,
        tasks: queue.countByState(),
        swarms
      }
    }
  )

  // --- gateway ---------------------------------------------------------------------------------------------------------------

  for (const url of ['/files/:root', '/files/:root/*']) {
    app.route({
      method: ['GET', 'HEAD'],
      url,
      schema: {
        tags: ['gateway'],
        summary: 'A content, or a file of one, with ranges, while it is still being downloaded',
        description:
          'RFC 9110: Range (single, open-ended, suffix, several), If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since. ' +
          'ETag is the root. What is asked for is fetched first.',
        params: Type.Object({ root: Root }),
        querystring: Type.Object({ download: Type.Optional(Type.Boolean({ description: 'Offer it to be saved' })) }),
        produces: ['application/octet-stream'],
        response: { 200: Bytes, 206: Bytes, 304: Empty, 412: Empty, '4xx': ErrorBody, '5xx': ErrorBody }
      },
      handler: async (request, reply) =>
        serveContent(request, reply as unknown as FastifyReply, {
          queue,
          meter: metrics,
          root: request.params.root,
          path: (request.params as { '*'?: string })['*'] ?? '',
          download: request.query.download === true
        }) as never
    })
  }

  // --- operations ------------------------------------------------------------------------------------------------------------

  app.get(
    '/metrics',
    {
      schema: { tags: ['operations'], summary: 'Prometheus metrics', produces: ['text/plain'], response: replies({ 200: Bytes }) }
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  )

  app.get(
    '/healthz',
    {
      config: { isPublic: true },
      schema: { tags: ['operations'], summary: 'The process answers', response: replies({ 200: Health }) }
    },
    async () => ({ status: 'ok' as const })
  )

  app.get(
    '/readyz',
    {
      config: { isPublic: true },
      schema: {
        tags: ['operations'],
        summary: '200 when all contents are open, 503 before and while stopping',
        response: { 200: Readiness, 503: Readiness }
      }
    },
    async (_request, reply) => {
      const { restoring } = queue
      const status = init.isStopping() ? 'stopping' : restoring > 0 ? 'starting' : 'ready'
      return reply.code(status === 'ready' ? 200 : 503).send({ status, restoring })
    }
  )

  app.post(
    '/v1/session',
    {
      config: { isPublic: true },
      schema: {
        tags: ['operations'],
        summary: 'Log a browser in: sets a cookie',
        body: Login,
        response: replies({ 200: LoginReply })
      }
    },
    async (request, reply) => {
      if (options.token === undefined) return { authenticated: true }
      if (!sameSecret(request.body.token, options.token)) throw new RequestRefusedError('unauthorized', 'the token is wrong')
      const secure = request.protocol === 'https' ? '; Secure' : ''
      reply.header('set-cookie', `${SESSION_COOKIE}=${sessionOf(options.token)}; Path=/; HttpOnly; SameSite=Strict${secure}`)
      return { authenticated: true }
    }
  )
}
