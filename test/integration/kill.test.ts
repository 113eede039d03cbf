import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { after, describe, it } from 'node:test'
import { createRandom } from '../../src/util/random.ts'
import { SwarmProcess } from './processes.ts'

const MIB = 1024 * 1024
const home = await mkdtemp(join(tmpdir(), 'swarm-kill-'))
const started: SwarmProcess[] = []
after(async () => {
  await Promise.all(started.map(child => child.kill()))
  await rm(home, { recursive: true, force: true })
})

function start(...args: string[]): SwarmProcess {
  const child = new SwarmProcess([...args, '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0'])
  started.push(child)
  return child
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

describe('kill -9 at any moment', { timeout: 1_500_000 }, () => {
  it('costs a leecher nothing that was verified: only missing pieces are fetched again', async () => {
    const file = join(home, 'resume.bin')
    await writeFile(file, randomBytes(48 * MIB))
    const seeder = start('seed', file, '--state-dir', join(home, 'resume-seed'), '--output', join(home, 'resume.swarm'))
    await seeder.event('seeding')
    const args = [
      'get',
      join(home, 'resume.swarm'),
      '--output',
      join(home, 'resume.copy'),
      '--state-dir',
      join(home, 'resume-get'),
      '--no-linger'
    ]
    const first = start(...args, '--download-limit', '6MB')
    const half = await first.find(({ event, bytesDone }) => event === 'progress' && (bytesDone as number) > 12 * MIB)
    assert.ok(half !== undefined, first.lastWords())
    await first.kill()
    const before = first.latest('bytesDone')
    assert.ok(before < 48 * MIB, 'killed before the end')

    const second = start(...args)
    const joined = await second.event('joined')
    const complete = await second.event('complete')
    assert.deepEqual(await second.exit, { code: 0, signal: null })
    const onDisk = joined.bytesOnDisk as number
    assert.ok(onDisk >= before, `${onDisk} on disk, ${before} had been verified`)
    assert.equal(
      (complete.bytesDownloaded as number) - (complete.bytesWasted as number),
      48 * MIB - onDisk,
      'exactly the missing bytes'
    )
    assert.equal(await digest(join(home, 'resume.copy')), await digest(file))
    await seeder.kill('SIGINT')
  })

  it('costs re-verification, never a wrong file, when the .part was damaged meanwhile', async () => {
    const file = join(home, 'damage.bin')
    await writeFile(file, randomBytes(24 * MIB))
    const seeder = start('seed', file, '--state-dir', join(home, 'damage-seed'), '--output', join(home, 'damage.swarm'))
    await seeder.event('seeding')
    const copy = join(home, 'damage.copy')
    const args = ['get', join(home, 'damage.swarm'), '--output', copy, '--state-dir', join(home, 'damage-get'), '--no-linger']
    const first = start(...args, '--download-limit', '4MB')
    await first.find(({ event, bytesDownloaded }) => event === 'progress' && (bytesDownloaded as number) > 6 * MIB)
    await first.kill()
    await truncate(`${copy}.part`, 3 * MIB)
    const second = start(...args)
    await second.event('complete')
    assert.deepEqual(await second.exit, { code: 0, signal: null })
    assert.equal(await digest(copy), await digest(file))
    await seeder.kill('SIGINT')
  })

  it('30 times over leechers and seeder of a running swarm ends with every copy identical', async t => {
    const seed = process.env.SWARM_TEST_SEED ?? randomBytes(4).toString('hex')
    const random = createRandom(seed)
    const bytes = 64 * MIB
    const leecherCount = 4
    const file = join(home, 'kill.bin')
    await writeFile(file, randomBytes(bytes))
    const original = await digest(file)
    const port = 20_000 + random.nextInt(12_000)

    // So slow that the swarm cannot end, and the kills hit nothing unfinished, before a minute is over; told
    // otherwise once the kills are.
    let seedLimit = '1MB'
    const startSeeder = (): SwarmProcess => {
      const child = new SwarmProcess([
        ...['seed', file, '--output', join(home, 'kill.swarm'), '--state-dir', join(home, 'kill-seed')],
        ...['--upload-limit', seedLimit, '--no-mdns', '--listen', `/ip4/127.0.0.1/tcp/${port}`]
      ])
      started.push(child)
      return child
    }
    let seeder = startSeeder()
    await seeder.event('seeding')
    let downloaded = 0
    const startLeecher = (i: number): SwarmProcess =>
      start(
        'get',
        join(home, 'kill.swarm'),
        '--output',
        join(home, `kill.${i}`),
        '--upload-limit',
        '4MB',
        '--state-dir',
        join(home, `kill-get-${i}`),
        '--seed'
      )
    const leechers = Array.from({ length: leecherCount }, (_, i) => startLeecher(i))

    let killedIncomplete = 0
    for (let kill = 0; kill < 30; kill++) {
      // The moment of the kill follows what the swarm does, not the clock: after a random number of further
      // events.
      const victim = random.nextInt(leecherCount + 1)
      const process = leechers[victim] ?? seeder
      const target = process.events.length + 1 + random.nextInt(4)
      await process.find(
        () => process.events.length >= target || process.events.some(({ event }) => event === 'complete' || event === 'served')
      )
      const complete = process.events.some(({ event }) => event === 'complete')
      await process.kill()
      if (victim < leecherCount) {
        downloaded += process.latest('bytesDownloaded')
        if (!complete) killedIncomplete++
        leechers[victim] = startLeecher(victim)
      } else {
        seeder = startSeeder()
      }
    }
    await seeder.kill()
    seedLimit = '16MB'
    seeder = startSeeder()
    await Promise.all(leechers.map(leecher => leecher.event('complete')))
    for (const leecher of leechers) downloaded += leecher.latest('bytesDownloaded')
    for (let i = 0; i < leecherCount; i++)
      assert.equal(await digest(join(home, `kill.${i}`)), original, `copy ${i}, seed ${seed}`)
    const waste = downloaded / (bytes * leecherCount) - 1
    t.diagnostic(
      `seed ${seed}: ${killedIncomplete} of 30 kills hit an unfinished leecher; ${(waste * 100).toFixed(2)} % of the bytes came twice (as last reported before each kill)`
    )
    assert.ok(killedIncomplete >= 5, `the swarm outran the kills (seed ${seed})`)
    await Promise.all([...leechers, seeder].map(child => child.kill('SIGINT')))
  })
})
