/**
 * Resumable uploads by tus 1.0 (https://tus.io/protocols/resumable-upload) at `/uploads`: creation (also with
 * the first bytes and with the length to follow), termination, expiration, checksum, concatenation.
 *
 * @tus/server speaks the protocol and @tus/file-store keeps the bytes; records are the daemon's.
 * Checksums and concatenation are ours, since neither has them.
 *
 * Invariants: bytes whose checksum is wrong are cut off again before anything is answered; a finished upload
 * is hashed and seeded before its last request is answered. Called by its routes.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, type Hash, randomUUID } from 'node:crypto'
import { stat, truncate } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { FileStore } from '@tus/file-store'
import { type DataStore, Server, type Upload as TusUpload } from '@tus/server'
import type { Debit, GrowingUpload, UploadService } from '../../daemon/content-service.ts'
import { httpStatusOf, InvalidOptionsError, NotFoundError, SwarmError } from '../../errors.ts'

const PATH = '/uploads'
const MAX_PARTS = 1000
/** What the protocol calls a checksum that does not match. */
const CHECKSUM_MISMATCH = 460
const ALGORITHMS = ['sha256', 'sha1', 'md5'] as const

interface RequestFacts {
  checksum: { hash: Hash; expected: Buffer } | undefined
  isPartial: boolean
  /** Content-Length. */
  announced: number
}

export class TusUploads {
  readonly #uploads: UploadService
  readonly #server: Server
  readonly #store: FileStore
  readonly #facts = new AsyncLocalStorage<RequestFacts>()

  constructor(
    uploads: UploadService,
    { maxBytes, expiryMs, allowOrigin }: { maxBytes: number; expiryMs: number; allowOrigin: (origin: string) => boolean }
  ) {
    this.#uploads = uploads
    this.#store = new CheckedFileStore(
      {
        directory: uploads.folder,
        expirationPeriodInMilliseconds: expiryMs,
        configstore: {
          get: async key => {
            const known = uploads.find(idOf(key))
            if (known === undefined) return undefined
            return {
              id: key,
              size: known.length,
              offset: 0,
              metadata: { ...known.metadata },
              // The library counts the expiry from here.
              creation_date: new Date(known.expiresMs - expiryMs).toISOString(),
              storage: undefined
            } as TusUpload
          },
          set: async (key, upload) => {
            const known = uploads.find(idOf(key))
            if (known !== undefined) uploads.announce(known.id, upload.size)
            else await this.#create(idOf(key), upload)
          },
          delete: async key => uploads.remove(idOf(key)),
          list: async () => uploads.list().map(({ id }) => keyOf(id))
        }
      },
      this.#facts,
      (id, announced) => uploads.debit(id, announced)
    ) as FileStore
    this.#server = new Server({
      path: PATH,
      datastore: this.#store as unknown as DataStore,
      relativeLocation: true,
      allowedOrigins: allowOrigin,
      ...(maxBytes > 0 ? { maxSize: maxBytes } : {}),
      namingFunction: () => keyOf(randomUUID()),
      generateUrl: (_request, { id }) => `${PATH}/${idOf(id)}`,
      getFileIdFromRequest: (_request, last) => (last === undefined ? undefined : keyOf(last.split('/').at(-1) ?? '')),
      onUploadCreate: async (_request, upload) => {
        uploads.checkRoom(upload.size ?? 0)
        return {}
      },
      onUploadFinish: async (_request, upload) => {
        const { id, isPartial, isComplete } = this.#known(idOf(upload.id))
        if (isPartial || isComplete) return {}
        const content = await uploads.finish(id)
        return { headers: { 'Swarm-Root': content.root, 'Swarm-Task': content.id } }
      },
      onResponseError: (_request, err) =>
        err instanceof SwarmError ? { status_code: httpStatusOf(err), body: `${err.message}\n` } : undefined
    })
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const concat = request.headers['upload-concat']
      if (request.method === 'OPTIONS') {
        response.setHeader('tus-checksum-algorithm', ALGORITHMS.join(','))
      } else if (request.method === 'POST' && typeof concat === 'string' && concat.startsWith('final;')) {
        await this.#concatenate(concat, request, response)
        return
      } else if (request.method === 'HEAD') {
        const id = request.url?.split('/').at(-1) ?? ''
        const known = this.#uploads.find(id)
        if (known?.isPartial === true) response.setHeader('upload-concat', 'partial')
        if (known?.isComplete === true && known.length !== undefined) {
          // Its bytes have moved to the complete contents.
          response.writeHead(200, {
            ...TUS,
            'upload-offset': known.length,
            'upload-length': known.length,
            'swarm-root': known.root ?? '',
            'cache-control': 'no-store'
          })
          response.end()
          return
        }
      }
      const facts: RequestFacts = {
        checksum: checksumOf(request.headers['upload-checksum']),
        isPartial: concat === 'partial',
        announced: Number(request.headers['content-length'] ?? 0) || 0
      }
      await this.#facts.run(facts, () => this.#server.handle(request, response))
    } catch (err) {
      if (response.headersSent) response.destroy()
      else response.writeHead(httpStatusOf(err), TUS).end(`${err instanceof SwarmError ? err.message : 'failed'}\n`)
    }
  }

  /** Makes one upload of parts that are complete, in the order given. */
  async #concatenate(concat: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ids = concat
      .slice('final;'.length)
      .trim()
      .split(/\s+/)
      .map(url => url.split('/').at(-1) ?? '')
    if (new Set(ids).size < ids.length) throw new InvalidOptionsError('the concatenation names a part more than once')
    if (ids.length > MAX_PARTS) throw new InvalidOptionsError(`more than ${MAX_PARTS} parts`)
    let length = 0
    for (const id of ids) {
      if (!this.#known(id).isPartial)
        throw new InvalidOptionsError('one of the parts was not announced as one (Upload-Concat: partial)', { id })
      const { size, offset } = await this.#store.getUpload(keyOf(id)).catch(err => {
        throw new NotFoundError('no such upload; it may have expired', { id, cause: String(err) })
      })
      if (size !== offset) throw new InvalidOptionsError('one of the parts is not complete', { id })
      length += offset
    }
    const id = randomUUID()
    const metadata = parseMetadata(request.headers['upload-metadata'])
    const whole = { name: nameOf(metadata), length, root: metadata.root ?? undefined, metadata, isPartial: false }
    const content = await this.#uploads.join(id, whole, ids)
    response.writeHead(201, { ...TUS, location: `${PATH}/${id}`, 'swarm-root': content.root, 'swarm-task': content.id }).end()
  }

  async #create(id: string, upload: TusUpload): Promise<void> {
    const metadata = upload.metadata ?? {}
    const isPartial = this.#facts.getStore()?.isPartial === true
    await this.#uploads.begin(id, {
      name: isPartial ? 'part' : nameOf(metadata),
      length: upload.size,
      root: metadata.root ?? undefined,
      metadata,
      isPartial
    })
  }

  /** Throws `NotFoundError`. */
  #known(id: string): GrowingUpload {
    const known = this.#uploads.find(id)
    if (known === undefined) throw new NotFoundError('no such upload; it may have expired', { id })
    return known
  }
}

const TUS = { 'tus-resumable': '1.0.0' }

/** The library's file lies in the upload's folder. */
function keyOf(id: string): string {
  return `${id}/data`
}

function idOf(key: string): string {
  return key.split('/')[0] as string
}

/**
 * Debits what is written before it is, compares it with the checksum of the request, and takes it back when
 * that differs.
 */
class CheckedFileStore extends FileStore {
  readonly #facts: AsyncLocalStorage<RequestFacts>
  readonly #begin: (id: string, announced: number) => Debit

  constructor(
    options: ConstructorParameters<typeof FileStore>[0],
    facts: AsyncLocalStorage<RequestFacts>,
    begin: (id: string, announced: number) => Debit
  ) {
    super(options)
    this.extensions = [...this.extensions, 'checksum', 'concatenation', 'concatentation']
    this.#facts = facts
    this.#begin = begin
  }

  override async write(readable: Parameters<FileStore['write']>[0], key: string, offset: number): Promise<number> {
    const facts = this.#facts.getStore()
    const checksum = facts?.checksum
    const debit = this.#begin(idOf(key), facts?.announced ?? 0)
    let refusal: unknown
    const tap = new Transform({
      transform: (chunk, _, done) => {
        try {
          debit.take((chunk as Buffer).byteLength)
          checksum?.hash.update(chunk as Buffer)
          done(null, chunk)
        } catch (err) {
          refusal = err
          done(err as Error)
        }
      }
    })
    readable.on('error', err => tap.destroy(err))
    const path = join(this.directory, key)
    let end = offset
    try {
      end = await super.write(readable.pipe(tap), key, offset)
      if (checksum !== undefined && !checksum.hash.digest().equals(checksum.expected)) {
        await truncate(path, offset)
        end = offset
        throw { status_code: CHECKSUM_MISMATCH, body: 'Checksum Mismatch\n' }
      }
      return end
    } catch (err) {
      // Without all of it nothing is known of the part that came.
      if (checksum !== undefined) await truncate(path, offset)
      end = (await stat(path).catch(() => undefined))?.size ?? offset
      throw refusal ?? err
    } finally {
      debit.settle({ bytes: end - offset, replaced: 0 })
    }
  }
}

function checksumOf(header: string | string[] | undefined): RequestFacts['checksum'] {
  if (typeof header !== 'string') return undefined
  const [algorithm = '', value = ''] = header.split(' ')
  const known = ALGORITHMS.find(each => each === algorithm.toLowerCase())
  if (known === undefined)
    throw new InvalidOptionsError(`no such checksum here: ${algorithm}; there are ${ALGORITHMS.join(', ')}`)
  return { hash: createHash(known), expected: Buffer.from(value, 'base64') }
}

function parseMetadata(header: string | string[] | undefined): Record<string, string | null> {
  const metadata: Record<string, string | null> = {}
  for (const pair of typeof header === 'string' ? header.split(',') : []) {
    const [key = '', value] = pair.trim().split(' ')
    if (key !== '') metadata[key] = value === undefined ? null : Buffer.from(value, 'base64').toString()
  }
  return metadata
}

function nameOf(metadata: Readonly<Record<string, string | null>>): string {
  return metadata.filename ?? metadata.name ?? 'upload'
}
