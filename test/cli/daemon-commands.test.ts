/** The command line beside a daemon: what it says of what the daemon does. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually, type TestDaemon, World } from '../daemon/fixture.ts'
import { runCli, startCli } from './run-cli.ts'

/** As many as a daemon gives. */
const EVENT_STREAMS = 64

describe('swarm beside a daemon', { timeout: 600_000 }, () => {
  let world: World
  let daemon: TestDaemon
  let env: Record<string, string>
  before(async () => {
    world = await World.open()
    daemon = await world.daemon('daemon')
    env = { SWARM_STATE_DIR: daemon.daemon.options.stateDir }
  })
  after(() => world.close())

  it('seed shows how far the daemon is with hashing, status too, and Ctrl-C ends the hashing', async () => {
    const { client } = daemon
    const path = await world.endlessFile('long.bin')
    await using seeding = startCli(['seed', path, '--json'], { env })
    const told = await seeding.event('progress')
    assert.equal(told.phase, 'hashing')
    assert.equal(told.bytesTotal, 2 ** 40)
    assert.ok(told.bytesDone > 0 && told.bytesDone < told.bytesTotal)
    const json = await runCli(['status', '--json'], { env })
    assert.equal(json.events[0]?.hashing[0].path, path)
    const plain = await runCli(['status'], { env })
    assert.match(plain.stdout, /^hashing {3}\[[#-]{16}\] +\d+ % {2}.*long\.bin {2}[\d.]+ [kMGT]?B of 1\.10 TB$/m)

    seeding.child.kill('SIGINT')
    const { code, stderr } = await seeding.finished
    assert.deepEqual([code, stderr], [130, ''])
    await eventually(async () => (await client.taskList()).hashing.length === 0, 'the daemon hashes no more')
    assert.deepEqual(await client.tasks(), [])
  })

  it('an interrupted get ends with 130 and leaves its task to the daemon', async () => {
    const root = 'ab'.repeat(32)
    await using getting = startCli(['get', `swarm:${root}`, '--json'], { env })
    await getting.event('joined')
    getting.child.kill('SIGINT')
    const { code, stderr, events } = await getting.finished
    assert.deepEqual([code, stderr, events.at(-1)?.code], [130, '', 'aborted'])
    const [task] = await daemon.client.tasks()
    assert.deepEqual([task?.root, task?.state], [root, 'active'])
    await daemon.client.deleteTask(task?.id as string, true)
  })

  it('task priority takes a negative number as it is, with options before it and behind', async () => {
    const { client } = daemon
    const { id } = await client.addTask({ source: `swarm:${'cd'.repeat(32)}`, paused: true })
    for (const [args, priority] of [
      [['-5', '--json'], -5],
      [['--json', '-1000'], -1000]
    ] as const) {
      const { code, stdout, events } = await runCli(['task', 'priority', id, ...args], { env })
      assert.equal(code, 0, stdout)
      assert.equal(events.at(-1)?.priority, priority)
      assert.equal((await client.task(id)).priority, priority)
    }
    const tooLow = await runCli(['task', 'priority', id, '-1001'], { env })
    assert.equal(tooLow.code, 2)
    assert.match(tooLow.stderr, /priority/)
    assert.equal((await client.task(id)).priority, -1000)
    await client.deleteTask(id, true)
  })

  it('seed goes on where the daemon has no stream of events to give', async () => {
    await Promise.all(Array.from({ length: EVENT_STREAMS }, () => world.events(daemon.url)))
    await assert.rejects(world.events(daemon.url), /503/)
    const path = await world.file('short.bin', 100_000)
    const seeded = await runCli(['seed', path, '-q', '-o', join(world.folder, 'short.swarm')], { env })
    assert.equal(seeded.code, 0, seeded.stderr)
    assert.match(seeded.stdout, /^swarm:[0-9a-f]{64}/)
  })
})
