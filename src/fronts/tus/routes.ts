/**
 * The routes of tus: `/uploads`. Mounted by start-daemon.ts.
 */

import type { FastifyPluginAsync } from 'fastify'
import { checkReach } from '../../daemon/access/caller.ts'
import type { UploadService } from '../../daemon/content-service.ts'
import { UPLOAD_STALL_MS } from '../../http/bounds.ts'
import { TusUploads } from './tus.ts'

interface TusInit {
  uploads: UploadService
  /** Uploads lie here once they are complete; a token for certain contents must be for this folder. */
  completeDir: string
  maxBytes: number
  expiryMs: number
  corsOrigins: readonly string[]
}

export const tusRoutes: FastifyPluginAsync<TusInit> = async (app, init) => {
  const { uploads, completeDir, maxBytes, expiryMs, corsOrigins } = init
  const tus = new TusUploads(uploads, { maxBytes, expiryMs, allowOrigin: origin => corsOrigins.includes(origin) })
  // Bodies are streams, whatever they say they are.
  for (const type of ['application/octet-stream', 'application/offset+octet-stream']) {
    app.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
  }
  for (const url of ['/uploads', '/uploads/*']) {
    app.route({
      method: ['POST', 'PATCH', 'HEAD', 'DELETE', 'OPTIONS'],
      url,
      config: { scope: 'upload', reach: 'handler', audit: 'upload.part', isUpload: true },
      schema: { hide: true },
      handler: async (request, reply) => {
        checkReach(request.caller, { root: '', path: completeDir })
        // The library answers for itself; the guard and the bounds have run.
        reply.hijack()
        for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value)
        request.raw.setTimeout(UPLOAD_STALL_MS, () => request.raw.destroy())
        await tus.handle(request.raw, reply.raw)
      }
    })
  }
}
