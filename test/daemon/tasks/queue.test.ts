/**
 * The queue with everything that belongs to it but the network: the node gives transfers that a test ends as
 * it likes.
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseLink } from '../../../src/content/link.ts'
import type { Manifest } from '../../../src/content/manifest.ts'
import { TaskQueue, type TaskQueueInit } from '../../../src/daemon/tasks/queue.ts'
import { TaskStore } from '../../../src/daemon/tasks/task-store.ts'
import { StoreError } from '../../../src/errors.ts'
import type { GetOptions, Transfer } from '../../../src/node/types.ts'

const LENGTH = 1000

function manifestOf(root: string): Manifest {
  return { root, name: 'content', length: LENGTH, pieceLength: 16_384, hashes: new Uint8Array(32) }
}

class Download {
  readonly calls: string[] = []
  readonly transfer: Transfer
  finish = (): void => {}
  fail: (err: unknown) => void = () => {}

  constructor(root: string) {
    const completed = new Promise<void>((resolve, reject) => {
      this.finish = resolve
      this.fail = reject
    })
    this.transfer = {
      root,
      manifest: manifestOf(root),
      path: `/nowhere/${root}`,
      completed,
      link: () => `swarm:${root}`,
      snapshot: () => ({ bytesDone: 0, bytesDownloaded: 0, bytesUploaded: 0, bytesWasted: 0 }),
      on: () => () => {},
      pause: () => this.calls.push('pause'),
      resume: () => this.calls.push('resume'),
      setLimits: () => this.calls.push('setLimits'),
      close: async () => {
        this.calls.push('close')
      }
    } as unknown as Transfer
  }
}

function open(t: TestContext, { places = 1, quotaBytes = 0 } = {}) {
  const store = new TaskStore(':memory:')
  const downloads = new Map<string, Download>()
  const evicted: string[] = []
  const limits = { maxActiveDownloads: places }
  /** When set, `get` waits for it before there is a transfer. */
  let opening: Promise<void> | undefined
  const node: TaskQueueInit['node'] = {
    async get(source, options: GetOptions = {}) {
      const { root } = typeof source === 'string' ? parseLink(source) : source
      await opening
      options.signal?.throwIfAborted()
      const download = new Download(root)
      downloads.set(root, download)
      return download.transfer
    },
    seed: () => assert.fail('nothing is seeded'),
    async remove({ root }) {
      evicted.push(root)
      return { changed: [], beside: [] }
    }
  }
  const queue = new TaskQueue({
    node,
    store,
    parseManifest: text => manifestOf((JSON.parse(text) as { root: string }).root),
    hashOf: () => assert.fail('nothing is hashed'),
    completeDir: '/nowhere',
    incompleteDir: undefined,
    limits: () => limits,
    quotaBytes: () => quotaBytes,
    stallMs: 1000,
    log: { info: () => {}, warn: () => {} }
  })
  t.after(async () => {
    await queue.stop()
    store.close()
  })
  const rootOf = (name: string): string => name.padStart(64, '0')
  const add = async (name: string, more: object = {}): Promise<string> => {
    const { task } = await queue.add({ source: { link: `swarm:${rootOf(name)}?length=${LENGTH}` }, ...more })
    return task.id
  }
  const states = (): string =>
    queue.contents
      .list()
      .map(({ root, state }) => `${root.replace(/^0+/, '')} ${state}`)
      .join(', ')
  /** Until the tasks stand so, as they are listed. */
  const reaches = async (expected: string): Promise<void> => {
    const deadlineMs = performance.now() + 10_000
    while (states() !== expected && performance.now() < deadlineMs) await new Promise(resolve => setImmediate(resolve))
    assert.equal(states(), expected)
  }
  /** Everything that was begun and needs no disk has come as far as it can. */
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
  }
  const download = (name: string): Download => downloads.get(rootOf(name)) as Download
  const holdOpening = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    opening = promise
    return resolve
  }
  return { queue, store, limits, evicted, add, settle, reaches, download, holdOpening, rootOf }
}

test('places go by priority and then by age; one that becomes free goes to the next', async t => {
  const { add, settle, reaches, download } = open(t)
  await add('a')
  await settle()
  await add('b')
  await add('c', { priority: 5 })
  await reaches('a active, c queued, b queued')
  download('a').finish()
  await reaches('c active, b queued, a complete')
})

test('with fewer places the last in turn goes back into the queue, to its old place', async t => {
  const { queue, limits, add, settle, reaches, download } = open(t, { places: 2 })
  for (const name of ['a', 'b', 'c']) await add(name)
  await settle()
  limits.maxActiveDownloads = 1
  queue.pump()
  await reaches('a active, b queued, c queued')
  assert.deepEqual(download('b').calls, ['close'])
})

test('a task that is paused while its download is being opened gets no transfer, and goes on when it is resumed', async t => {
  const { queue, add, settle, reaches, holdOpening, download } = open(t)
  const release = holdOpening()
  const id = await add('a')
  await settle()
  queue.pause(id)
  release()
  await settle()
  await reaches('a paused')
  assert.equal(download('a'), undefined)
  queue.resume(id)
  await reaches('a active')
})

test('a transfer that fails while its task is paused fails the task, and resume begins another', async t => {
  const { queue, add, settle, reaches, download } = open(t)
  const id = await add('a')
  await settle()
  queue.pause(id)
  const former = download('a')
  former.fail(new StoreError('cannot write', '/nowhere', Object.assign(new Error('full'), { code: 'ENOSPC' })))
  await reaches('a failed')
  assert.equal(queue.contents.get(id).record.error?.code, 'store_error')
  queue.resume(id)
  await settle()
  await reaches('a active')
  assert.notEqual(download('a'), former)
})

test('the end of a transfer that is no longer the task’s own changes nothing', async t => {
  const { queue, add, settle, reaches, download } = open(t)
  const id = await add('a')
  await settle()
  await queue.cancel(id)
  download('a').finish()
  await settle()
  await reaches('a cancelled')
})

test('what is complete and unused makes room under the quota, what is read does not, and the wait says why', async t => {
  const { queue, add, settle, reaches, download, evicted, rootOf } = open(t, { places: 3, quotaBytes: LENGTH })
  await add('a')
  await settle()
  download('a').finish()
  await reaches('a complete')
  const leave = queue.contents.readerCame(rootOf('a'))
  const id = await add('b')
  await reaches('b queued, a complete')
  assert.match(queue.contents.get(id).waitingFor ?? '', /disk quota: needs 1\.00 kB, 0 B can be had/)
  leave()
  queue.pump()
  await reaches('b active, a evicted')
  assert.deepEqual(evicted, [rootOf('a')])
})

test('a change of priority and place at once puts the task among those of its new priority', async t => {
  const { queue, add, reaches } = open(t, { places: 0 })
  const id = await add('a', { priority: 5 })
  for (const name of ['b', 'c', 'd']) await add(name)
  queue.update(id, { priority: 0, position: 2 })
  await reaches('b queued, a queued, c queued, d queued')
})

test('a content that is asked for again gets the new peers, and its task begins again when it was given up', async t => {
  const { queue, add, settle, reaches } = open(t)
  const id = await add('a', { peers: ['/ip4/192.0.2.1/tcp/1'] })
  await settle()
  await queue.cancel(id)
  assert.equal(await add('a', { peers: ['/ip4/192.0.2.2/tcp/1'] }), id)
  await reaches('a active')
  assert.deepEqual(queue.contents.get(id).record.peers, ['/ip4/192.0.2.1/tcp/1', '/ip4/192.0.2.2/tcp/1'])
})
