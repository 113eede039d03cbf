/**
 * The task store over damage, loss and a full state folder.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TaskRecord } from '../../../src/daemon/tasks/record.ts'
import { TaskStore } from '../../../src/daemon/tasks/task-store.ts'
import { StoreError } from '../../../src/errors.ts'
import { swarm, type TestDaemon, until, untilComplete, World } from '../fixture.ts'

async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'swarm-tasks-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function recordOf(i: number): TaskRecord {
  const root = i.toString(16).padStart(64, '0')
  return {
    id: `task-${i}`,
    kind: 'get',
    root,
    name: `content ${i} ${'x'.repeat(500)}`,
    link: `swarm:${root}`,
    state: 'queued',
    order: i,
    priority: 0,
    pinned: false,
    limits: { downloadBytesPerSecond: 0, uploadBytesPerSecond: 0 },
    output: undefined,
    only: undefined,
    peers: [],
    force: false,
    path: undefined,
    length: 1,
    bytesDone: 0,
    bytesDownloaded: 0,
    bytesUploaded: 0,
    bytesWasted: 0,
    error: undefined,
    createdMs: 0,
    startedMs: undefined,
    finishedMs: undefined,
    lastUsedMs: 0,
    lastModifiedMs: 0
  }
}

/** Makes a store of so many tasks and closes it. */
function fill(path: string, tasks: number): void {
  const store = new TaskStore(path)
  assert.equal(store.loss, undefined)
  for (let i = 0; i < tasks; i++) store.save(recordOf(i))
  store.saveManifest(recordOf(0).root, '{"swarm":1}')
  store.close()
}

/** Writes over `bytes` of the file from `position` on. */
async function damage(path: string, position: number, bytes: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Buffer.alloc(bytes, 0xa5), 0, bytes, position)
  await file.close()
}

test('a damaged store is found at the start; its copy gives back what cannot be read', async t => {
  const path = join(await tempFolder(t), 'tasks.sqlite')
  fill(path, 100)
  const { size } = await stat(path)
  for (const [position, bytes] of [
    [0, 100],
    [0, size],
    [4096, 4096],
    [size >> 1, 8192],
    [size - 4096, 4096]
  ] as const) {
    await damage(path, position, bytes)
    const store = new TaskStore(path)
    const about = `${bytes} bytes at ${position}`
    assert.match(
      store.loss?.text ?? '',
      /the task store was damaged: .* the damaged file is kept as tasks.sqlite.damaged-/,
      about
    )
    assert.equal(store.load().length, 100, about)
    assert.deepEqual(store.load()[7], { ...JSON.parse(JSON.stringify(recordOf(7))) }, about)
    assert.equal(store.manifest(recordOf(0).root), '{"swarm":1}', about)
    store.close()
    const again = new TaskStore(path)
    assert.equal(again.loss, undefined, `${about}: whole again`)
    again.close()
  }
})

test('without a copy what can be read of a damaged store is kept, and the loss is told', async t => {
  const folder = await tempFolder(t)
  const path = join(folder, 'tasks.sqlite')
  fill(path, 100)
  await rm(`${path}.copy`)
  const { size } = await stat(path)
  await damage(path, size >> 1, 4096)
  const store = new TaskStore(path)
  const kept = store.load().length
  assert.ok(kept > 50 && kept <= 100, `${kept} of 100`)
  assert.match(store.loss?.text ?? '', /no copy; tasks newer than that may be lost/)
  store.close()
})

test('a store that is gone comes back from its copy; a damaged copy is made again', async t => {
  const path = join(await tempFolder(t), 'tasks.sqlite')
  fill(path, 10)
  await damage(`${path}.copy`, 0, 4096)
  new TaskStore(path).close()
  for (const suffix of ['', '-wal', '-shm']) await rm(path + suffix, { force: true })
  const store = new TaskStore(path)
  assert.equal(store.load().length, 10)
  assert.match(store.loss?.text ?? '', /the task store was gone/)
  store.close()
})

test('a task that was deleted does not come back with the copy', async t => {
  const path = join(await tempFolder(t), 'tasks.sqlite')
  fill(path, 10)
  const store = new TaskStore(path)
  store.delete(recordOf(3))
  store.close()
  await damage(path, 0, 4096)
  const again = new TaskStore(path)
  assert.deepEqual(
    again.load().map(({ order }) => order),
    [0, 1, 2, 4, 5, 6, 7, 8, 9]
  )
  again.close()
})

test('a full state folder refuses changes with ENOSPC, and takes them again when there is room', async t => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return t.skip('needs root on Linux to mount a small file system')
  const folder = await tempFolder(t)
  const mount = join(folder, 'mount')
  await mkdir(mount)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'swarm-test', mount])
  try {
    const store = new TaskStore(join(mount, 'tasks.sqlite'))
    store.save(recordOf(0))
    await writeFile(join(mount, 'ballast'), Buffer.alloc(2_000_000)).catch(() => {})
    const isFull = (err: unknown): boolean => err instanceof StoreError && err.errno === 'ENOSPC' && /make room/.test(err.message)
    assert.throws(() => {
      for (let i = 1; i < 1000; i++) store.save(recordOf(i))
    }, isFull)
    assert.throws(() => store.saveManifest(recordOf(0).root, 'x'.repeat(100_000)), isFull)
    const had = store.load().length
    await rm(join(mount, 'ballast'))
    store.save(recordOf(2000))
    assert.equal(store.load().length, had + 1)
    store.close()
  } finally {
    execFileSync('umount', ['-l', mount])
  }
})

test('a daemon that starts in a state folder that is read-only or full ends with 5 and says which', async t => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return t.skip('needs root on Linux to mount a small file system')
  const folder = await tempFolder(t)
  const mount = join(folder, 'mount')
  await mkdir(mount)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'swarm-test', mount])
  const start = (): ReturnType<typeof swarm> =>
    swarm([
      ...['daemon', '--http', '127.0.0.1:0', '--no-mdns', '--no-dht', '--listen', '/ip4/127.0.0.1/tcp/0'],
      ...['--state-dir', join(mount, 'state'), '--complete-dir', join(folder, 'c'), '--incomplete-dir', join(folder, 'i')]
    ])
  try {
    execFileSync('mount', ['-o', 'remount,ro', mount])
    const readOnly = await start()
    assert.equal(readOnly.code, 5)
    assert.match(readOnly.stderr, /cannot create folder: .*state \(EROFS\)/)
    execFileSync('mount', ['-o', 'remount,rw', mount])
    await mkdir(join(mount, 'state'))
    await writeFile(join(mount, 'ballast'), Buffer.alloc(2_000_000)).catch(() => {})
    const full = await start()
    assert.equal(full.code, 5)
    assert.match(full.stderr, /the state folder is full; make room there: .* \(ENOSPC\)/)
    for (const { stderr } of [readOnly, full]) assert.doesNotMatch(stderr, /\n\s+at /, 'no stack')
  } finally {
    execFileSync('umount', ['-l', mount])
  }
})

test('a daemon whose store and copy are lost adopts the downloads that are still on disk, and its status says so', async () => {
  const world = await World.open()
  try {
    const seeder = await world.daemon('seeder')
    const seed = await seeder.client.addTask({ seed: await world.file('content.bin', 600_000) })
    const first = await world.daemon('leecher')
    const { id } = await first.client.addTask({ source: seed.link ?? '' })
    const task = await untilComplete(first.client, id)
    await first.daemon.stop()
    const state = join(first.folder, 'state')
    for (const name of await readdir(state)) if (name.startsWith('tasks.sqlite')) await rm(join(state, name))
    await writeFile(join(state, 'tasks.sqlite'), 'no database at all '.repeat(1000))

    const again: TestDaemon = await world.daemon('leecher')
    const adopted = await world.events(again.url).then(log => log.until(({ event }) => event === 'task', 'the task is back'))
    assert.equal(adopted.data.root, task.root)
    await until(again.client, adopted.data.id, ({ state: now }) => now === 'complete')
    const { notices } = await again.client.probe()
    assert.match(notices.join('\n'), /the task store was damaged/)
    assert.match(notices.join('\n'), /1 download\(s\) found on disk became tasks again/)
    const { stdout } = await swarm(['status', '--once', '--state-dir', state])
    assert.match(stdout, /notice {4}the task store was damaged/)
    // It is still ours to delete.
    assert.equal(await again.client.deleteTask(adopted.data.id, true), undefined)
  } finally {
    await world.close()
  }
})

test('a copy of the store made while it is open is a whole database', async t => {
  const folder = await tempFolder(t)
  const path = join(folder, 'tasks.sqlite')
  fill(path, 20)
  await copyFile(`${path}.copy`, join(folder, 'elsewhere.sqlite'))
  const store = new TaskStore(join(folder, 'elsewhere.sqlite'))
  assert.equal(store.load().length, 20)
  store.close()
})
