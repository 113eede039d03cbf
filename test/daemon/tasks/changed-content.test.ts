/**
 * What happens to tasks and readers when files on disk change, vanish and come back while the daemon runs.
 */

import assert from 'node:assert/strict'
import { appendFile, copyFile, mkdir, open, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { raw, sha256, type TestDaemon, until, untilComplete, World } from '../fixture.ts'

describe('contents that change', () => {
  let world: World
  let seeder: TestDaemon

  before(async () => {
    world = await World.open()
    seeder = await world.daemon('seeder')
  })
  after(() => world.close())

  const overwrite = async (path: string, position: number): Promise<void> => {
    const file = await open(path, 'r+')
    await file.write('changed', position)
    await file.close()
  }

  test('a shared file that changes fails its task at once, with the reason, and comes back with its bytes', async () => {
    const { client, url } = seeder
    const path = await world.file('shared.bin', 900_000)
    const kept = join(world.folder, 'kept.bin')
    await copyFile(path, kept)
    const { id, url: address } = await client.addTask({ seed: path })
    for (const [what, change] of [
      ['overwritten', () => overwrite(path, 500_000)],
      ['longer', () => appendFile(path, 'more')],
      ['gone', () => rename(path, `${path}.away`)]
    ] as const) {
      await change()
      const failed = await until(client, id, ({ state }) => state === 'failed')
      assert.match(failed.error?.message ?? '', /served again when its bytes are back/, what)
      const reply = await raw(url + address)
      assert.equal(reply.status, 503, what)
      assert.equal(reply.headers.etag, undefined, what)
      await copyFile(kept, path)
      await until(client, id, ({ state, error }) => state === 'complete' && error === null)
      assert.equal((await raw(url + address)).body.equals(await readFile(kept)), true, what)
    }
  })

  test('a reader of a file that has just changed gets a status, and no byte that is not the content’s', async () => {
    const { client, url } = seeder
    const path = await world.file('read.bin', 900_000)
    const bytes = await readFile(path)
    const { id, url: address } = await client.addTask({ seed: path })
    await overwrite(path, 0)
    // Nobody has looked at the file yet: the reader is who finds it out.
    const reply = await raw(url + address)
    assert.equal(reply.status, 503)
    assert.match(reply.body.toString(), /changed since it was hashed/)
    await until(client, id, ({ state }) => state === 'failed')
    await writeFile(path, bytes)
    await until(client, id, ({ state }) => state === 'complete')
  })

  test('a file that was only touched goes on being shared', async () => {
    const { client, url } = seeder
    const path = await world.file('touched.bin', 300_000)
    const { id, url: address } = await client.addTask({ seed: path })
    const other = await world.file('other.bin', 300_000)
    const second = await client.addTask({ seed: other })
    await utimes(path, new Date(), new Date(1_000_000_000_000))
    await rm(other)
    // The second was looked at after the first.
    await until(client, second.id, ({ state }) => state === 'failed')
    assert.equal((await client.task(id)).state, 'complete')
    assert.equal((await raw(url + address)).status, 200)
  })

  test('a file of a shared folder that is replaced fails the task, and is never given out as the content', async () => {
    const { client, url } = seeder
    const folder = join(world.folder, 'content', 'folder')
    await mkdir(join(folder, 'deep'), { recursive: true })
    await writeFile(join(folder, 'a'), Buffer.alloc(200_000, 1))
    await writeFile(join(folder, 'deep', 'b'), Buffer.alloc(200_000, 2))
    const { id, root } = await client.addTask({ seed: folder })
    await writeFile(join(folder, 'deep', 'new'), Buffer.alloc(200_000, 3))
    await rename(join(folder, 'deep', 'new'), join(folder, 'deep', 'b'))
    assert.equal((await raw(`${url}/files/${root}/deep/b`)).status, 503)
    await until(client, id, ({ state }) => state === 'failed')
  })

  test('a download that is damaged while it is served fails, and resume mends it', async () => {
    const path = await world.file('damaged.bin', 900_000)
    const seed = await seeder.client.addTask({ seed: path })
    const { client } = await world.daemon('leecher')
    const { id } = await client.addTask({ source: seed.link ?? '' })
    const done = await untilComplete(client, id)
    await overwrite(done.path as string, 700_000)
    await until(client, id, ({ state }) => state === 'failed')
    await client.act(id, 'resume')
    await untilComplete(client, id)
    assert.equal(await sha256(done.path as string), await sha256(path))
  })
})
