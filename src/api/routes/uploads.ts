/**
 * The routes of uploads in parts. Thin: daemon/uploads does the work. Called by api.ts.
 */

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { checkReach } from '../../daemon/access/caller.ts'
import { InvalidOptionsError } from '../../errors.ts'
import { UPLOAD_STALL_MS } from '../../http/bounds.ts'
import { Empty, Id, replies } from '../../http/route-schema.ts'
import type { ApiInit } from '../api-init.ts'
import { Task } from '../schema/tasks.ts'
import { CopyPart, NewUpload, Part, Upload, UploadList } from '../schema/uploads.ts'
import { viewTask } from '../views/tasks.ts'
import { viewUpload } from '../views/uploads.ts'

const MAX_PART_BYTES = 5 * 1024 ** 3

const IdAndPart = Type.Object({ id: Type.String({ maxLength: 64 }), part: Type.Integer({ minimum: 1, maximum: 10_000 }) })

const wholeRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { uploads, options }) => {
  app.post(
    '/v1/uploads',
    {
      config: { scope: 'upload', reach: 'handler', audit: 'upload.begin' },
      schema: {
        tags: ['uploads'],
        summary:
          'Begin an upload in parts; with a root that is here already it is complete at once, with one that is unfinished it goes on',
        body: NewUpload,
        response: replies({ 200: Upload, 201: Upload })
      }
    },
    async (request, reply) => {
      // Uploads lie in the complete folder; a token for certain contents is for that folder, or names the
      // root.
      checkReach(request.caller, { root: request.body.root ?? '', path: options.completeDir })
      const upload = await uploads.initiate({ kind: 'multipart', ...request.body })
      request.audited = { target: upload.id }
      return reply.code(upload.state === 'open' && upload.parts.length === 0 ? 201 : 200).send(viewUpload(upload))
    }
  )
  app.get(
    '/v1/uploads',
    {
      config: { scope: 'upload' },
      schema: { tags: ['uploads'], summary: 'All uploads', response: replies({ 200: UploadList }) }
    },
    async () => ({ uploads: uploads.list().map(viewUpload) })
  )
  app.get(
    '/v1/uploads/:id',
    {
      config: { scope: 'upload', reach: 'handler' },
      schema: { tags: ['uploads'], summary: 'Which parts are here', params: Id, response: replies({ 200: Upload }) }
    },
    async request => viewUpload(uploads.status(request.params.id))
  )
  app.post(
    '/v1/uploads/:id/complete',
    {
      config: { scope: 'upload', reach: 'handler', audit: 'upload.complete' },
      schema: {
        tags: ['uploads'],
        summary: 'Put the parts together in order of their numbers, hash, and seed',
        params: Id,
        response: replies({ 200: Task })
      }
    },
    async request => viewTask(await uploads.complete(request.params.id))
  )
  app.delete(
    '/v1/uploads/:id',
    {
      config: { scope: 'upload', reach: 'handler', audit: 'upload.abort' },
      schema: {
        tags: ['uploads'],
        summary: 'Give it up and delete its parts',
        params: Id,
        response: replies({ 204: Empty })
      }
    },
    async (request, reply) => {
      await uploads.abort(request.params.id)
      return reply.code(204).send(null)
    }
  )
}

const partRoutes: FastifyPluginAsyncTypebox<ApiInit> = async (app, { uploads, queue }) => {
  // A part's body is a stream; JSON stays JSON.
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))

  app.put(
    '/v1/uploads/:id/parts/:part',
    {
      config: { scope: 'upload', reach: 'handler', audit: 'upload.part', isUpload: true },
      bodyLimit: MAX_PART_BYTES,
      schema: {
        tags: ['uploads'],
        summary:
          'Send a part (application/octet-stream), with its SHA-256 in Content-Digest (sha-256=:…:) or x-amz-checksum-sha256',
        consumes: ['application/octet-stream'],
        params: IdAndPart,
        response: replies({ 200: Part })
      }
    },
    async (request, reply) => {
      const { id, part } = request.params
      const sha256 = checksumOf(request.headers)
      request.raw.setTimeout(UPLOAD_STALL_MS, () => request.raw.destroy())
      const { file: _, ...saved } = await uploads.putPart(id, part, request.raw, {
        sha256,
        announced: Number(request.headers['content-length'] ?? 0)
      })
      request.audited = { target: id, bytes: saved.bytes }
      return reply.header('etag', `"${saved.checksum}"`).send(saved)
    }
  )
  app.post(
    '/v1/uploads/:id/parts/:part/copy',
    {
      config: { scope: 'upload', reach: 'handler', audit: 'upload.part' },
      schema: {
        tags: ['uploads'],
        summary: 'Fill a part from a content that the daemon has',
        params: IdAndPart,
        body: CopyPart,
        response: replies({ 200: Part })
      }
    },
    async request => {
      const source = queue.contents.ofRoot(request.body.root)
      if (source !== undefined) checkReach(request.caller, source)
      const { file: _, ...saved } = await uploads.copyPart(request.params.id, request.params.part, request.body)
      return saved
    }
  )
}

export const uploadRoutes = [wholeRoutes, partRoutes]

/** The SHA-256 that the client gave for the body; throws `InvalidOptionsError` for one that is none. */
function checksumOf(headers: Readonly<Record<string, string | string[] | undefined>>): Uint8Array | undefined {
  const digest = headers['content-digest']
  const text = typeof digest === 'string' ? /sha-256=:([A-Za-z0-9+/=]+):/.exec(digest)?.[1] : headers['x-amz-checksum-sha256']
  if (digest === undefined && text === undefined) return undefined
  const bytes = Buffer.from(String(text ?? ''), 'base64')
  if (bytes.byteLength !== 32) throw new InvalidOptionsError('the checksum is no SHA-256 in base64', { field: 'content-digest' })
  return bytes
}
