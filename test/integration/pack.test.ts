/**
 * What `npm pack` makes, installed into an empty folder without development dependencies, as a user of Node
 * 22 and of Node 24 gets it.
 */

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryFolder } from '../cli/run-cli.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const NODES = ['22', '24']

/** A program as a user would write it, checked by tsc and run by both Nodes. */
const PROGRAM = `import { createNode, type TransferSnapshot, InvalidManifestError, readManifest } from 'swarmfile'
import { writeFile, readFile } from 'node:fs/promises'
const options = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false }
await writeFile('shared.txt', 'x'.repeat(700_000))
const seeder = await createNode({ ...options, stateDir: 'one' })
const leecher = await createNode({ ...options, stateDir: 'two' })
const seed = await seeder.seed('shared.txt')
const transfer = await leecher.get(seed.link(), { output: 'copy.txt' })
await transfer.completed
const snapshot: TransferSnapshot = transfer.snapshot()
await leecher.stop()
await seeder.stop()
const fault: unknown = await readManifest('shared.txt').catch((err: unknown) => err)
console.log(JSON.stringify([(await readFile('copy.txt')).length, snapshot.piecesDone, fault instanceof InvalidManifestError]))
`

describe('the package that npm pack makes', { timeout: 1_500_000 }, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let tarball: string

  before(async () => {
    folder = await temporaryFolder()
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder.path], { cwd: ROOT, maxBuffer: 1 << 24 })
    tarball = folder.join(JSON.parse(stdout.slice(stdout.indexOf('[\n')))[0].filename)
  })

  after(() => folder[Symbol.asyncDispose]())

  for (const major of NODES) {
    it(`installs into an empty folder, and its command and library run on Node ${major}`, async () => {
      const cwd = folder.join(`with-node-${major}`)
      await mkdir(cwd)
      await writeFile(folder.join(`with-node-${major}`, 'package.json'), '{ "private": true, "type": "module" }')
      await run('npm', ['install', '--omit=dev', '--no-audit', '--no-fund', tarball, `node@${major}`], {
        cwd,
        maxBuffer: 1 << 24
      })
      const env = { ...process.env, PATH: `${cwd}/node_modules/.bin:${process.env.PATH}`, SWARM_STATE_DIR: `${cwd}/state` }
      const swarm = (...args: string[]) => run('swarm', args, { cwd, env })
      assert.match((await run('node', ['--version'], { cwd, env })).stdout, new RegExp(`^v${major}\\.`))

      const { version } = JSON.parse(await readFile(`${ROOT}/package.json`, 'utf8'))
      assert.equal((await swarm('--version')).stdout, `${version}\n`)
      await writeFile(`${cwd}/data.bin`, Buffer.alloc(3_000_000, 'swarm'))
      await swarm('create', 'data.bin')
      assert.match((await swarm('info', 'data.bin.swarm')).stdout, /3\.00 MB/)
      await writeFile(`${cwd}/required.cjs`, "console.log(typeof require('swarmfile').createNode)\n")
      assert.equal((await run('node', ['required.cjs'], { cwd, env })).stdout, 'function\n')

      const seeder = spawn('swarm', ['seed', 'data.bin', '--json', '--no-mdns'], {
        cwd,
        env,
        stdio: ['ignore', 'pipe', 'inherit']
      })
      try {
        let link = ''
        for await (const line of createInterface({ input: seeder.stdout })) {
          link = JSON.parse(line).link
          if (link !== undefined) break
        }
        await swarm('get', link, '--output', 'copy.bin', '--no-mdns', '--state-dir', 'other-state')
        assert.deepEqual(await readFile(`${cwd}/copy.bin`), await readFile(`${cwd}/data.bin`))
      } finally {
        seeder.kill('SIGINT')
        await once(seeder, 'exit')
      }

      await writeFile(`${cwd}/program.ts`, PROGRAM)
      const check = [
        '--noEmit',
        '--strict',
        '--module',
        'nodenext',
        '--target',
        'es2023',
        '--typeRoots',
        `${ROOT}/node_modules/@types`
      ]
      await run('tsc', [...check, '--types', 'node', 'program.ts'], { cwd, env: { ...process.env } }).catch(err =>
        assert.fail(err.stdout)
      )
      const ran = await run('node', ['--experimental-strip-types', '--no-warnings', 'program.ts'], { cwd, env })
      assert.equal(ran.stdout, '[700000,3,true]\n')
    })
  }

  for (const major of NODES) {
    it(`keeps the code that a command compiled for its next run, and does without where it cannot, on Node ${major}`, async () => {
      const cwd = folder.join(`with-node-${major}`)
      const cache = `${cwd}/cache`
      const kept = `${cache}/swarm/info.code`
      const env = { ...process.env, PATH: `${cwd}/node_modules/.bin:${process.env.PATH}`, XDG_CACHE_HOME: cache }
      await writeFile(`${cwd}/some.txt`, 'content')
      await run('swarm', ['create', 'some.txt', '--state-dir', 'state'], { cwd, env })
      const info = async () => {
        const { stdout, stderr } = await run('swarm', ['info', 'some.txt.swarm'], { cwd, env })
        assert.equal(stderr, '')
        return stdout
      }
      const said = await info()
      const { mtimeMs, mode } = await stat(kept)
      assert.equal(mode & 0o777, 0o600)
      assert.equal(await info(), said)
      assert.equal((await stat(kept)).mtimeMs, mtimeMs, 'the second run took what the first one had kept')

      const code = await readFile(kept)
      const damaged = Buffer.from(code).fill(0xff, code.length >> 1, (code.length >> 1) + 64)
      await writeFile(kept, damaged)
      assert.equal(await info(), said)
      assert.notDeepEqual(await readFile(kept), damaged, 'the damaged one was replaced')
      const { mtimeMs: replacedMs } = await stat(kept)
      await chmod(`${cache}/swarm`, 0o777)
      assert.equal(await info(), said)
      assert.notEqual((await stat(kept)).mtimeMs, replacedMs, 'a folder in which others may write is not read from')

      await rm(cache, { recursive: true })
      await writeFile(cache, 'no folder')
      assert.equal(await info(), said)
    })
  }

  it('gives one clear line on a Node that is too old', async t => {
    const old = process.env.SWARM_TEST_OLD_NODE ?? '/usr/bin/node'
    const version = await run(old, ['--version']).then(
      ({ stdout }) => Number.parseInt(stdout.slice(1), 10),
      () => 99
    )
    if (version >= 22) return t.skip('no older Node here')
    await run('tar', ['xzf', tarball, '-C', folder.path])
    const main = folder.join('package/dist/cli/main.js')
    await assert.rejects(run(old, [main, 'info', 'x']), (err: { code: number; stderr: string }) => {
      assert.match(err.stderr, /^swarm: Node 22.13 or newer is needed, this is [^\n]*\n$/)
      return err.code === 2
    })
  })
})
