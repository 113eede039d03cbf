/**
 * The routes of folders and of what the swarms hold. Thin: the scanner and the node do the work. Called by
 * api.ts.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { NotFoundError } from '../../errors.ts'
import { Root, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { Probe, ScanReport, SwarmView } from '../schema/swarms.ts'
import { summarizeSwarm, viewSwarm } from '../views/swarms.ts'

export const swarmRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, init) => {
  const { queue, node, metrics, scanner } = init
  app.post(
    '/v1/scan',
    {
      config: { audit: 'folders.scan' },
      schema: {
        tags: ['folders'],
        summary: 'Verify and seed files that lie next to their manifests in the folders',
        response: replies({ 200: ScanReport })
      }
    },
    async () => scanner.scan()
  )

  app.get(
    '/v1/swarms/:root',
    {
      config: { scope: 'read', reach: 'root' },
      schema: {
        tags: ['swarms'],
        summary: 'Pieces, availability and peers of one content, as this node sees them',
        params: Type.Object({ root: Root }),
        response: replies({ 200: SwarmView })
      }
    },
    async request => {
      const transfer = queue.contents.transferOf(request.params.root)
      if (transfer === undefined)
        throw new NotFoundError('this node does not take part in that swarm', { root: request.params.root })
      return viewSwarm(transfer)
    }
  )

  app.get(
    '/v1/probe',
    {
      config: { scope: 'read' },
      schema: { tags: ['swarms'], summary: 'This node and all its swarms', response: replies({ 200: Probe }) }
    },
    async () => {
      const swarms = queue.contents.transfers().map(summarizeSwarm)
      return {
        version: init.version,
        peer: node.peer,
        addresses: node.addresses(),
        uptimeMs: Date.now() - init.startedMs,
        downloadRate: swarms.reduce((sum, swarm) => sum + swarm.downloadRate, 0),
        uploadRate: swarms.reduce((sum, swarm) => sum + swarm.uploadRate, 0),
        readers: metrics.readers,
        tasks: queue.contents.countByState(),
        notices: [...init.notices],
        swarms
      }
    }
  )
}
