/**
 * Uploads that want more than the quota, the largest size or the disk gives: as one part, as many side by
 * side, announced and never sent, one part named over and over.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import type { Upload } from '../../src/api/schema/uploads.ts'
import { UploadLedger } from '../../src/daemon/uploads/ledger.ts'
import { StoreError } from '../../src/errors.ts'
import { type RawReply, raw, type TestDaemon, World } from '../daemon/fixture.ts'

const MB = 1_000_000
const TUS = { 'tus-resumable': '1.0.0' }

describe('hostile uploads', { timeout: 300_000 }, () => {
  let world: World
  let daemon: TestDaemon
  before(async () => {
    world = await World.open()
    daemon = await world.daemon('bounded', { quota: '20MB', 'max-upload-size': '10MB' })
  })
  after(() => world.close())

  const begin = async (body: object): Promise<{ status: number; id: string }> => {
    const reply = await fetch(`${daemon.url}/v1/uploads`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
    return { status: reply.status, id: ((await reply.json()) as Upload).id }
  }
  /** Without Content-Length, so that only the bytes themselves tell. */
  const stream = (method: string, path: string, bytes: number, headers: Record<string, string> = {}): Promise<number> => {
    const chunk = randomBytes(64 * 1024)
    const body = Readable.from(
      (async function* () {
        for (let sent = 0; sent < bytes; sent += chunk.byteLength)
          yield chunk.subarray(0, Math.min(chunk.byteLength, bytes - sent))
      })()
    )
    return fetch(daemon.url + path, {
      method,
      headers: { 'content-type': 'application/octet-stream', ...headers },
      body: Readable.toWeb(body) as never,
      duplex: 'half'
    } as RequestInit).then(
      reply => reply.status,
      // Cut off before all of it had gone.
      () => 413
    )
  }
  const onDisk = async (): Promise<number> => {
    const folder = join(daemon.folder, 'incomplete', 'uploads')
    let bytes = 0
    for (const name of await readdir(folder, { recursive: true })) {
      const found = await stat(join(folder, name)).catch(() => undefined)
      if (found?.isFile() === true) bytes += found.size
    }
    return bytes
  }
  const clear = async (): Promise<void> => {
    for (const { id } of ((await (await fetch(`${daemon.url}/v1/uploads`)).json()) as { uploads: Upload[] }).uploads)
      await fetch(`${daemon.url}/v1/uploads/${id}`, { method: 'DELETE' })
    assert.equal(await onDisk(), 0)
  }

  test('no part goes through the largest size, with or without a length, alone or side by side', async () => {
    const { id } = await begin({ name: 'one' })
    assert.equal(await stream('PUT', `/v1/uploads/${id}/parts/1`, 60 * MB), 413)
    assert.ok((await onDisk()) <= 10 * MB)
    const many = await Promise.all(
      Array.from({ length: 8 }, (_, part) => stream('PUT', `/v1/uploads/${id}/parts/${part + 1}`, 9 * MB))
    )
    assert.ok(many.filter(status => status === 200).length <= 1, many.join(' '))
    assert.ok((await onDisk()) <= 10 * MB)
    await clear()
  })

  test('no number of uploads goes through the quota', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, (_, upload) => begin({ name: `many-${upload}` })))
    const statuses = await Promise.all(ids.map(({ id }) => stream('PUT', `/v1/uploads/${id}/parts/1`, 9 * MB)))
    assert.ok(statuses.filter(status => status === 200).length <= 2, statuses.join(' '))
    const created = await fetch(`${daemon.url}/uploads`, { method: 'POST', headers: { ...TUS, 'upload-defer-length': '1' } })
    const place = created.headers.get('location') as string
    const patch = { ...TUS, 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' }
    assert.equal(await stream('PATCH', place, 30 * MB, patch), 413)
    assert.ok((await onDisk()) <= 20 * MB, `${await onDisk()}`)
    await clear()
  })

  test('a part whose length is too large is refused before a byte of it is read', async () => {
    const { id } = await begin({ name: 'announced' })
    const reply = await new Promise<RawReply>((resolve, reject) => {
      raw(`${daemon.url}/v1/uploads/${id}/parts/1`, {
        method: 'PUT',
        headers: { 'content-type': 'application/octet-stream', 'content-length': String(11 * MB), expect: '100-continue' }
      }).then(resolve, reject)
    })
    assert.equal(reply.status, 413)
    await clear()
  })

  test('a concatenation that names one part 200 times is refused', async () => {
    const part = await fetch(`${daemon.url}/uploads`, {
      method: 'POST',
      headers: { ...TUS, 'upload-concat': 'partial', 'upload-length': '40000' }
    })
    const place = part.headers.get('location') as string
    await stream('PATCH', place, 40_000, { ...TUS, 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' })
    const final = await fetch(`${daemon.url}/uploads`, {
      method: 'POST',
      headers: { ...TUS, 'upload-concat': `final;${Array.from({ length: 200 }, () => place).join(' ')}` }
    })
    assert.equal(final.status, 400)
    assert.ok((await onDisk()) <= 40_000)
    await clear()
  })
})

describe('the ledger of uploads', () => {
  let nowMs = 0
  let free = Number.POSITIVE_INFINITY
  let looks = 0
  const ledgerOf = (maxBytes: number, quota: number): UploadLedger =>
    new UploadLedger({
      folder: '/',
      maxBytes,
      quotaBytes: () => quota,
      otherBytes: () => {
        looks++
        return 0
      },
      nowMs: () => nowMs,
      freeBytes: () => free
    })

  test('keeps room for an announced length only while bytes come', () => {
    const ledger = ledgerOf(0, 100)
    ledger.open('silent', 100, 0, { isNew: true })
    assert.throws(() => ledger.open('other', 10, 0, { isNew: true }), { code: 'too_large' })
    nowMs += 60_001
    ledger.open('other', 10, 0, { isNew: true })
    const debit = ledger.begin('silent')
    debit.take(80)
    assert.equal(ledger.claimedBytes, 110)
    assert.throws(() => ledger.begin('other').take(11), { code: 'too_large' })
    debit.settle()
    ledger.close('silent')
    assert.equal(ledger.claimedBytes, 10)
  })

  test('counts a part that is sent again once', () => {
    const ledger = ledgerOf(10, 0)
    ledger.open('a', undefined, 0, { isNew: true })
    const first = ledger.begin('a')
    first.take(10)
    first.settle({ bytes: 10, replaced: 0 })
    assert.throws(() => ledger.begin('a').take(1), { code: 'too_large' })
    const again = ledger.begin('a', { replaced: 10 })
    again.take(10)
    assert.throws(() => again.take(1), { code: 'too_large' })
    again.settle({ bytes: 10, replaced: 10 })
    assert.equal(ledger.claimedBytes, 10)
  })

  test('says how much is missing when the disk has no room, and goes on when it has', () => {
    const ledger = ledgerOf(0, 0)
    nowMs += 1000
    free = 64 * 1024 * 1024 + 100
    assert.throws(
      () => ledger.open('a', 150, 0, { isNew: true }),
      (err: StoreError) => err.errno === 'ENOSPC' && err.details.missingBytes === 50 && /50 B are missing/.test(err.message)
    )
    ledger.open('b', 80, 0, { isNew: true })
    assert.throws(() => ledger.open('c', 30, 0, { isNew: true }), { code: 'store_error' })
    const debit = ledger.begin('b')
    debit.take(80)
    assert.throws(() => debit.take(21), { code: 'too_large' })
    debit.settle({ bytes: 80, replaced: 0 })
    free = Number.POSITIVE_INFINITY
    nowMs += 1000
    ledger.open('c', 30, 0, { isNew: true })
  })

  test('costs the same for a chunk with a thousand uploads as with one', () => {
    const ledger = ledgerOf(0, 10 ** 12)
    ledger.open('a', undefined, 0, { isNew: true })
    const debit = ledger.begin('a')
    const chunk = (): number => {
      const startedMs = performance.now()
      for (let take = 0; take < 20_000; take++) debit.take(1)
      return performance.now() - startedMs
    }
    chunk()
    const alone = Math.min(chunk(), chunk(), chunk())
    for (let other = 0; other < 1000; other++) ledger.open(String(other), 10, 0, { isNew: true })
    looks = 0
    const among = Math.min(chunk(), chunk(), chunk())
    assert.ok(among < 5 * alone + 5, `${among} ms and ${alone} ms for 20,000 chunks`)
    assert.equal(looks, 0, 'what downloads have is not added up for each chunk')
  })
})

test('a store error may say more than its path', () => {
  assert.deepEqual(new StoreError('x', '/y', { code: 'ENOSPC' }, { missingBytes: 1 }).details, {
    path: '/y',
    errno: 'ENOSPC',
    missingBytes: 1
  })
})
