/**
 * A daemon whose downloads and uploads lie on a disk that is full: what it answers, and how it goes on.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { eventually, type Flags, sha256, type TestDaemon, until, untilComplete, World } from './fixture.ts'

const MB = 1_000_000
/** Kept free by uploads for the rest of the machine. */
const MARGIN = 64 * 1024 * 1024

interface Small {
  world: World
  /** The file system: complete and incomplete folder lie there. */
  mount: string
  flags: Flags
}

/** Undefined, and the test skipped, where we may not mount. */
async function smallDisk(t: TestContext, bytes: number): Promise<Small | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    t.skip('needs root on Linux to mount a small file system')
    return undefined
  }
  const world = await World.open()
  const mount = join(world.folder, 'small')
  await mkdir(mount)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'swarm-test', mount], { stdio: 'pipe' })
  } catch (err) {
    await world.close()
    t.skip(`may not mount here: ${(err as Error).message.trim()}`)
    return undefined
  }
  t.after(async () => {
    execFileSync('umount', ['-l', mount])
    await world.close()
  })
  return { world, mount, flags: { 'complete-dir': join(mount, 'complete'), 'incomplete-dir': join(mount, 'incomplete') } }
}

describe('a daemon on a full disk', () => {
  test('fails a download with how much is missing; resume goes on with what is there once there is room', async t => {
    const small = await smallDisk(t, 12 * MB)
    if (small === undefined) return
    const { world, mount, flags } = small
    const path = await world.file('content.bin', 8 * MB)
    const seeder = await world.daemon('seeder')
    const { link } = await seeder.client.addTask({ seed: path })
    const to = await world.daemon('leecher', flags)
    await writeFile(join(mount, 'ballast'), Buffer.alloc(8 * MB))
    const { id } = await to.client.addTask({ source: link ?? '' })
    const failed = await until(to.client, id, ({ state }) => state === 'failed')
    assert.equal(failed.error?.details.errno, 'ENOSPC')
    const missing = Number(failed.error?.details.missingBytes)
    assert.ok(missing > 3 * MB && missing <= 8 * MB, `${missing} bytes are missing`)
    assert.match(failed.error?.message ?? '', /are missing; make room and resume/)
    await rm(join(mount, 'ballast'))
    await to.client.act(id, 'resume')
    const done = await untilComplete(to.client, id)
    assert.equal(await sha256(done.path as string), await sha256(path))
    assert.ok(failed.bytesDone > 0)
    const cameAfter = done.bytesDownloaded - failed.bytesDownloaded
    assert.ok(cameAfter <= 8 * MB - failed.bytesDone, `${cameAfter} bytes came after ${failed.bytesDone} were there`)
  })

  test('answers 507 with the missing bytes to a part and to a tus upload, and takes them once there is room', async t => {
    const small = await smallDisk(t, MARGIN + 8 * MB)
    if (small === undefined) return
    const { world, mount, flags } = small
    const to = await world.daemon('home', flags)
    const ballast = join(mount, 'ballast')
    const body = randomBytes(2 * MB)
    const id = await begin(to)
    await writeFile(ballast, Buffer.alloc(7 * MB))

    // What it saw of the disk half a second ago is believed.
    let refused = await post(to, 'big', 2 * MB)
    await eventually(async () => {
      if (refused.status !== 507) refused = await post(to, 'big', 2 * MB)
      return refused.status === 507
    }, 'the disk is full')
    assertMissing(await refused.json())
    const part = await putPart(to, id, body)
    assert.equal(part.status, 507)
    assertMissing(await part.json())
    const tus = await beginTus(to, body.byteLength)
    assert.equal(tus.status, 507)
    assert.match(await tus.text(), /[\d.]+ \w?i?B are missing; make room and send it again/)

    await rm(ballast)
    await eventually(async () => (await beginTus(to, body.byteLength)).status === 201, 'tus is taken')
    assert.equal((await putPart(to, id, body)).status, 200)
    const done = await fetch(`${to.url}/v1/uploads/${id}/complete`, { method: 'POST' })
    assert.ok(done.ok, await done.clone().text())
  })
})

function post(to: TestDaemon, name: string, length?: number): Promise<Response> {
  return fetch(`${to.url}/v1/uploads`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, length })
  })
}

async function begin(to: TestDaemon): Promise<string> {
  const { id } = (await (await post(to, 'up.bin')).json()) as { id: string }
  return id
}

function putPart(to: TestDaemon, id: string, body: Buffer<ArrayBuffer>): Promise<Response> {
  const headers = { 'content-type': 'application/octet-stream' }
  return fetch(`${to.url}/v1/uploads/${id}/parts/1`, { method: 'PUT', headers, body })
}

function beginTus(to: TestDaemon, length: number): Promise<Response> {
  const headers = { 'tus-resumable': '1.0.0', 'upload-length': String(length) }
  return fetch(`${to.url}/uploads`, { method: 'POST', headers })
}

function assertMissing(body: unknown): void {
  const { details } = body as { details: { missingBytes: number } }
  assert.ok(details.missingBytes > 0 && details.missingBytes <= 3 * MB, `${details.missingBytes} bytes are missing`)
}
