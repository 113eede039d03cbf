/** Uploads in parts to a real daemon. */

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Task } from '../../src/api/schema/tasks.ts'
import type { Part, Upload } from '../../src/api/schema/uploads.ts'
import { createManifest } from '../../src/node/manifests.ts'
import { type TestDaemon, World } from '../daemon/fixture.ts'

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
