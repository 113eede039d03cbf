/**
 * The routes of server-sent events. Called by api.ts.
 */

import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Caller } from '../../daemon/access/caller.ts'
import { RequestRefusedError } from '../../errors.ts'
import { Bytes, Id, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { taskEvents } from '../events.ts'

const MAX_EVENT_STREAMS = 64

export const eventRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { queue }) => {
  const eventStreams = new Set<Readable>()
  // They would never end by themselves, and a stop waits for what is being answered.
  app.addHook('preClose', async () => {
    for (const stream of eventStreams) stream.destroy()
  })

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
