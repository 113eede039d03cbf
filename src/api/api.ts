/**
 * The daemon's own API, as one plugin: the routes of all areas, their OpenAPI document, and the dashboard.
 * Mounted by start-daemon.ts.
 */

import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import type { ApiInit } from './api-init.ts'
import { dashboardFolder } from './dashboard-files.ts'
import { accessRoutes } from './routes/access.ts'
import { eventRoutes } from './routes/events.ts'
import { limitRoutes } from './routes/limits.ts'
import { operationRoutes } from './routes/operations.ts'
import { swarmRoutes } from './routes/swarms.ts'
import { taskRoutes } from './routes/tasks.ts'
import { uploadRoutes } from './routes/uploads.ts'

export async function mountApi(app: FastifyInstance, init: ApiInit): Promise<void> {
  const areas = [...taskRoutes, eventRoutes, limitRoutes, swarmRoutes, operationRoutes, ...accessRoutes, ...uploadRoutes]
  for (const routes of areas) await app.register(routes, init)
  app.get('/v1/openapi.json', { config: { scope: 'read', reach: 'handler' }, schema: { hide: true } }, async () => app.swagger())

  const folder = dashboardFolder()
  if (folder === undefined) {
    app.get('/', { config: { isPublic: true }, schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/plain').send('swarm daemon\nThe dashboard is not built here: npm run build:dashboard\n')
    )
    return
  }
  await app.register(async scope => {
    scope.addHook('onRoute', route => {
      route.config = { ...route.config, isPublic: true }
      route.schema = { hide: true }
    })
    await scope.register(fastifyStatic, { root: folder, wildcard: false, cacheControl: false, globIgnore: ['**/*.map'] })
  })
}
