/** The command line beside a daemon: what it says of what the daemon does. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type TestDaemon, World } from '../daemon/fixture.ts'
import { startCli } from './run-cli.ts'

describe('swarm beside a daemon', { timeout: 60_000 }, () => {
  let world: World
  let daemon: TestDaemon
  let env: Record<string, string>
  before(async () => {
    world = await World.open()
    daemon = await world.daemon('daemon')
    env = { SWARM_STATE_DIR: daemon.daemon.options.stateDir }
  })
  after(() => world.close())

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
})
