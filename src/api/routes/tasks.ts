/**
 * The routes of tasks and their events. Thin: the queue does the work.
 *
 * Invariant: every route has a schema for what it takes and for each reply, from which OpenAPI is made. Called by api.ts.
 */

import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { type Caller, mayReach } from '../../daemon/access/caller.ts'
import { unsignedManifest } from '../../daemon/unsigned.ts'
import { RequestRefusedError } from '../../errors.ts'
import { Bytes, Empty, Id, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { taskEvents } from '../events.ts'
import { checkTaskBody, newTask } from '../new-task.ts'
import { AddTask, Removed, Task, TaskList, TaskState, UpdateTask } from '../schema/tasks.ts'
import { viewTask } from '../views/tasks.ts'

const MAX_EVENT_STREAMS = 64
/** A manifest in a body of the commands of the same user, who may keep their own daemon waiting: some 100,000 pieces. */
const MAX_TASK_BODY_BYTES = 16 * 1024 * 1024

export const taskRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, init) => {
  const { queue, options, parseManifest } = init
  const eventStreams = new Set<Readable>()
  // They would never end by themselves, and a stop waits for what is being answered.
  app.addHook('preClose', async () => {
    for (const stream of eventStreams) stream.destroy()
  })

  app.post(
    '/v1/tasks',
    {
      config: { scope: 'get', reach: 'handler', audit: 'task.add' },
      preParsing: async request => checkTaskBody(request),
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
      const { caller } = request
      const asked = await newTask(request.body, { caller, options, parseManifest })
      const { task, created } = await queue.add(asked, left.signal)
      request.audited = { target: task.root }
      return reply
        .code(created ? 201 : 200)
        .header('location', `/v1/tasks/${task.id}`)
        .send(viewTask(task))
    }
  )

  app.get(
    '/v1/tasks',
    {
      config: { scope: 'read', reach: 'handler' },
      schema: {
        tags: ['tasks'],
        summary: 'All tasks, and what is being hashed to become one',
        querystring: Type.Object({ state: Type.Optional(TaskState) }),
        response: replies({ 200: TaskList })
      }
    },
    async request => {
      const { caller, query } = request
      const tasks = queue.contents
        .list()
        .filter(task => mayReach(caller, task) && (query.state === undefined || task.state === query.state))
      return { tasks: tasks.map(viewTask), hashing: caller.reach === undefined ? queue.hashing() : [] }
    }
  )

  app.get(
    '/v1/tasks/:id',
    {
      config: { scope: 'read', reach: 'task' },
      schema: { tags: ['tasks'], summary: 'One task', params: Id, response: replies({ 200: Task }) }
    },
    async request => viewTask(queue.contents.get(request.params.id))
  )

  app.patch(
    '/v1/tasks/:id',
    {
      config: { scope: 'get', reach: 'task', audit: 'task.change' },
      schema: {
        tags: ['tasks'],
        summary: 'Change priority, place in the queue, pin or limits',
        params: Id,
        body: UpdateTask,
        response: replies({ 200: Task })
      }
    },
    async request => {
      const mayUsePrivate = request.caller.trust === 'local' || options.allowPrivateUrls
      return viewTask(queue.update(request.params.id, request.body, mayUsePrivate))
    }
  )

  const actions = {
    pause: { summary: 'Wait; what is verified stays', act: (id: string) => queue.pause(id) },
    resume: { summary: 'Go on, or try again after a failure', act: (id: string) => queue.resume(id) },
    cancel: { summary: 'Give the download up; what is verified stays on disk', act: (id: string) => queue.cancel(id) }
  }
  for (const [action, { summary, act }] of Object.entries(actions)) {
    app.post(
      `/v1/tasks/:id/${action}`,
      {
        config: { scope: 'get', reach: 'task', audit: 'task.change' },
        schema: { tags: ['tasks'], summary, params: Id, response: replies({ 200: Task }) }
      },
      async request => viewTask(await act(request.params.id))
    )
  }

  app.delete(
    '/v1/tasks/:id',
    {
      config: { reach: 'task', audit: 'task.remove' },
      schema: {
        tags: ['tasks'],
        summary: 'Forget a task; with data=true also delete what the download put on disk',
        description:
          'Only files that are still what the download wrote are deleted. 204: nothing else was there; 200: what was left, and why.',
        params: Id,
        querystring: Type.Object({ data: Type.Optional(Type.Boolean()) }),
        response: replies({ 200: Removed, 204: Empty })
      }
    },
    async (request, reply) => {
      const removed = await queue.remove(request.params.id, { data: request.query.data === true })
      if (removed.changed.length + removed.beside.length > 0) return reply.code(200).send(removed)
      return reply.code(204).send(null)
    }
  )

  app.get(
    '/v1/tasks/:id/manifest',
    {
      config: { scope: 'read', reach: 'task' },
      schema: {
        tags: ['tasks'],
        summary: 'The manifest',
        params: Id,
        produces: ['application/json'],
        response: replies({ 200: Bytes })
      }
    },
    async (request, reply) => {
      const text = unsignedManifest(queue.contents.manifestText(request.params.id), parseManifest)
      return reply.type('application/json').header('content-disposition', 'attachment; filename="content.swarm"').send(text)
    }
  )

  const sendEvents = (id: string | undefined, caller: Caller, reply: FastifyReply): FastifyReply => {
    if (eventStreams.size >= MAX_EVENT_STREAMS)
      throw new RequestRefusedError('unavailable', `${MAX_EVENT_STREAMS} event streams are open already`)
    const stream = taskEvents(queue, id, caller)
    eventStreams.add(stream)
    stream.once('close', () => eventStreams.delete(stream))
    return reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no').send(stream)
  }

  app.get(
    '/v1/events',
    {
      config: { scope: 'read', reach: 'handler' },
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
    async (request, reply) => sendEvents(undefined, request.caller, reply as unknown as FastifyReply) as never
  )

  app.get(
    '/v1/tasks/:id/events',
    {
      config: { scope: 'read', reach: 'task' },
      schema: {
        tags: ['tasks'],
        summary: 'The events task and removed of one task; ends when it is deleted',
        params: Id,
        produces: ['text/event-stream'],
        response: replies({ 200: Bytes })
      }
    },
    async (request, reply) => sendEvents(request.params.id, request.caller, reply as unknown as FastifyReply) as never
  )
}
