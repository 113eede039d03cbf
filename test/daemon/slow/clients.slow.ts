/**
 * The gateway under real clients while the download runs: curl, wget, aria2c, many readers at once, and ones
 * that come and go. Daemons are processes; a download limit keeps the leecher incomplete for as long as a
 * test needs.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { copyFile, readFile, truncate } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Task } from '../../../src/api/schema/tasks.ts'
import { type DaemonProcess, eventually, raw, run, sha256, until, untilComplete, World } from '../fixture.ts'

const MB = 1_000_000
const LENGTH = 24 * MB
const has = (program: string): boolean =>
  ['/usr/bin', '/bin', '/usr/local/bin', '/usr/sbin'].some(folder => existsSync(join(folder, program)))
const missing = (program: string): string | false => (has(program) ? false : `${program} is not installed (apt-get install it)`)

describe('clients of the gateway while the download runs', () => {
  let world: World
  let path: string
  let seed: Task
  let count = 0

  before(async () => {
    world = await World.open()
    path = await world.file('thing.bin', LENGTH)
    const seeder = await world.process('seeder')
    seed = await seeder.client.addTask({ seed: path })
  })
  after(() => world.close())

  /**
   * So slow that the download cannot end before a test has looked at it, and so fast that it then ends soon.
   */
  const SLOW = 200_000
  const FAST = { downloadBytesPerSecond: 8 * MB }

  /** A leecher that has some of it and goes on at `rate` bytes per second. */
  const leecher = async (rate: number, flags = {}): Promise<{ daemon: DaemonProcess; task: Task; url: string }> => {
    const daemon = await world.process(`leecher-${count++}`, { 'download-limit': String(rate), ...flags })
    const { id } = await daemon.client.addTask({ source: seed.link ?? '' })
    const task = await until(daemon.client, id, ({ bytesDone, bytesTotal }) => bytesDone > 0 && bytesTotal === LENGTH)
    return { daemon, task, url: daemon.url + task.url }
  }

  const assertWasRunning = async ({ client }: DaemonProcess, { id }: Task): Promise<void> => {
    const { bytesDone, state } = await client.task(id)
    assert.equal(state, 'active')
    assert.ok(bytesDone > 0 && bytesDone < LENGTH, `${bytesDone} of ${LENGTH} bytes`)
  }

  test('the range asked for is fetched first', async () => {
    const { daemon, task, url } = await leecher(SLOW)
    const reply = await raw(url, { headers: { range: 'bytes=-300000' } })
    await assertWasRunning(daemon, task)
    assert.equal(reply.status, 206)
    assert.deepEqual(reply.body, (await readFile(path)).subarray(-300_000))
    const { bytesDone } = await daemon.client.task(task.id)
    // In the order of chance the last pieces of 92 would come when some half of the content is there.
    assert.ok(bytesDone < LENGTH / 3, `${bytesDone} bytes were fetched for it`)
  })

  test('curl goes on from where a copy ends', { skip: missing('curl') }, async () => {
    const { daemon, task, url } = await leecher(SLOW)
    const copy = join(world.folder, 'curl.bin')
    await copyFile(path, copy)
    await truncate(copy, LENGTH / 2)
    const curl = run('curl', ['-sS', '--fail', '-C', '-', '-o', copy, url])
    await assertWasRunning(daemon, task)
    await daemon.client.setLimits(FAST)
    const { code, stderr } = await curl
    assert.equal(code, 0, stderr)
    assert.equal(await sha256(copy), await sha256(path))
    const { code: again } = await run('curl', ['-sS', '-C', '-', '-o', copy, url])
    assert.equal(again, 0, 'a copy that is whole is left as it is')
  })

  test('wget goes on from where a copy ends', { skip: missing('wget') }, async () => {
    const { daemon, task, url } = await leecher(SLOW)
    const copy = join(world.folder, 'wget.bin')
    await copyFile(path, copy)
    await truncate(copy, LENGTH / 3)
    const wget = run('wget', ['-nv', '-c', '-O', copy, url])
    await assertWasRunning(daemon, task)
    await daemon.client.setLimits(FAST)
    const { code, stderr } = await wget
    assert.equal(code, 0, stderr)
    assert.equal(await sha256(copy), await sha256(path))
  })

  test('aria2c takes it over eight connections at once', { skip: missing('aria2c') }, async () => {
    const { daemon, task, url } = await leecher(SLOW)
    const args = ['-q', '-x8', '-s8', '-k1M', '--file-allocation=none', '-d', world.folder, '-o', 'aria.bin', url]
    const aria = run('aria2c', args)
    await eventually(async () => (await daemon.client.probe()).readers > 1, 'several readers at once')
    await assertWasRunning(daemon, task)
    await daemon.client.setLimits(FAST)
    const { code, stdout } = await aria
    assert.equal(code, 0, stdout)
    assert.equal(await sha256(join(world.folder, 'aria.bin')), await sha256(path))
  })

  test('a reader who does not read costs a few buffers, and one who leaves ends the fetch', async () => {
    const { daemon, task, url } = await leecher(0)
    await untilComplete(daemon.client, task.id)
    const idle = await ask(url)
    const sent = async (): Promise<number> =>
      Number(/^swarm_gateway_sent_bytes_total (\d+)/m.exec((await raw(`${daemon.url}/metrics`)).body.toString())?.[1])
    let last = -1
    await eventually(async () => {
      const now = await sent()
      const isStill = now === last
      last = now
      return isStill && now > 0
    }, 'the gateway waits for its reader')
    assert.ok(last < LENGTH / 2, `${last} bytes went out unread`)
    idle.destroy()
    await eventually(async () => (await daemon.client.probe()).readers === 0, 'the reader is gone')

    const waiting = await leecher(1)
    const { destroy, arrived } = askWithoutAnswer(waiting.url, 'bytes=-1000')
    await eventually(async () => (await waiting.daemon.client.probe()).readers === 1, 'the reader waits for a piece')
    destroy()
    await eventually(async () => (await waiting.daemon.client.probe()).readers === 0, 'the reader is gone')
    assert.equal(arrived(), 0)
  })

  test('a hundred readers of ranges at once get the right bytes while the download runs, and memory stays flat', async () => {
    const { daemon, task, url } = await leecher(SLOW)
    const { pid } = daemon.child
    const baseMb = await residentMb(pid as number)
    const whole = await readFile(path)
    const bodies: Promise<void>[] = []
    for (let reader = 0; reader < 100; reader++) {
      // Spread over the content, each a third of a megabyte, in an order that has nothing to do with the
      // content's.
      const start = ((reader * 37) % 100) * Math.floor((LENGTH - 400_000) / 100)
      bodies.push(
        (async () => {
          const reply = await raw(url, { headers: { range: `bytes=${start}-${start + 333_332}` } })
          assert.equal(reply.status, 206)
          assert.ok(reply.body.equals(whole.subarray(start, start + 333_333)), `reader ${reader} got other bytes`)
        })()
      )
    }
    await eventually(async () => (await daemon.client.probe()).readers > 50, 'the readers are being served')
    await assertWasRunning(daemon, task)
    await daemon.client.setLimits({ downloadBytesPerSecond: 4 * MB })
    let peakMb = 0
    const watching = setInterval(async () => {
      peakMb = Math.max(peakMb, await residentMb(pid as number).catch(() => 0))
    }, 100)
    await Promise.all(bodies)
    clearInterval(watching)
    const { stdout } = {
      stdout: `resident memory: ${baseMb.toFixed(0)} MB before, ${peakMb.toFixed(0)} MB at most with 100 readers`
    }
    console.log(stdout)
    // Two buffers of a piece each, and what sockets hold.
    assert.ok(peakMb - baseMb < 150, stdout)
  })

  test('kill -9 in the middle of a queue of ten tasks: all end complete, in order', async () => {
    const seeder = await world.process('ten-seeder')
    const links: string[] = []
    const files: string[] = []
    for (let i = 0; i < 10; i++) {
      files.push(await world.file(`ten-${i}.bin`, 2 * MB + i))
      links.push((await seeder.client.addTask({ seed: files[i] as string })).link ?? '')
    }
    const flags = { 'max-downloads': '1', 'download-limit': '4MB' }
    let daemon = await world.process('ten', flags)
    const ids: string[] = []
    for (const source of links) ids.push((await daemon.client.addTask({ source })).id)
    let kills = 0
    for (const [i, id] of ids.entries()) {
      // Twice: with a task half done, and again later.
      if (i === 3 || i === 7) {
        await until(daemon.client, id, task => task.bytesDone > 0)
        await daemon.kill('SIGKILL')
        kills++
        daemon = await world.process('ten', flags)
        const states = (await daemon.client.tasks()).map(task => task.state)
        assert.equal(states.length, 10)
      }
      await untilComplete(daemon.client, id)
    }
    assert.equal(kills, 2)
    const tasks = new Map((await daemon.client.tasks()).map(task => [task.id, task]))
    const times = ids.map(id => tasks.get(id)?.finishedMs ?? 0)
    assert.deepEqual(
      times.toSorted((x, y) => x - y),
      times
    )
    for (const [i, file] of files.entries())
      assert.equal(await sha256(join(daemon.folder, 'complete', `ten-${i}.bin`)), await sha256(file))
    const fetched = [...tasks.values()].reduce((sum, task) => sum + task.bytesDownloaded, 0)
    console.log(`fetched ${(fetched / MB).toFixed(1)} MB for ${(10 * 2 * MB) / MB} MB over ${kills} kills`)
    assert.equal(await daemon.kill('SIGTERM'), 0, 'a clean stop exits with 0')
    assert.equal(existsSync(join(daemon.folder, 'state', 'daemon.json')), false)
  })

  test('SIGTERM lets a running reader end, refuses new ones and leaves everything to be taken up again', async () => {
    const { daemon, task, url } = await leecher(1)
    const before = await daemon.client.task(task.id)
    const events = await ask(`${daemon.url}/v1/events`)
    events.on('error', () => {}).resume()
    const reader = raw(url, { headers: { range: 'bytes=-1500000' } })
    await eventually(async () => (await daemon.client.probe()).readers === 1, 'the reader is being served')
    // What it waits for comes in a second and a half, of the five that a stopping daemon gives.
    await daemon.client.setLimits({ downloadBytesPerSecond: 1 * MB })
    const gone = daemon.kill('SIGTERM')
    await eventually(() => /daemon stops/.test(daemon.log()), 'it is stopping')
    assert.deepEqual((await reader).body, (await readFile(path)).subarray(-1_500_000), 'the reader got all of it')
    assert.equal(await gone, 0)
    await assert.rejects(daemon.client.tasks(), { code: 'unavailable' })
    for (const line of daemon.log().trim().split('\n')) assert.ok(JSON.parse(line).level > 0, 'each line of the log is JSON')
    assert.match(daemon.log(), /daemon stopped/)

    const again = await world.process(`leecher-${count - 1}`)
    const done = await untilComplete(again.client, task.id)
    assert.ok(done.bytesDownloaded - done.bytesWasted <= LENGTH, 'what was verified before was not fetched again')
    assert.ok(before.bytesDone > 0)
  })
})

function ask(url: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, reply => resolve(reply.pause())).on('error', reject)
  })
}

function askWithoutAnswer(url: string, range: string): { destroy: () => void; arrived: () => number } {
  let bytes = 0
  const sent = get(url, { agent: false, headers: { range } }, reply => {
    reply.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
    })
    reply.on('error', () => {})
  })
  sent.on('error', () => {})
  return { destroy: () => sent.destroy(), arrived: () => bytes }
}

async function residentMb(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1]) / 1000
}
