/**
 * The routes for operators: metrics and health. Called by api.ts.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Bytes, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { Health, Readiness } from '../schema/operations.ts'

export const operationRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { queue, metrics, isStopping }) => {
  app.get(
    '/metrics',
    {
      config: { scope: 'read' },
      schema: { tags: ['operations'], summary: 'Prometheus metrics', produces: ['text/plain'], response: replies({ 200: Bytes }) }
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  )

  app.get(
    '/healthz',
    {
      config: { isPublic: true, isHealth: true },
      schema: { tags: ['operations'], summary: 'The process answers', response: replies({ 200: Health }) }
    },
    async () => ({ status: 'ok' as const })
  )

  app.get(
    '/readyz',
    {
      config: { isPublic: true, isHealth: true },
      schema: {
        tags: ['operations'],
        summary: '200 when all contents are open, 503 before and while stopping',
        response: { 200: Readiness, 503: Readiness }
      }
    },
    async (_request, reply) => {
      const { restoring } = queue
      const status = isStopping() ? 'stopping' : restoring > 0 ? 'starting' : 'ready'
      return reply.code(status === 'ready' ? 200 : 503).send({ status, restoring })
    }
  )
}
