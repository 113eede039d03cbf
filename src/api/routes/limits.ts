/**
 * The routes of limits. Thin: the board does the work. Called by api.ts.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { LimitsReply, PatchLimits } from '../schema/limits.ts'

export const limitRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { queue, limits }) => {
  const limitsReply = (): LimitsReply => ({
    limits: limits.limits,
    inForce: limits.inForce,
    quota: { bytes: limits.limits.quotaBytes, usedBytes: queue.contents.usedBytes }
  })

  app.get(
    '/v1/limits',
    {
      config: { scope: 'read' },
      schema: { tags: ['limits'], summary: 'Limits, and what holds now', response: replies({ 200: LimitsReply }) }
    },
    async () => limitsReply()
  )

  app.patch(
    '/v1/limits',
    {
      config: { audit: 'limits.change' },
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
}
