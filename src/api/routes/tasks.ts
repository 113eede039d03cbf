/**
 * The routes of tasks. Thin: the queue does the work.
 *
 * Invariant: every route has a schema for what it takes and for each reply, from which OpenAPI is made.
 * Called by api.ts.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { mayReach } from '../../daemon/access/caller.ts'
import { unsignedManifest } from '../../daemon/unsigned.ts'
import { Bytes, Empty, Id, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { checkTaskBody, newTask } from '../new-task.ts'
import { AddTask, Removed, Task, TaskList, TaskState, UpdateTask } from '../schema/tasks.ts'
import { viewTask } from '../views/tasks.ts'

/**
 * A manifest in a body of the commands of the same user, who may keep their own daemon waiting: some 100,000
 * pieces.
 */
const MAX_TASK_BODY_BYTES = 16 * 1024 * 1024

const addRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { queue, options, parseManifest }) => {
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
}

const readRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { queue, parseManifest }) => {
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
}

const changeRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { queue, options }) => {
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
}

export const taskRoutes = [addRoutes, readRoutes, changeRoutes]
