/**
 * The routes of the gateway, and of addresses of it that carry their own permission. Mounted by
 * start-daemon.ts.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { ContentService } from '../../daemon/content-service.ts'
import { Bytes, Empty, ErrorBody, Root } from '../../http/route-schema.ts'
import { type GatewayMeter, serveContent } from './gateway.ts'

interface FilesInit {
  contents: ContentService
  meter: GatewayMeter
}

export const fileRoutes: FastifyPluginAsyncTypebox<FilesInit> = async (app, { contents, meter }) => {
  for (const url of ['/files/:root', '/files/:root/*']) {
    app.route({
      method: ['GET', 'HEAD'],
      url,
      config: { scope: 'read', reach: 'root', audit: 'content.read', takesSignature: true },
      schema: {
        tags: ['gateway'],
        summary: 'A content, or a file of one, with ranges, while it is still being downloaded',
        description:
          'RFC 9110: Range (single, open-ended, suffix, several), If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since. ' +
          'ETag is the root. What is asked for is fetched first.',
        params: Type.Object({ root: Root }),
        querystring: Type.Object({
          download: Type.Optional(Type.Boolean({ description: 'Offer it to be saved' })),
          expires: Type.Optional(Type.String({ description: 'Of a signed address' })),
          signature: Type.Optional(Type.String())
        }),
        produces: ['application/octet-stream'],
        response: { 200: Bytes, 206: Bytes, 304: Empty, 412: Empty, '4xx': ErrorBody, '5xx': ErrorBody }
      },
      handler: async (request, reply) =>
        serveContent(request, reply as unknown as FastifyReply, {
          contents,
          meter,
          onSent: bytes => {
            request.audited = { target: request.params.root, bytes }
          },
          root: request.params.root,
          path: (request.params as { '*'?: string })['*'] ?? '',
          download: request.query.download === true
        }) as never
    })
  }
}
