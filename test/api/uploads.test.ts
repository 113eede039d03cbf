/** Uploads to a real daemon: in parts, by tus, killed and resumed. */

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { Upload as TusUpload } from 'tus-js-client'
import type { Task } from '../../src/api/schema/tasks.ts'
import type { Part, Upload } from '../../src/api/schema/uploads.ts'
import { UploadStore } from '../../src/daemon/uploads/upload-store.ts'
import { Uploads } from '../../src/daemon/uploads/uploads.ts'
import { createManifest } from '../../src/node/content.ts'
import { eventually, type TestDaemon, World } from '../daemon/fixture.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64')

describe('uploads', { timeout: 600_000 }, () => {
  let world: World
  let daemon: TestDaemon

  before(async () => {
    world = await World.open()
    daemon = await world.daemon('home')
  })
  after(() => world.close())

  const call = async <T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {}
  ): Promise<{ status: number; body: T }> => {
    const isBytes = body instanceof Uint8Array
    const response = await fetch(daemon.url + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' }),
        ...headers
      },
      ...(body === undefined ? {} : { body: isBytes ? (body as never) : JSON.stringify(body) })
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T }
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

  it('in parts without a length: a gap in their numbers is named, and nothing is put together', async () => {
    const { body: upload } = await call<Upload>('POST', '/v1/uploads', { name: 'gap.bin' })
    for (const part of [1, 3, 6]) await call('PUT', `/v1/uploads/${upload.id}/parts/${part}`, randomBytes(100))
    const refused = await call<{ message: string }>('POST', `/v1/uploads/${upload.id}/complete`)
    assert.equal(refused.status, 409)
    assert.match(refused.body.message, /parts 2, 4, 5 are not here/)
    for (const part of [2, 4, 5]) await call('PUT', `/v1/uploads/${upload.id}/parts/${part}`, randomBytes(100))
    assert.equal((await call('POST', `/v1/uploads/${upload.id}/complete`)).status, 200)
  })

  it('a content that is here already keeps the name that it is uploaded under, at once or in parts', async () => {
    const bytes = randomBytes(70_000)
    const send = async (name: string, root?: string): Promise<Task> => {
      const { body: upload } = await call<Upload>('POST', '/v1/uploads', { name, ...(root === undefined ? {} : { root }) })
      if (upload.task !== null) return upload.task
      await call('PUT', `/v1/uploads/${upload.id}/parts/1`, bytes)
      return (await call<Task>('POST', `/v1/uploads/${upload.id}/complete`)).body
    }
    const first = await send('old name.bin')
    const atOnce = await send('new name.bin', first.root)
    const again = await send('third name.bin')
    for (const [task, name] of [
      [atOnce, 'new name.bin'],
      [again, 'third name.bin']
    ] as const) {
      assert.equal(task.id, first.id)
      assert.equal(task.name, name)
      assert.match(task.link ?? '', new RegExp(encodeURIComponent(name).replaceAll('%20', '(%20|\\+)')))
      const reply = await fetch(daemon.url + task.url)
      assert.equal(Buffer.from(await reply.arrayBuffer()).equals(bytes), true)
      assert.match(reply.headers.get('content-disposition') ?? '', new RegExp(name))
    }
    assert.equal((await fetch(daemon.url + first.url)).status, 200)
    assert.equal((await fetch(`${daemon.url}/files/${first.root}/other.bin`)).status, 404)
  })

  it('in parts: any order, side by side, with retries and wrong checksums, 64 of them, none lost', async () => {
    const parts = Array.from({ length: 64 }, (_, index) => randomBytes(20_000 + index * 37))
    const content = Buffer.concat(parts)
    const { status, body: upload } = await call<Upload>('POST', '/v1/uploads', { name: 'parts.bin', length: content.byteLength })
    assert.equal(status, 201)
    const order = parts.map((_, index) => index).sort(() => Math.random() - 0.5)
    await Promise.all(
      order.map(async index => {
        const bytes = parts[index] as Buffer
        const path = `/v1/uploads/${upload.id}/parts/${index + 1}`
        if (index % 3 === 0) {
          const wrong = await call('PUT', path, bytes, { 'content-digest': `sha-256=:${sha256(randomBytes(3))}:` })
          assert.equal(wrong.status, 400)
        }
        const times = index % 5 === 0 ? 2 : 1
        for (let i = 0; i < times; i++) {
          const put = await call<Part>('PUT', path, bytes, { 'content-digest': `sha-256=:${sha256(bytes)}:` })
          assert.equal(put.status, 200, JSON.stringify(put.body))
          assert.equal(put.body.bytes, bytes.byteLength)
        }
      })
    )
    const { body: there } = await call<Upload>('GET', `/v1/uploads/${upload.id}`)
    assert.deepEqual(
      there.parts.map(({ part }) => part),
      parts.map((_, index) => index + 1)
    )
    const done = await call<Task>('POST', `/v1/uploads/${upload.id}/complete`)
    assert.equal(done.status, 200, JSON.stringify(done.body))
    assert.equal(done.body.state, 'complete')
    assert.ok((await readFile(done.body.path as string)).equals(content))
    const served = await fetch(daemon.url + done.body.url)
    assert.ok(Buffer.from(await served.arrayBuffer()).equals(content))
    // Completing again tells the same.
    assert.equal((await call<Task>('POST', `/v1/uploads/${upload.id}/complete`)).body.id, done.body.id)
  })

  it('of what is here already need no byte, and unfinished ones go on', async () => {
    const content = randomBytes(300_000)
    await writeFile(join(world.folder, 'known.bin'), content)
    const { root, pieceLength } = await createManifest(join(world.folder, 'known.bin'), { stateDir: world.folder })
    const announced = { name: 'known.bin', length: content.byteLength, root, pieceLength }
    const first = await call<Upload>('POST', '/v1/uploads', announced)
    await call('PUT', `/v1/uploads/${first.body.id}/parts/1`, content.subarray(0, 100_000))
    const again = await call<Upload>('POST', '/v1/uploads', announced)
    assert.equal(again.body.id, first.body.id)
    assert.equal(again.body.received, 100_000)
    const early = await call<{ code: string }>('POST', `/v1/uploads/${first.body.id}/complete`)
    assert.equal(early.status, 409)
    await call('PUT', `/v1/uploads/${first.body.id}/parts/2`, content.subarray(100_000))
    const done = await call<Task>('POST', `/v1/uploads/${first.body.id}/complete`)
    assert.equal(done.body.root, root)
    const instant = await call<Upload>('POST', '/v1/uploads', announced)
    assert.equal(instant.body.state, 'complete')
    assert.equal(instant.body.task?.root, root)
  })

  it('that are not what was announced are refused, and aborted ones are gone', async () => {
    const { body: upload } = await call<Upload>('POST', '/v1/uploads', { name: 'x', length: 10, root: 'a'.repeat(64) })
    const over = await call<{ code: string }>('PUT', `/v1/uploads/${upload.id}/parts/1`, randomBytes(11))
    assert.equal(over.status, 413)
    await call('PUT', `/v1/uploads/${upload.id}/parts/1`, randomBytes(10))
    assert.equal((await call('POST', `/v1/uploads/${upload.id}/complete`)).status, 409)
    assert.equal((await call('DELETE', `/v1/uploads/${upload.id}`)).status, 204)
    assert.equal((await call('GET', `/v1/uploads/${upload.id}`)).status, 404)
    assert.equal((await call('POST', '/v1/uploads', { name: '../x' })).status, 400)
  })

  it('by tus: created, sent in chunks, seeded at the end', async () => {
    const content = randomBytes(500_000)
    const upload = await tusUpload(content, { chunkSize: 120_000 })
    const { body } = await call<{ tasks: Task[] }>('GET', '/v1/tasks?state=complete')
    const task = body.tasks.find(({ name }) => name === 'by-tus.bin') as Task
    assert.ok((await readFile(task.path as string)).equals(content))
    const head = await fetch(upload.url as string, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } })
    assert.equal(head.headers.get('upload-offset'), String(content.byteLength))
    assert.equal(head.headers.get('swarm-root'), task.root)
  })

  it('by tus: resumed from where the server is, after the client was cut off', async () => {
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
    const received = async (): Promise<number> =>
      (await call<Upload>('GET', `/v1/uploads/${url.split('/').at(-1)}`)).body.received
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
    const { body } = await call<{ tasks: Task[] }>('GET', '/v1/tasks?state=complete')
    const task = body.tasks.find(({ name }) => name === 'cut.bin') as Task
    assert.ok((await readFile(task.path as string)).equals(content))
  })

  it('by tus: parallel parts are put together', async () => {
    const content = randomBytes(900_001)
    await tusUpload(content, { parallelUploads: 3, metadata: { filename: 'joined.bin' } })
    const { body } = await call<{ tasks: Task[] }>('GET', '/v1/tasks?state=complete')
    const task = body.tasks.find(({ name }) => name === 'joined.bin') as Task
    assert.ok((await readFile(task.path as string)).equals(content))
  })

  it('by tus: bytes whose checksum is wrong are not kept; terminated uploads are gone', async () => {
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
    const { body } = await call<Upload>('GET', `/v1/uploads/${url.split('/').at(-1)}`)
    assert.equal(body.received, 400)
    assert.equal((await fetch(url, { method: 'DELETE', headers })).status, 204)
    assert.equal((await fetch(url, { method: 'HEAD', headers })).status, 404)
    const options = await fetch(`${daemon.url}/uploads`, { method: 'OPTIONS' })
    assert.match(options.headers.get('tus-extension') ?? '', /creation.*termination.*expiration.*checksum.*concatenation/)
    assert.match(options.headers.get('tus-checksum-algorithm') ?? '', /sha256/)
  })

  it('tell how much of them is here, and expire when nothing comes for long enough', async () => {
    const folder = join(world.folder, 'expiring')
    await mkdir(folder)
    const store = new UploadStore(folder, join(folder, 'uploads'))
    const unused = (): never => assert.fail('no upload is complete')
    const uploads = new Uploads({
      store,
      contents: { usedBytes: 0, ofRoot: () => undefined, get: unused, open: unused, alsoCalled: unused },
      adopt: unused,
      stateDir: folder,
      completeDir: folder,
      maxBytes: 0,
      quotaBytes: () => 0,
      expiryMs: 600_000,
      log: { info: () => {}, warn: () => {} }
    })
    const byParts = await uploads.initiate({ kind: 'multipart', name: 'a', length: 1000 })
    await uploads.putPart(byParts.id, 1, Readable.from([randomBytes(300)]))
    const byTus = await uploads.initiate({ kind: 'tus', name: 'b', length: 1000 })
    await writeFile(store.tusFile(byTus.id), randomBytes(400))
    const received = (): number[] => uploads.list().map(upload => upload.received)
    assert.deepEqual(received().sort(), [300, 400])
    const nowMs = Date.now()
    // Bytes came by tus five minutes later.
    await utimes(store.tusFile(byTus.id), nowMs / 1000 + 300, nowMs / 1000 + 300)
    await uploads.expire(nowMs + 500_000)
    assert.equal(received().length, 2)
    await uploads.expire(nowMs + 750_000)
    assert.deepEqual(received(), [400])
    await uploads.expire(nowMs + 1_000_000)
    assert.deepEqual(received(), [])
    assert.deepEqual(await readdir(store.folder), [])
    await uploads.stop()
  })

  it('are held against the quota and the largest size', async () => {
    const small = await world.daemon('small', { 'max-upload-size': '1MB' })
    const response = await fetch(`${small.url}/v1/uploads`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'big', length: 2_000_000 })
    })
    assert.equal(response.status, 413)
    const tus = await fetch(`${small.url}/uploads`, {
      method: 'POST',
      headers: { 'tus-resumable': '1.0.0', 'upload-length': '2000000' }
    })
    assert.equal(tus.status, 413)
  })
})
