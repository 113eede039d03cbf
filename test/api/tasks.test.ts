/**
 * Tasks and their queue over the API, with real nodes on loopback. A download limit of a few bytes per second
 * stands for a slow network: a task stays active until the limit is lifted.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { copyFile, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Task } from '../../src/api/schema/tasks.ts'
import { type DaemonEvent, eventually, raw, sha256, type TestDaemon, until, untilComplete, World } from '../daemon/fixture.ts'

const STILL = { downloadBytesPerSecond: 1 }
const MOVE = { downloadBytesPerSecond: 0 }

describe('tasks', () => {
  let world: World
  let seeder: TestDaemon
  let paths: string[]
  let seeds: Task[]

  before(async () => {
    world = await World.open()
    seeder = await world.daemon('seeder')
    paths = await Promise.all([0, 1, 2, 3].map(i => world.file(`file-${i}.bin`, 600_000 + i)))
    seeds = []
    for (const seed of paths) seeds.push(await seeder.client.addTask({ seed }))
  })
  after(() => world.close())

  const linkOf = (i: number): string => seeds[i]?.link ?? assert.fail()

  test('a link, a manifest and the URL of a manifest all start the same download, once per root', async () => {
    const { client, folder, url } = await world.daemon('three-ways', { 'allow-private-urls': true })
    const manifests = await Promise.all(seeds.map(({ id }) => seeder.client.manifest(id)))
    const server = createServer((_request, reply) => reply.end(manifests[2])).listen(0, '127.0.0.1')
    world.defer(async () => server.close())
    await new Promise(resolve => server.once('listening', resolve))
    const peers = seeder.daemon.node.addresses()

    const byLink = await client.addTask({ source: linkOf(0) })
    const byManifest = await client.addTask({ manifest: JSON.parse(manifests[1] as string), peers })
    const byUrl = await client.addTask({ source: `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.swarm`, peers })
    for (const [i, task] of [byLink, byManifest, byUrl].entries()) {
      const done = await untilComplete(client, task.id)
      assert.equal(done.root, seeds[i]?.root)
      assert.equal(done.bytesDone, done.bytesTotal)
      assert.equal(await sha256(join(folder, 'complete', `file-${i}.bin`)), await sha256(paths[i] as string))
    }
    assert.deepEqual(await unfinished(folder), [])
    const again = await raw(`${url}/v1/tasks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: linkOf(0) })
    })
    assert.equal(again.status, 200)
    assert.equal(JSON.parse(again.body.toString()).id, byLink.id)
    assert.equal((await client.tasks()).length, 3)
  })

  test('at most the allowed number download at once; the rest waits by priority and then in order', async () => {
    const { client, url } = await world.daemon('queue', { 'max-downloads': '1' })
    await client.setLimits(STILL)
    const first = await client.addTask({ source: linkOf(0) })
    await until(client, first.id, task => task.state === 'active')
    const second = await client.addTask({ source: linkOf(1) })
    const third = await client.addTask({ source: linkOf(2) })
    const urgent = await client.addTask({ source: linkOf(3), priority: 5 })
    const order = async (): Promise<string[]> => (await client.tasks()).map(({ id }) => id)
    assert.deepEqual(await order(), [first.id, urgent.id, second.id, third.id])
    assert.deepEqual(
      (await client.tasks()).map(({ position }) => position),
      [null, 1, 2, 3]
    )

    const waiting = await fetch(url + second.url)
    assert.equal(waiting.status, 503)
    assert.ok(Number(waiting.headers.get('retry-after')) > 0)
    assert.match(((await waiting.json()) as { message: string }).message, /not open: it is queued/)

    await client.updateTask(third.id, { position: 1 })
    assert.deepEqual(await order(), [first.id, urgent.id, third.id, second.id])
    await client.updateTask(urgent.id, { priority: -1 })
    assert.deepEqual(await order(), [first.id, third.id, second.id, urgent.id])
    await assert.rejects(client.updateTask(first.id, { position: 1 }), { code: 'conflict' })

    await client.setLimits(MOVE)
    const finished = await Promise.all([first, third, second, urgent].map(({ id }) => untilComplete(client, id)))
    const times = finished.map(({ finishedMs }) => finishedMs ?? 0)
    assert.deepEqual(
      times.toSorted((a, b) => a - b),
      times
    )
  })

  test('pause, resume, cancel and resume again; what was verified is kept', async () => {
    const { client, folder } = await world.daemon('pausing')
    // The first of three pieces comes before the limit bites.
    await client.setLimits(STILL)
    const { id } = await client.addTask({ source: linkOf(0) })
    await until(client, id, task => task.bytesDone > 0)
    assert.equal((await client.act(id, 'pause')).state, 'paused')
    assert.equal((await client.act(id, 'resume')).state !== 'paused', true)
    const cancelled = await client.act(id, 'cancel')
    assert.equal(cancelled.state, 'cancelled')
    assert.ok(cancelled.bytesDone > 0)
    assert.equal((await unfinished(folder)).length, 1)
    await client.setLimits(MOVE)
    await client.act(id, 'resume')
    const done = await untilComplete(client, id)
    assert.ok(done.bytesDownloaded - done.bytesWasted <= 600_000, 'no verified piece was fetched again')
    await assert.rejects(client.act(id, 'pause'), { code: 'conflict' })
    await assert.rejects(client.act(id, 'cancel'), { code: 'conflict' })
  })

  test('deleting keeps the data or takes it along, and a seeded file is never deleted', async () => {
    const { client, folder } = await world.daemon('deleting')
    const kept = await client.addTask({ source: linkOf(0) })
    const gone = await client.addTask({ source: linkOf(1) })
    await untilComplete(client, kept.id)
    await untilComplete(client, gone.id)
    await client.deleteTask(kept.id, false)
    await client.deleteTask(gone.id, true)
    assert.deepEqual(await readdir(join(folder, 'complete')), ['file-0.bin'])
    assert.deepEqual(await client.tasks(), [])
    await assert.rejects(client.task(kept.id), { code: 'not_found' })

    await client.setLimits(STILL)
    const part = await client.addTask({ source: linkOf(2) })
    await until(client, part.id, task => task.bytesDone > 0)
    await client.deleteTask(part.id, true)
    assert.deepEqual(await unfinished(folder), [])

    const seed = await client.addTask({ seed: paths[3] as string })
    await assert.rejects(client.deleteTask(seed.id, true), { code: 'conflict' })
    await client.deleteTask(seed.id, false)
    assert.ok(existsSync(paths[3] as string))
  })

  test('a task that gets nothing lets the next one have its place', async () => {
    const { client } = await world.daemon('stalled', { 'max-downloads': '1', 'stall-timeout': '1s' })
    const nobody = await client.addTask({ source: `swarm:${'ab'.repeat(32)}` })
    await until(client, nobody.id, task => task.state === 'active')
    const somebody = await client.addTask({ source: linkOf(0) })
    await until(client, somebody.id, ({ state }) => state !== 'queued')
    // From here on both may run: else a download that is slow to begin would have to give its place back,
    // again and again.
    await client.setLimits({ maxActiveDownloads: 2 })
    await untilComplete(client, somebody.id)
    const waiting = await until(client, nobody.id, task => task.state === 'active')
    assert.match(waiting.waitingFor ?? '', /looking|peer/)
  })

  test('an event stream tells every change of a task and ends when it is deleted', async () => {
    const { client, url } = await world.daemon('events')
    const { id } = await client.addTask({ source: linkOf(0) })
    const states: string[] = []
    for await (const task of client.follow(id)) {
      states.push(task.state)
      if (task.state === 'complete') await client.deleteTask(id, false)
    }
    assert.equal(states.at(-1), 'complete')
    const missing = await raw(`${url}/v1/tasks/${id}/events`)
    assert.equal(missing.status, 404)
  })

  test('how far the hashing of a seed is, is told until its task is; what the cache knows is not hashed', async () => {
    const { client, url } = await world.daemon('hashing')
    const path = paths[0] as string
    const events = await world.events(url)
    const { id } = await client.addTask({ seed: path })
    await events.until(({ event, data }) => event === 'hashed' && data.path === path, 'hashed')
    const told = events.seen.filter(({ event }) => event === 'hashing')
    assert.ok(told.length > 0)
    for (const { data } of told) {
      assert.deepEqual([data.path, data.bytesTotal], [path, 600_000])
      assert.ok(data.bytesDone > 0 && data.bytesDone <= data.bytesTotal, `${data.bytesDone} bytes are done`)
    }
    const order = events.seen.map(({ event }) => event)
    assert.ok(order.lastIndexOf('hashing') < order.indexOf('task'), order.join(', '))
    assert.ok(order.indexOf('task') < order.indexOf('hashed'), order.join(', '))

    await client.deleteTask(id, false)
    const again = await client.addTask({ seed: path })
    await events.until(({ event, data }) => event === 'task' && data.id === again.id, 'the task, again')
    assert.equal(events.seen.filter(({ event }) => event === 'hashing').length, told.length)
  })

  test('what is being hashed is listed and told to who comes later, a few times a second, and is over when the asker leaves', async () => {
    const { client, url } = await world.daemon('hashing-long')
    const path = await world.endlessFile('long.bin')
    const isOurs = ({ event, data }: DaemonEvent): boolean => event === 'hashing' && data.path === path
    const events = await world.events(url)
    const leave = new AbortController()
    const startMs = performance.now()
    const asked = assert.rejects(client.addTask({ seed: path }, leave.signal), { name: 'AbortError' })
    const { data: first } = await events.until(isOurs, 'hashing')
    await events.until(event => isOurs(event) && event.data.bytesDone > first.bytesDone, 'more is hashed')

    const { tasks, hashing } = await client.taskList()
    assert.deepEqual([tasks, hashing.map(each => each.path)], [[], [path]])
    assert.ok((hashing[0]?.bytesDone ?? 0) > first.bytesDone)
    const [present] = (await world.events(url)).seen
    assert.ok(present !== undefined && isOurs(present), 'it is the first thing that a newcomer is told')

    leave.abort()
    await asked
    await events.until(({ event, data }) => event === 'hashed' && data.path === path, 'hashed')
    const most = 1 + Math.floor((performance.now() - startMs) / 250)
    const count = events.seen.filter(isOurs).length
    assert.ok(count <= most, `${count} events where ${most} are allowed`)
    assert.deepEqual(await client.taskList(), { tasks: [], hashing: [] })
    assert.ok(events.seen.every(({ event }) => event !== 'task'))
  })

  test('so is what is hashed by a scan, and what is hashed again because it changed its place meanwhile', async () => {
    const { folder, client, daemon } = await world.daemon('hashing-again')
    const path = join(folder, 'complete', 'file-1.bin')
    const manifest = await seeder.client.manifest(seeds[1]?.id as string)
    const hashedOn = async (url: string, act: () => Promise<unknown>): Promise<void> => {
      const events = await world.events(url)
      await act()
      await events.until(({ event, data }) => event === 'hashed' && data.path === path, 'hashed')
      const told = events.seen.find(({ event }) => event === 'hashing')
      assert.deepEqual([told?.data.path, told?.data.bytesTotal], [path, 600_001])
    }
    await hashedOn(daemon.url, async () => {
      await copyFile(paths[1] as string, path)
      await writeFile(`${path}.swarm`, manifest)
      await client.scan()
    })
    const [task] = await client.tasks()
    await daemon.stop()

    await rename(path, join(folder, 'elsewhere'))
    const restarted = await world.daemon('hashing-again')
    const { id } = await until(restarted.client, task?.id as string, ({ state }) => state === 'failed')
    await rename(join(folder, 'elsewhere'), path)
    await hashedOn(restarted.url, () => restarted.client.act(id, 'resume'))
    await eventually(async () => (await restarted.client.probe()).swarms.length === 1, 'it is open again')
  })

  test('tasks, their order, state, priority, limits and totals survive a restart', async () => {
    const { client, daemon } = await world.daemon('restart', { 'max-downloads': '1' })
    const complete = await client.addTask({ source: linkOf(0) })
    await untilComplete(client, complete.id)
    const inPlace = await client.addTask({ seed: paths[3] as string })
    await client.setLimits({ ...STILL, quotaBytes: 123_456_789 })
    const active = await client.addTask({ source: linkOf(1), limits: { uploadBytesPerSecond: 7 }, pinned: true })
    await until(client, active.id, task => task.state === 'active')
    const queued = await client.addTask({ source: linkOf(2), priority: 3 })
    const before = await client.tasks()
    await daemon.stop()
    await assert.rejects(client.tasks(), { code: 'unavailable' })

    const restarted = await world.daemon('restart', { 'max-downloads': '1' })
    const { limits } = await restarted.client.limits()
    assert.equal(limits.quotaBytes, 123_456_789)
    assert.equal(limits.downloadBytesPerSecond, 1)
    const after = await restarted.client.tasks()
    assert.deepEqual(new Set(after.map(({ id }) => id)), new Set(before.map(({ id }) => id)))
    const again = after.find(({ id }) => id === active.id) ?? assert.fail()
    assert.deepEqual(
      { pinned: again.pinned, limits: again.limits },
      { pinned: true, limits: { downloadBytesPerSecond: 0, uploadBytesPerSecond: 7 } }
    )
    assert.equal(
      after.find(({ id }) => id === complete.id)?.bytesDownloaded,
      before.find(({ id }) => id === complete.id)?.bytesDownloaded
    )
    await restarted.client.setLimits({ downloadBytesPerSecond: null })
    await untilComplete(restarted.client, active.id)
    await untilComplete(restarted.client, queued.id)
    await eventually(async () => (await restarted.client.probe()).swarms.length === 4, 'all four contents are open again')
    assert.equal((await restarted.client.task(inPlace.id)).state, 'complete')
  })

  test('a content that vanished or changed while the daemon was away is failed, says so, and comes back by resuming', async () => {
    const { client, daemon, folder } = await world.daemon('changed')
    const [gone, changed] = await Promise.all([client.addTask({ source: linkOf(0) }), client.addTask({ source: linkOf(1) })])
    await untilComplete(client, gone.id)
    await untilComplete(client, changed.id)
    await daemon.stop()
    await rename(join(folder, 'complete', 'file-0.bin'), join(folder, 'elsewhere'))
    await writeFile(join(folder, 'complete', 'file-1.bin'), 'something else')

    const restarted = await world.daemon('changed')
    const goneNow = await until(restarted.client, gone.id, task => task.state === 'failed')
    assert.equal(goneNow.error?.code, 'not_found')
    const changedNow = await until(restarted.client, changed.id, task => task.state === 'failed')
    assert.equal(changedNow.error?.code, 'conflict')
    await restarted.client.act(gone.id, 'resume')
    await untilComplete(restarted.client, gone.id)
    assert.equal(await sha256(join(folder, 'complete', 'file-0.bin')), await sha256(paths[0] as string))
    // The other comes back by itself when its bytes do.
    await copyFile(paths[1] as string, join(folder, 'complete', 'file-1.bin'))
    await until(restarted.client, changed.id, ({ state }) => state === 'complete')
  })

  test('an output that exists and differs fails the task and is left alone; with force it is replaced', async () => {
    const { client, folder } = await world.daemon('differs')
    const output = join(folder, 'mine')
    await writeFile(output, 'mine')
    const { id } = await client.addTask({ source: linkOf(0), output })
    const failed = await until(client, id, task => task.state === 'failed')
    assert.equal(failed.error?.code, 'invalid_options')
    assert.equal(await readFile(output, 'utf8'), 'mine')
    await client.deleteTask(id, true)
    assert.equal(await readFile(output, 'utf8'), 'mine', 'it was never ours to delete')
    const forced = await client.addTask({ source: linkOf(0), output, force: true })
    await untilComplete(client, forced.id)
    assert.equal(await sha256(output), await sha256(paths[0] as string))
  })

  test('the disk quota makes room by evicting what was used longest ago, never what is pinned, and says when it cannot', async () => {
    const { client, folder, url } = await world.daemon('quota', { quota: '1500000' })
    const [a, b] = [await client.addTask({ source: linkOf(0) }), await client.addTask({ source: linkOf(1) })]
    await untilComplete(client, a.id)
    await untilComplete(client, b.id)
    // Reading makes it the one used last.
    assert.equal((await raw(url + a.url, { headers: { range: 'bytes=0-9' } })).status, 206)
    const c = await client.addTask({ source: linkOf(2) })
    await untilComplete(client, c.id)
    assert.equal((await client.task(b.id)).state, 'evicted')
    assert.deepEqual((await readdir(join(folder, 'complete'))).sort(), ['file-0.bin', 'file-2.bin'])
    assert.equal((await client.limits()).quota.usedBytes, 600_000 + 600_002)

    await client.updateTask(a.id, { pinned: true })
    await client.updateTask(c.id, { pinned: true })
    const d = await client.addTask({ source: linkOf(3) })
    const held = await until(client, d.id, task => task.waitingFor !== null)
    assert.equal(held.state, 'queued')
    assert.match(held.waitingFor ?? '', /disk quota/)
    await client.setLimits({ quotaBytes: 2_000_000 })
    await untilComplete(client, d.id)

    await client.setLimits({ quotaBytes: 500_000 })
    const tooLarge = await client.act(b.id, 'resume')
    const failed = await until(client, tooLarge.id, task => task.state === 'failed')
    assert.match(failed.error?.message ?? '', /never fit/)
  })

  test('rates hold for one task and for all, and change while running', async () => {
    const { client } = await world.daemon('rates')
    const { id } = await client.addTask({ source: linkOf(0), limits: { downloadBytesPerSecond: 1 } })
    await until(client, id, task => task.state === 'active' && task.neighbours > 0)
    await client.setLimits({ downloadBytesPerSecond: 2 })
    assert.equal((await client.limits()).inForce.downloadBytesPerSecond, 2)
    await client.updateTask(id, { limits: { downloadBytesPerSecond: 0 } })
    assert.notEqual((await client.task(id)).state, 'complete', 'the limit of the whole daemon still holds')
    await client.setLimits({ downloadBytesPerSecond: 0 })
    await untilComplete(client, id)
  })

  test('never more pieces are sent at once than the limit allows, also when it is changed while they go', async () => {
    const { client, url } = await world.daemon('few-uploads', { 'max-uploads': '1' })
    const leechers = await Promise.all([0, 1, 2].map(i => world.daemon(`leecher-${i}`)))
    const uploads = async (): Promise<{ active: number; most: number }> => {
      const text = (await raw(`${url}/metrics`)).body.toString()
      const read = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1])
      return { active: read('swarm_uploads_active'), most: read('swarm_uploads_active_max') }
    }
    /**
     * Everybody fetches a new content; `whileRunning` is called when all have come, before more than a little
     * can have arrived.
     */
    const spread = async (name: string, whileRunning = async () => {}): Promise<void> => {
      const { link } = await client.addTask({ seed: await world.file(name, 8_000_000) })
      await Promise.all(leechers.map(each => each.client.setLimits(STILL)))
      const tasks = await Promise.all(leechers.map(each => each.client.addTask({ source: link ?? '' })))
      const ids = tasks.map(({ id }) => id)
      await Promise.all(leechers.map((each, i) => until(each.client, ids[i] as string, ({ neighbours }) => neighbours > 0)))
      await whileRunning()
      await Promise.all(leechers.map(each => each.client.setLimits(MOVE)))
      await Promise.all(leechers.map((each, i) => untilComplete(each.client, ids[i] as string)))
    }
    await spread('one-at-once.bin')
    assert.equal((await uploads()).most, 1)
    await spread('then-two.bin', async () => {
      assert.equal((await uploads()).most, 1)
      await client.setLimits({ maxUploads: 2 })
    })
    assert.equal((await uploads()).most, 2)
    await spread('then-as-many-as-it-likes.bin', async () => {
      assert.equal((await uploads()).most, 2)
      await client.setLimits({ maxUploads: 0 })
    })
    const { most } = await uploads()
    assert.ok(most > 2, `without a limit ${most} at once: the limit was what held them back`)
    await eventually(async () => (await uploads()).active === 0, 'nothing is sent any more')
  })
})

/** What downloads have waiting; uploads wait in a folder of their own there. */
async function unfinished(folder: string): Promise<string[]> {
  return (await readdir(join(folder, 'incomplete'))).filter(name => name !== 'uploads')
}
