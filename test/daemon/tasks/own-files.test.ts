/**
 * What the daemon deletes, keeps and mends on disk, over its API.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, test } from 'node:test'
import type { Task } from '../../../src/api/schema/tasks.ts'
import { sha256, type TestDaemon, until, untilComplete, World } from '../fixture.ts'

describe('files of a daemon', () => {
  let world: World
  let seeder: TestDaemon
  let paths: string[]
  let seeds: Task[]

  before(async () => {
    world = await World.open()
    seeder = await world.daemon('seeder')
    paths = await Promise.all([0, 1].map(i => world.file(`file-${i}.bin`, 600_000 + i)))
    seeds = []
    for (const seed of paths) seeds.push(await seeder.client.addTask({ seed }))
  })
  after(() => world.close())

  const get = async (to: TestDaemon, i: number): Promise<Task> => {
    const { id } = await to.client.addTask({ source: seeds[i]?.link ?? '' })
    return untilComplete(to.client, id)
  }

  test('deleting a task deletes its file, but not the folder that its user made there meanwhile, and says so', async () => {
    const to = await world.daemon('delete')
    const plain = await get(to, 0)
    assert.equal(await to.client.deleteTask(plain.id, true), undefined)
    assert.equal(existsSync(plain.path ?? ''), false)

    const task = await get(to, 0)
    const path = task.path as string
    await rm(path)
    await mkdir(path)
    await writeFile(join(path, 'mine'), 'mine')
    const left = await to.client.deleteTask(task.id, true)
    assert.deepEqual(left, { changed: [{ path, reason: 'no regular file' }], beside: [] })
    assert.equal(await readFile(join(path, 'mine'), 'utf8'), 'mine')
    assert.deepEqual(await to.client.tasks(), [])
  })

  test('what was uploaded is the daemon’s to delete', async () => {
    const to = await world.daemon('uploaded')
    const { root } = (await (
      await fetch(`${to.url}/v1/uploads`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'up.bin' })
      })
    ).json()) as { root: string | null; id: string }
    assert.equal(root, null)
    const [{ id }] = ((await (await fetch(`${to.url}/v1/uploads`)).json()) as { uploads: { id: string }[] }).uploads as [
      { id: string }
    ]
    await fetch(`${to.url}/v1/uploads/${id}/parts/1`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream' },
      body: await readFile(paths[0] as string)
    })
    const done = (await (await fetch(`${to.url}/v1/uploads/${id}/complete`, { method: 'POST' })).json()) as Task
    assert.equal(existsSync(join(to.folder, 'complete', 'up.bin')), true)
    assert.equal(await to.client.deleteTask(done.id, true), undefined)
    assert.equal(existsSync(join(to.folder, 'complete', 'up.bin')), false)
  })

  test('an eviction that meets a file of somebody else fails the task and leaves the file', async () => {
    const to = await world.daemon('evict', { quota: '1000000' })
    const first = await get(to, 0)
    const path = first.path as string
    await rm(path)
    await writeFile(path, 'mine')
    const { id } = await to.client.addTask({ source: seeds[1]?.link ?? '' })
    const failed = await until(to.client, first.id, ({ state }) => state === 'failed')
    assert.match(failed.error?.message ?? '', /is not what the download wrote/)
    assert.equal(await readFile(path, 'utf8'), 'mine')
    await to.client.deleteTask(first.id, true)
    await untilComplete(to.client, id)
    assert.equal(await readFile(path, 'utf8'), 'mine')
  })

  test('a deletion that a kill cut short is finished at the next start', async () => {
    const first = await world.daemon('cut-short')
    const evicted = await get(first, 0)
    const deleted = await get(first, 1)
    await first.daemon.stop()
    // As stored before the first file goes.
    const db = new DatabaseSync(join(first.folder, 'state', 'tasks.sqlite'))
    for (const [id, removing] of [
      [evicted.id, 'evict'],
      [deleted.id, 'delete']
    ] as const) {
      const { record } = db.prepare('SELECT record FROM tasks WHERE id = ?').get(id) as { record: string }
      db.prepare('UPDATE tasks SET record = ? WHERE id = ?').run(JSON.stringify({ ...JSON.parse(record), removing }), id)
    }
    db.close()
    const again = await world.daemon('cut-short')
    const task = await until(again.client, evicted.id, ({ state }) => state === 'evicted')
    assert.equal(task.bytesDone, 0)
    await assert.rejects(until(again.client, deleted.id, () => false).then(() => {}))
    assert.deepEqual(await readdir(join(again.folder, 'complete')), [])
    assert.equal((await again.client.limits()).quota.usedBytes, 0)
  })

  test('a damaged download is mended by resume, from what is still good', async () => {
    const first = await world.daemon('mend')
    const task = await get(first, 0)
    const path = task.path as string
    await first.daemon.stop()
    const file = await open(path, 'r+')
    await file.write('damaged', 300_000)
    await file.close()
    const again = await world.daemon('mend')
    await until(again.client, task.id, ({ state }) => state === 'failed')
    await again.client.act(task.id, 'resume')
    await untilComplete(again.client, task.id)
    assert.equal(await sha256(path), await sha256(paths[0] as string))
    const { bytesDownloaded } = await again.client.task(task.id)
    assert.ok(bytesDownloaded < 1_200_000, `${bytesDownloaded} bytes: only the damaged piece came again`)
  })

  test('a file that somebody put where a download was is not written over by resume', async () => {
    const first = await world.daemon('replaced')
    const task = await get(first, 0)
    const path = task.path as string
    await first.daemon.stop()
    await rm(path)
    await writeFile(path, 'mine')
    const again = await world.daemon('replaced')
    await until(again.client, task.id, ({ state }) => state === 'failed')
    await again.client.act(task.id, 'resume')
    const failed = await until(again.client, task.id, ({ state }) => state === 'failed')
    assert.match(failed.error?.message ?? '', /is not what this download put there/)
    assert.equal(await readFile(path, 'utf8'), 'mine')
    await rm(path)
    await again.client.act(task.id, 'resume')
    await untilComplete(again.client, task.id)
    assert.equal((await stat(path)).size, 600_000)
  })
})
