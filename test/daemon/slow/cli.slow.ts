/**
 * The commands through a running daemon, as processes.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type DaemonProcess, eventually, MAIN, sha256, swarm, World } from '../fixture.ts'

describe('commands through the daemon', () => {
  let world: World
  let seeder: DaemonProcess
  let leecher: DaemonProcess
  let path: string
  before(async () => {
    world = await World.open()
    path = await world.file('thing.bin', 500_000)
    ;[seeder, leecher] = await Promise.all([
      world.process('seeder'),
      world.process('leecher', { token: 'correct-horse-battery' })
    ])
  })
  after(() => world.close())

  const inState = (daemon: DaemonProcess): string[] => ['--state-dir', join(daemon.folder, 'state')]
  const events = (text: string): Record<string, unknown>[] =>
    text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))

  test('seed writes the manifest and leaves the serving to the daemon; get fetches through another one', async () => {
    const cwd = join(world.folder, 'work')
    await mkdir(cwd)
    const seeded = await swarm(['seed', path, '--json', ...inState(seeder)], { cwd })
    assert.equal(seeded.code, 0, seeded.stdout)
    const seeding = events(seeded.stdout).find(({ event }) => event === 'seeding') ?? assert.fail(seeded.stdout)
    assert.equal(seeding.daemon, seeder.url)
    assert.equal(seeding.manifest, join(cwd, 'thing.bin.swarm'))

    const got = await swarm(['get', 'thing.bin.swarm', '-o', 'copy.bin', '--json', ...inState(leecher)], { cwd })
    assert.equal(got.code, 0, got.stdout)
    const complete = events(got.stdout).find(({ event }) => event === 'complete') ?? assert.fail(got.stdout)
    assert.equal(complete.path, join(cwd, 'copy.bin'))
    assert.equal(complete.bytesDownloaded, 500_000)
    assert.equal(await sha256(join(cwd, 'copy.bin')), await sha256(path))

    const plain = await swarm(['get', String(seeding.link), '-o', 'copy.bin', ...inState(leecher)], { cwd })
    assert.match(plain.stdout, /^got {7}.*copy\.bin$/m)
  })

  test('a failure has the exit code and the words that it has without a daemon', async () => {
    const cwd = join(world.folder, 'taken')
    await mkdir(cwd)
    const other = await world.file('other.bin', 1000)
    const { stdout } = await swarm(['seed', other, '-q', ...inState(seeder)], { cwd })
    await writeFile(join(cwd, 'other.bin'), 'mine')
    const got = await swarm(['get', stdout.trim(), ...inState(leecher)], { cwd })
    assert.equal(got.code, 2, got.stderr)
    assert.match(got.stderr, /exists and is not/)
  })

  test('status tells what runs, once where there is no terminal', async () => {
    const { code, stdout } = await swarm(['status', ...inState(leecher)])
    assert.equal(code, 0)
    assert.match(stdout, /^daemon {4}http:\/\/127/m)
    assert.match(stdout, /^complete .*100 %.*thing\.bin/m)
    const json = await swarm(['status', '--json', ...inState(leecher)])
    const [status] = events(json.stdout)
    assert.equal(status?.event, 'status')
    assert.equal(status?.url, leecher.url)
  })

  test('status is drawn again and again on a terminal until Ctrl-C', {
    skip: existsSync('/usr/bin/script') ? false : 'script is not installed'
  }, async () => {
    // exec: else a shell between (dash does not replace itself by its last command) dies of the Ctrl-C as
    // well, and its code is what we see.
    const command = ['exec', process.execPath, MAIN, 'status', ...inState(leecher)].join(' ')
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    let drawn = ''
    child.stdout.on('data', chunk => {
      drawn += chunk
    })
    const gone = once(child, 'exit')
    await eventually(() => (drawn.match(/daemon {4}http/g) ?? []).length >= 2, 'it is drawn twice')
    child.stdin.write('\x03')
    assert.deepEqual((await gone)[0], 0)
    assert.match(drawn, /thing\.bin/)
  })

  test('another daemon is named by its address and token; without the token it refuses', async () => {
    const env = { SWARM_STATE_DIR: join(world.folder, 'nobody') }
    const refused = await swarm(['status', '--daemon', leecher.url], { env })
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /token/)
    const told = await swarm(['status', '--daemon', leecher.url], { env: { ...env, SWARM_TOKEN: 'correct-horse-battery' } })
    assert.equal(told.code, 0, told.stderr)
    const gone = await swarm(['status', '--daemon', 'http://127.0.0.1:1'], { env })
    assert.equal(gone.code, 4)
    const none = await swarm(['status'], { env })
    assert.equal(none.code, 1)
    assert.match(none.stderr, /no daemon runs/)
  })

  test('scan tells what it found, and exits with 1 when something is not intact', async () => {
    const good = await swarm(['scan', ...inState(seeder)])
    assert.equal(good.code, 0, good.stderr)
    await writeFile(join(seeder.folder, 'complete', 'bad.swarm'), '{')
    const bad = await swarm(['scan', ...inState(seeder)])
    assert.equal(bad.code, 1)
    assert.match(bad.stderr, /bad\.swarm: invalid manifest/)
  })

  test('task pauses, resumes, ranks, cancels and removes what is named by id, root or name', async () => {
    const cwd = join(world.folder, 'tasks')
    await mkdir(cwd)
    const thing = await world.file('acted-on.bin', 300_000)
    const { stdout } = await swarm(['seed', thing, '-q', ...inState(seeder)], { cwd })
    const owner = leecher.client
    await owner.setLimits({ downloadBytesPerSecond: 1000 })
    const added = await owner.addTask({ source: stdout.trim() })
    const act = async (...args: string[]): Promise<Record<string, unknown>> => {
      const done = await swarm(['task', ...args, '--json', ...inState(leecher)])
      assert.equal(done.code, 0, done.stdout)
      return events(done.stdout).at(-1) ?? assert.fail()
    }
    assert.equal((await act('pause', added.id.slice(0, 8))).phase, 'paused')
    assert.equal((await owner.task(added.id)).state, 'paused')
    assert.match(String((await act('resume', added.root)).phase), /^(active|queued)$/)
    assert.equal((await act('priority', 'acted-on.bin', '7')).priority, 7)
    assert.equal((await owner.task(added.id)).priority, 7)
    assert.equal((await act('cancel', added.root.slice(0, 12))).phase, 'cancelled')
    assert.equal((await act('remove', 'acted-on.bin', '--data')).event, 'removed')
    assert.ok((await owner.tasks()).every(({ id }) => id !== added.id))
    const gone = await swarm(['task', 'pause', 'acted-on.bin', ...inState(leecher)])
    assert.equal(gone.code, 1)
    assert.match(gone.stderr, /has no task "acted-on\.bin"/)
    await owner.setLimits({ downloadBytesPerSecond: 0 })
  })

  test('--no-daemon, and options that shape a node, use a node of their own', async () => {
    const cwd = join(world.folder, 'own')
    await mkdir(cwd)
    const [task] = await seeder.client.tasks()
    const idle = await world.process('idle')
    for (const flags of [['--no-daemon'], ['--listen', '/ip4/127.0.0.1/tcp/0']]) {
      const got = await swarm(
        ['get', task?.link ?? '', '-o', `copy${flags[0]}`, '--no-linger', '--json', ...flags, ...inState(idle)],
        {
          cwd,
          env: { SWARM_NO_MDNS: '1', SWARM_NO_DHT: '1' }
        }
      )
      assert.equal(got.code, 0, got.stdout)
      assert.deepEqual(await idle.client.tasks(), [])
      const joined = events(got.stdout).find(({ event }) => event === 'joined')
      assert.notEqual(joined?.peer, (await idle.client.probe()).peer, 'two peers have one name')
    }
  })
})
