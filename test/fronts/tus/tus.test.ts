/** Uploads by tus to a real daemon: in chunks, cut off and resumed, in parallel parts, with checksums. */

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { Upload as TusUpload } from 'tus-js-client'
import type { Task } from '../../../src/api/schema/tasks.ts'
import type { Upload } from '../../../src/api/schema/uploads.ts'
import { eventually, type TestDaemon, World } from '../../daemon/fixture.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64')

describe('uploads by tus', { timeout: 600_000 }, () => {
  let world: World
  let daemon: TestDaemon

  before(async () => {
    world = await World.open()
    daemon = await world.daemon('home')
  })
  after(() => world.close())

  const call = async <T>(path: string): Promise<{ body: T }> => {
    const response = await fetch(daemon.url + path)
    return { body: (await response.json()) as T }
  }

  const tusUpload = (content: Buffer | Readable, options: Record<string, unknown> = {}): Promise<TusUpload> =>
    new Promise((resolve, reject) => {
      const upload: TusUpload = new TusUpload(content as never, {
        endpoint: `${daemon.url}/uploads`,
        metadata: { filename: 'by-tus.bin' },
        retryDelays: [50, 100, 200],
        ...options,
        onSuccess: () => resolve(upload),
        onError: reject
      })
      upload.start()
    })

  it('created, sent in chunks, seeded at the end', async () => {
    const content = randomBytes(500_000)
    const upload = await tusUpload(content, { chunkSize: 120_000 })
    const { body } = await call<{ tasks: Task[] }>('/v1/tasks?state=complete')
    const task = body.tasks.find(({ name }) => name === 'by-tus.bin') as Task
    assert.ok((await readFile(task.path as string)).equals(content))
    const head = await fetch(upload.url as string, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } })
    assert.equal(head.headers.get('upload-offset'), String(content.byteLength))
    assert.equal(head.headers.get('swarm-root'), task.root)
  })

  it('resumed from where the server is, after the client was cut off', async () => {
    const content = randomBytes(2_000_000)
    const created = await fetch(`${daemon.url}/uploads`, {
      method: 'POST',
      headers: {
        'tus-resumable': '1.0.0',
        'upload-length': String(content.byteLength),
        'upload-metadata': `filename ${Buffer.from('cut.bin').toString('base64')}`
      }
    })
    assert.equal(created.status, 201)
    const url = new URL(created.headers.get('location') as string, daemon.url).href
    const received = async (): Promise<number> => (await call<Upload>(`/v1/uploads/${url.split('/').at(-1)}`)).body.received
    for (let cut = 0; cut < 5; cut++) {
      const offset = Number(
        (await fetch(url, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } })).headers.get('upload-offset')
      )
      const controller = new AbortController()
      const body = Readable.from(
        (async function* () {
          yield content.subarray(offset, offset + 150_000)
          await eventually(async () => (await received()) > offset, 'some of it has come')
          controller.abort()
          yield Buffer.alloc(0)
        })()
      )
      await fetch(url, {
        method: 'PATCH',
        headers: { 'tus-resumable': '1.0.0', 'upload-offset': String(offset), 'content-type': 'application/offset+octet-stream' },
        body: Readable.toWeb(body) as never,
        duplex: 'half',
        signal: controller.signal
      } as RequestInit).catch(() => {})
    }
    const sent: number[] = []
    await tusUpload(content, { uploadUrl: url, onProgress: (bytes: number) => sent.push(bytes) })
    assert.ok((sent[0] as number) > 0, 'the first byte range was sent again')
    const { body } = await call<{ tasks: Task[] }>('/v1/tasks?state=complete')
    const task = body.tasks.find(({ name }) => name === 'cut.bin') as Task
    assert.ok((await readFile(task.path as string)).equals(content))
  })

  it('parallel parts are put together', async () => {
    const content = randomBytes(900_001)
    await tusUpload(content, { parallelUploads: 3, metadata: { filename: 'joined.bin' } })
    const { body } = await call<{ tasks: Task[] }>('/v1/tasks?state=complete')
    const task = body.tasks.find(({ name }) => name === 'joined.bin') as Task
    assert.ok((await readFile(task.path as string)).equals(content))
  })

  it('bytes whose checksum is wrong are not kept; terminated uploads are gone', async () => {
    const headers = { 'tus-resumable': '1.0.0' }
    const created = await fetch(`${daemon.url}/uploads`, { method: 'POST', headers: { ...headers, 'upload-length': '1000' } })
    const url = new URL(created.headers.get('location') as string, daemon.url).href
    const bytes = randomBytes(400)
    const patch = (checksum: string): Promise<Response> =>
      fetch(url, {
        method: 'PATCH',
        headers: {
          ...headers,
          'upload-offset': '0',
          'content-type': 'application/offset+octet-stream',
          'upload-checksum': checksum
        },
        body: bytes
      })
    const wrong = await patch(`sha256 ${sha256(randomBytes(4))}`)
    assert.equal(wrong.status, 460)
    const offset = async (): Promise<string | null> =>
      (await fetch(url, { method: 'HEAD', headers })).headers.get('upload-offset')
    assert.equal(await offset(), '0')
    assert.equal((await patch(`sha256 ${sha256(bytes)}`)).status, 204)
    assert.equal(await offset(), '400')
    const { body } = await call<Upload>(`/v1/uploads/${url.split('/').at(-1)}`)
    assert.equal(body.received, 400)
    assert.equal((await fetch(url, { method: 'DELETE', headers })).status, 204)
    assert.equal((await fetch(url, { method: 'HEAD', headers })).status, 404)
    const options = await fetch(`${daemon.url}/uploads`, { method: 'OPTIONS' })
    assert.match(options.headers.get('tus-extension') ?? '', /creation.*termination.*expiration.*checksum.*concatenation/)
    assert.match(options.headers.get('tus-checksum-algorithm') ?? '', /sha256/)
  })
})
