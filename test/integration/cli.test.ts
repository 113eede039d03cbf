/**
 * `swarm seed` and `swarm get` as a user runs them: real processes, real files, real sockets on loopback.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { type RunOptions, runCli, startCli, temporaryFolder } from '../cli/run-cli.ts'

const LENGTH = 5_000_000

/**
 * A folder with `data.bin`; `start` and `run` add what keeps a node on loopback, with a state folder per
 * name.
 */
async function workspace() {
  const folder = await temporaryFolder()
  const content = randomBytes(LENGTH)
  await writeFile(folder.join('data.bin'), content)
  const args = (state: string, rest: string[]): string[] => [
    ...rest,
    ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--state-dir', folder.join(state)]
  ]
  return {
    ...folder,
    content,
    start: (state: string, rest: string[], options: RunOptions = {}) =>
      startCli(args(state, [...rest, '--json']), { cwd: folder.path, ...options }),
    run: (state: string, rest: string[], options: RunOptions = {}) => runCli(args(state, rest), { cwd: folder.path, ...options })
  }
}

describe('swarm seed and swarm get', { concurrency: 1, timeout: 600_000 }, () => {
  it('bring a file over a link, say what was done, and stop cleanly on Ctrl-C', async () => {
    await using space = await workspace()
    await using seeder = space.start('seeder', ['seed', 'data.bin'])
    const { link, manifest, addresses } = await seeder.event('seeding')
    assert.equal(manifest, space.join('data.bin.swarm'))
    assert.match(addresses[0], /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\//)
    const got = await space.run('leecher', ['get', link, '-o', 'copy.bin'])
    assert.equal(got.code, 0, got.stderr)
    assert.match(got.stdout, /^got .*copy\.bin\nsize {6}5\.00 MB, every piece verified\ntime .*\nfrom .* 100 % {2}\S+/)
    assert.match(got.stdout, /^served {4}0 B to 0 peers$/m)
    assert.deepEqual(await readFile(space.join('copy.bin')), space.content)
    seeder.child.kill('SIGINT')
    const { code, events } = await seeder.finished
    assert.equal(code, 0)
    const served = events.find(({ event }) => event === 'served')
    assert.equal(served?.bytesUploaded, LENGTH)
    assert.equal(served?.peers.length, 1)
  })

  it('bring a file by its manifest, whose hints find the seeder', async () => {
    await using space = await workspace()
    await using seeder = space.start('seeder', ['seed', 'data.bin'])
    await seeder.event('seeding')
    await mkdir(space.join('out'))
    const got = await space.run('leecher', ['get', 'data.bin.swarm', '-o', 'out', '--quiet'])
    assert.deepEqual([got.code, got.stdout, got.stderr], [0, `${space.join('out/data.bin')}\n`, ''])
    assert.deepEqual(await readFile(space.join('out/data.bin')), space.content)
  })

  it("find each other with one state folder, as two commands of one user have; its identity is the first one's, also after kill -9", async () => {
    await using space = await workspace()
    const first = space.start('shared', ['seed', 'data.bin'])
    const { peer, link } = await first.event('seeding')
    const got = await space.run('shared', ['get', link, '-o', 'copy.bin', '--timeout', '60s'])
    assert.equal(got.code, 0, got.stderr)
    assert.deepEqual(await readFile(space.join('copy.bin')), space.content)
    await using second = space.start('shared', ['seed', 'copy.bin', '-o', 'second.swarm'])
    assert.notEqual((await second.event('seeding')).peer, peer)
    first.child.kill('SIGKILL')
    await first.finished
    await using third = space.start('shared', ['seed', 'data.bin', '-o', 'third.swarm'])
    assert.equal((await third.event('seeding')).peer, peer)
  })

  it('seed an unchanged file again without hashing it', async () => {
    await using space = await workspace()
    for (const hashes of [true, false]) {
      await using seeder = space.start('seeder', ['seed', 'data.bin'])
      await seeder.event('seeding')
      seeder.child.kill('SIGTERM')
      const { code, events } = await seeder.finished
      assert.equal(code, 0)
      assert.equal(
        events.some(({ phase }) => phase === 'hashing'),
        hashes
      )
    }
  })

  it('seed what comes on standard input, under the name given, and keep nothing of it when stopped', async () => {
    await using space = await workspace()
    await mkdir(space.join('tmp'))
    const options = { input: space.content, env: { TMPDIR: space.join('tmp') } }
    await using seeder = space.start('seeder', ['seed', '-', '--name', 'piped.bin'], options)
    const { link } = await seeder.event('seeding')
    assert.equal((await space.run('leecher', ['get', link])).code, 0)
    assert.deepEqual(await readFile(space.join('piped.bin')), space.content)
    seeder.child.kill('SIGTERM')
    assert.equal((await seeder.finished).code, 0)
    assert.deepEqual(
      (await readdir(space.join('tmp'))).filter(name => name.startsWith('swarm-')),
      []
    )
  })

  it('seed standard input, and delete what a killed seed of it left behind', async () => {
    await using space = await workspace()
    await mkdir(space.join('tmp'))
    const options = { input: space.content, env: { TMPDIR: space.join('tmp') } }
    const spools = async (): Promise<string[]> =>
      (await readdir(space.join('tmp'))).filter(name => name.startsWith('swarm-stdin-'))
    const killed = space.start('seeder', ['seed', '-', '--name', 'piped.bin'], options)
    await killed.event('seeding')
    await using living = space.start('living', ['seed', '-', '--name', 'piped.bin'], options)
    await living.event('seeding')
    const before = await spools()
    assert.equal(before.length, 2)
    killed.child.kill('SIGKILL')
    await killed.finished
    await using next = space.start('seeder', ['seed', '-', '--name', 'piped.bin'], options)
    await next.event('seeding')
    const after = await spools()
    assert.equal(after.length, 2)
    assert.equal(after.filter(name => before.includes(name)).length, 1, 'that of the living seed stays')
  })

  it('resume after an interrupt: 130, then only what is missing is fetched', async () => {
    await using space = await workspace()
    await using seeder = space.start('seeder', ['seed', 'data.bin'])
    const { link } = await seeder.event('seeding')
    await using first = space.start('leecher', ['get', link, '-o', 'copy.bin', '--download-limit', '100kB'])
    await first.event('progress', ({ bytesDone }) => bytesDone > 0)
    first.child.kill('SIGINT')
    const stopped = await first.finished
    assert.equal(stopped.code, 130, stopped.stdout)
    const kept = stopped.events.findLast(({ event }) => event === 'progress')?.bytesDone
    await assert.rejects(stat(space.join('copy.bin')), { code: 'ENOENT' })
    const again = await space.start('leecher', ['get', link, '-o', 'copy.bin']).finished
    assert.equal(again.code, 0, again.stdout)
    const complete = again.events.find(({ event }) => event === 'complete')
    assert.ok(complete?.bytesDownloaded <= LENGTH - kept, `${complete?.bytesDownloaded} bytes fetched, ${kept} were there`)
    assert.deepEqual(await readFile(space.join('copy.bin')), space.content)
  })

  it('refuse an output that exists and differs, take one that matches, overwrite with --force', async () => {
    await using space = await workspace()
    await using seeder = space.start('seeder', ['seed', 'data.bin'])
    const { link } = await seeder.event('seeding')
    await writeFile(space.join('other'), 'my notes')
    const refused = await space.run('leecher', ['get', link, '-o', 'other'])
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /^swarm: .*other exists.*--force/m)
    assert.equal(await readFile(space.join('other'), 'utf8'), 'my notes')
    const matching = await space.run('leecher', ['get', link, '-o', 'data.bin'])
    assert.equal(matching.code, 0, matching.stderr)
    assert.match(matching.stdout, /5\.00 MB of it was on disk already/)
    assert.equal((await space.run('leecher', ['get', link, '-o', 'other', '--force'])).code, 0)
    assert.deepEqual(await readFile(space.join('other')), space.content)
  })

  it('bring a folder, or only the files that match', async () => {
    await using space = await workspace()
    await mkdir(space.join('tree/deep'), { recursive: true })
    await writeFile(space.join('tree/deep/größe.txt'), 'unicode')
    await writeFile(space.join('tree/run.sh'), '#!/bin/sh\n')
    await chmod(space.join('tree/run.sh'), 0o755)
    await writeFile(space.join('tree/empty'), '')
    await using seeder = space.start('seeder', ['seed', 'tree'])
    const { link } = await seeder.event('seeding')
    assert.equal((await space.run('one', ['get', link, '-o', 'all'])).code, 0)
    assert.deepEqual((await readdir(space.join('all'), { recursive: true })).sort(), [
      'deep',
      'deep/größe.txt',
      'empty',
      'run.sh'
    ])
    assert.notEqual((await stat(space.join('all/run.sh'))).mode & 0o100, 0)
    assert.equal((await space.run('two', ['get', link, '-o', 'some', '--only', '**/*.txt'])).code, 0)
    assert.equal(await readFile(space.join('some/deep/größe.txt'), 'utf8'), 'unicode')
    await assert.rejects(stat(space.join('some/run.sh')), { code: 'ENOENT' })
  })

  it('say what was tried when there are no peers, and give up with 4 after --timeout', async () => {
    await using space = await workspace()
    await runCli(['create', 'data.bin', '--state-dir', space.join('x')], { cwd: space.path })
    for (const source of ['data.bin.swarm', `swarm:${'ab'.repeat(32)}`]) {
      const got = await space.run('leecher', ['get', source, '-o', 'copy', '--timeout', '1s'])
      assert.equal(got.code, 4, got.stderr)
      assert.match(got.stderr, /^swarm: .*DHT/m)
    }
  })

  it('never serve a file that changed as if it were intact', async () => {
    await using space = await workspace()
    await using seeder = space.start('seeder', ['seed', 'data.bin'])
    const { link } = await seeder.event('seeding')
    {
      await using file = await open(space.join('data.bin'), 'r+')
      await file.write(Buffer.alloc(100, 7), 0, 100, 300_000)
    }
    const got = await space.run('leecher', ['get', link, '-o', 'copy.bin', '--timeout', '10s'])
    assert.equal(got.code, 4, got.stderr)
    await assert.rejects(stat(space.join('copy.bin')), { code: 'ENOENT' })
    const { message } = await seeder.event('warning')
    assert.match(message, /changed/)
  })
})
