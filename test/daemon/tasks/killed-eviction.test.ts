/**
 * A daemon that is killed while it evicts: the next start leaves nothing on disk that the quota does not
 * count.
 */

import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Task } from '../../../src/api/schema/tasks.ts'
import { type DaemonProcess, until, untilComplete, World } from '../fixture.ts'

const FILES = 1500
const FILE_BYTES = 400
const NEXT_BYTES = 500_000
/** One of the two contents fits, both do not. */
const QUOTA = '1000000'

/** When the daemon is killed, seen from outside: what it said, and the files of the content that are left. */
const POINTS: readonly (readonly [string, (daemon: DaemonProcess, filesLeft: () => number) => boolean])[] = [
  ['as it says that it evicts', daemon => daemon.log().includes('evicted to keep the disk quota')],
  ['when the first file is gone', (_, filesLeft) => filesLeft() < FILES],
  ['when half of the files are gone', (_, filesLeft) => filesLeft() <= FILES / 2],
  ['when the last file is gone', (_, filesLeft) => filesLeft() === 0]
]

describe('a daemon killed in an eviction', () => {
  let world: World
  let many: Task
  let next: Task

  before(async () => {
    world = await World.open()
    const seeder = await world.daemon('seeder')
    let path = ''
    for (let i = 0; i < FILES; i++) path = await world.file(join('many', `${i % 10}`, `${i}`), FILE_BYTES)
    many = await seeder.client.addTask({ seed: join(path, '..', '..') })
    next = await seeder.client.addTask({ seed: await world.file('next.bin', NEXT_BYTES) })
  })
  after(() => world.close())

  for (const [index, [when, isReached]] of POINTS.entries()) {
    test(`${when} finishes it at the next start; every byte on disk is counted`, async t => {
      const name = `killed-${index}`
      const first = await world.process(name, { quota: QUOTA })
      const { id } = await first.client.addTask({ source: many.link ?? '' })
      const path = (await untilComplete(first.client, id)).path as string
      const added = await addWhile(first, next.link ?? '', () => isReached(first, () => countFiles(path)))
      t.diagnostic(`${countFiles(path)} of ${FILES} files were left`)

      const again = await world.process(name, { quota: QUOTA })
      const evicted = await until(again.client, id, ({ state }) => state === 'evicted' || state === 'failed')
      assert.equal(evicted.state, 'evicted', evicted.error?.message)
      await untilComplete(again.client, added)
      assert.deepEqual(await readdir(join(again.folder, 'complete')), ['next.bin'])
      assert.deepEqual(await readdir(join(again.folder, 'incomplete')), ['uploads'])
      assert.equal((await again.client.limits()).quota.usedBytes, NEXT_BYTES)
      await again.kill('SIGKILL')
    })
  }
})

/** Adds what there is no room for, and kills the daemon at the point; the id of the task that waits. */
async function addWhile(daemon: DaemonProcess, source: string, isReached: () => boolean): Promise<string> {
  const { id } = await daemon.client.addTask({ source, paused: true })
  const resumed = daemon.client.act(id, 'resume').catch(() => {})
  while (!isReached()) await setImmediate()
  await daemon.kill('SIGKILL')
  await resumed
  return id
}

function countFiles(folder: string): number {
  if (!existsSync(folder)) return 0
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).length
  } catch {
    // A folder went between two looks.
    return countFiles(folder)
  }
}
