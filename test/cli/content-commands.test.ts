import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import { runCli, startCli, temporaryFolder } from './run-cli.ts'

const LENGTH = 1_000_000

/** A folder with `data.bin` (four pieces of 256 KiB) and a state folder of its own. */
async function workspace() {
  const folder = await temporaryFolder()
  await writeFile(folder.join('data.bin'), randomBytes(LENGTH))
  const run = (...args: string[]) => runCli(args, { cwd: folder.path, env: { SWARM_STATE_DIR: folder.join('state') } })
  return { folder, run, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

async function damage(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = new Uint8Array(1)
  await file.read(byte, 0, 1, offset)
  await file.write(
    byte.map(value => value ^ 0xff),
    0,
    1,
    offset
  )
}

describe('swarm create, info and verify', { concurrency: 2 }, () => {
  it('make a manifest, show it, and find the content intact', async () => {
    await using space = await workspace()
    const created = await space.run('create', 'data.bin')
    assert.equal(created.code, 0, created.stderr)
    assert.match(
      created.stdout,
      /^file {6}data\.bin\nsize {6}1\.00 MB \(1000000 bytes\), 4 pieces of 256 KiB\nroot {6}[0-9a-f]{64}\n/
    )
    assert.match(created.stdout, /manifest {2}data\.bin\.swarm\nlink {6}swarm:[0-9a-f]{64}\?/)
    assert.equal(created.stderr, '', 'no progress lines for a job this short')
    const info = await space.run('info', 'data.bin.swarm')
    assert.equal(info.code, 0, info.stderr)
    assert.match(info.stdout, /data\.bin/)
    const verified = await space.run('verify', 'data.bin.swarm')
    assert.equal(verified.code, 0, verified.stderr)
    assert.match(verified.stdout, /^data\.bin is intact: 1\.00 MB, 4 pieces/)
  })

  it('say with --json the same facts under the same names, one object per line', async () => {
    await using space = await workspace()
    const created = await space.run('create', 'data.bin', '--json', '--origin', 'https://example.org/data.bin')
    assert.equal(created.stderr, '')
    const event = created.events.at(-1)
    assert.equal(event?.event, 'created')
    assert.equal(event.manifest, space.folder.join('data.bin.swarm'))
    assert.deepEqual([event.bytes, event.pieceCount, event.pieceLength, event.fileCount], [LENGTH, 4, 262_144, null])
    const [info] = (await space.run('info', 'data.bin.swarm', '--json')).events
    assert.equal(info?.root, event.root)
    assert.deepEqual(info?.origins, ['https://example.org/data.bin'])
    const [fromLink] = (await space.run('info', event.link, '--json')).events
    assert.deepEqual([fromLink?.event, fromLink?.root, fromLink?.bytes], ['link', event.root, LENGTH])
    const verified = await space.run('verify', 'data.bin.swarm', '--json')
    assert.equal(verified.events.at(-1)?.ok, true)
  })

  it('leave one line with --quiet', async () => {
    await using space = await workspace()
    assert.deepEqual(await space.run('create', 'data.bin', '--quiet').then(({ stdout, stderr }) => [stdout, stderr]), [
      'data.bin.swarm\n',
      ''
    ])
    assert.match((await space.run('info', 'data.bin.swarm', '-q')).stdout, /^[0-9a-f]{64}\n$/)
    assert.equal((await space.run('verify', 'data.bin.swarm', '-q')).stdout, '')
  })

  it('name the bad pieces and end with 1', async () => {
    await using space = await workspace()
    await space.run('create', 'data.bin')
    await damage(space.folder.join('data.bin'), 300_000)
    await damage(space.folder.join('data.bin'), LENGTH - 1)
    const verified = await space.run('verify', 'data.bin.swarm')
    assert.equal(verified.code, 1)
    assert.match(verified.stdout, /bad pieces: 1, 3 \(2 of 4\)/)
    assert.match(verified.stderr, /^swarm: data\.bin does not match data\.bin\.swarm; /)
    const json = await space.run('verify', 'data.bin.swarm', '--json')
    assert.deepEqual(json.events.at(-1)?.badPieces, [1, 3])
    assert.equal(json.code, 1)
  })

  it('hash again when the file changed, whatever its time stamp says', async () => {
    await using space = await workspace()
    const root = async (): Promise<string> => (await space.run('create', 'data.bin', '--json')).events.at(-1)?.root
    const first = await root()
    assert.equal(await root(), first)
    await damage(space.folder.join('data.bin'), 5)
    assert.notEqual(await root(), first)
  })

  it('take a folder with empty, executable, deep and unicode-named files and say which file is damaged or gone', async () => {
    await using space = await workspace()
    const { join } = space.folder
    await mkdir(join('tree/deep/er'), { recursive: true })
    await writeFile(join('tree/empty'), '')
    await writeFile(join('tree/deep/er/größe 数据.txt'), 'unicode')
    await writeFile(join('tree/run.sh'), '#!/bin/sh\n')
    await chmod(join('tree/run.sh'), 0o755)
    await symlink('/etc/passwd', join('tree/link'))
    const created = await space.run('create', 'tree', '--json')
    assert.equal(created.code, 0, created.stdout)
    const [info] = (await space.run('info', 'tree.swarm', '--json')).events
    assert.ok(info)
    assert.deepEqual(
      info.files.map(({ path, executable }: { path: string; executable: boolean }) => [path, executable]),
      [
        ['deep/er/größe 数据.txt', false],
        ['empty', false],
        ['run.sh', true]
      ],
      'symbolic links stay out'
    )
    assert.equal((await space.run('verify', 'tree.swarm')).code, 0)
    await writeFile(join('tree/deep/er/größe 数据.txt'), 'Unicode')
    const verified = await space.run('verify', 'tree.swarm')
    assert.equal(verified.code, 1)
    assert.match(verified.stdout, /bad pieces {4}deep\/er\/größe 数据\.txt/)
  })

  it('write the manifest to standard output and read it from standard input', async () => {
    await using space = await workspace()
    const created = await space.run('create', 'data.bin', '-o', '-')
    assert.equal(created.code, 0)
    assert.deepEqual(
      (await readdir(space.folder.path)).filter(name => name.endsWith('.swarm')),
      []
    )
    const info = await runCli(['info', '-', '--json'], { input: created.stdout })
    assert.equal(info.events[0]?.name, 'data.bin')
  })

  it('read a manifest from a URL, and say what the server answered when it is not there', async () => {
    await using space = await workspace()
    await space.run('create', 'data.bin')
    const manifest = await readFile(space.folder.join('data.bin.swarm'))
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/data.bin.swarm' ? 200 : 404
      response.end(response.statusCode === 200 ? manifest : 'no')
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = server.address() as { port: number }
      const info = await space.run('info', `http://127.0.0.1:${port}/data.bin.swarm`, '--json')
      assert.equal(info.events[0]?.name, 'data.bin', info.stdout)
      const missing = await space.run('info', `http://127.0.0.1:${port}/other`)
      assert.equal(missing.code, 1)
      assert.match(missing.stderr, /^swarm: .*\/other answered 404/)
    } finally {
      server.close()
    }
  })

  it('never overwrite a file that is no manifest, unless forced', async () => {
    await using space = await workspace()
    await writeFile(space.folder.join('data.bin.swarm'), 'my notes')
    const refused = await space.run('create', 'data.bin')
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /^swarm: data\.bin\.swarm exists and is no manifest/)
    assert.equal(await readFile(space.folder.join('data.bin.swarm'), 'utf8'), 'my notes')
    assert.equal((await space.run('create', 'data.bin', '--force')).code, 0)
    assert.equal((await space.run('create', 'data.bin')).code, 0, 'a manifest is replaced without asking')
    assert.deepEqual(
      (await readdir(space.folder.path)).filter(name => name.endsWith('.tmp')),
      []
    )
  })
})

describe('bad input to the command line', { concurrency: 2 }, () => {
  const cases: Array<{ name: string; args: string[]; code: number; says: RegExp }> = [
    { name: 'an unknown command', args: ['sed'], code: 2, says: /unknown command 'sed'.*seed/s },
    { name: 'an unknown flag', args: ['get', 'x', '--speed'], code: 2, says: /unknown option '--speed'/ },
    { name: 'a missing argument', args: ['verify'], code: 2, says: /missing required argument 'manifest'/ },
    { name: 'a limit that is no rate', args: ['get', 'x', '--upload-limit', 'fast'], code: 2, says: /--upload-limit.*20mbit/s },
    { name: 'a timeout that is no duration', args: ['get', 'x', '--timeout', 'soon'], code: 2, says: /--timeout.*30s/s },
    { name: 'a peer without a peer id', args: ['get', 'x', '--peer', '/ip4/1.2.3.4/tcp/1'], code: 2, says: /--peer.*\/p2p\//s },
    { name: 'a label without a value', args: ['get', 'x', '--label', 'rack'], code: 2, says: /--label.*zone=/s },
    {
      name: 'an encryption that is none',
      args: ['seed', 'x', '--encryption', 'rot13'],
      code: 2,
      says: /--encryption.*tls, noise/s
    },
    {
      name: 'a piece length that is no power of two',
      args: ['create', 'x', '--piece-length', '300K'],
      code: 2,
      says: /power of two/
    },
    { name: 'a manifest that is not there', args: ['info', 'nowhere.swarm'], code: 2, says: /nowhere\.swarm/ },
    { name: 'a file that is not there', args: ['create', 'nowhere'], code: 2, says: /no such file or folder.*nowhere/ },
    { name: 'a file to seed that is not there', args: ['seed', 'nowhere'], code: 2, says: /nowhere: no such file or folder/ },
    { name: 'an origin that is no URL', args: ['create', 'x', '--origin', 'ftp://x'], code: 2, says: /--origin.*http/ },
    { name: 'a link that is cut short', args: ['get', 'swarm:abc'], code: 3, says: /invalid manifest.*link/ }
  ]
  for (const { name, args, code, says } of cases) {
    it(`${name} ends with ${code} and one line that says what to do`, async () => {
      const human = await runCli(args)
      assert.equal(human.code, code, human.stderr)
      assert.match(human.stderr, says)
      assert.match(human.stderr, /^swarm: /)
      assert.equal(human.stdout, '')
      const json = await runCli([...args, '--json'])
      assert.equal(json.code, code)
      assert.equal(json.stderr, '')
      const [error] = json.events
      assert.deepEqual([error?.event, error?.exitCode], ['error', code])
    })
  }

  it('a manifest that is garbage ends with 3', async () => {
    for (const input of ['', '{', '{"swarm": 1}', '\0\0\0', '[]']) {
      const { code, stderr } = await runCli(['info', '-'], { input })
      assert.equal(code, 3, input)
      assert.match(stderr, /^swarm: invalid manifest: .* \(at .*\)\n$/)
    }
  })

  it('a switch in the environment that says no leaves the switch off', async () => {
    const off = await runCli(['info', `swarm:${'ab'.repeat(32)}`], { env: { SWARM_QUIET: '0', SWARM_JSON: 'false' } })
    assert.match(off.stdout, /^name /)
    const on = await runCli(['info', `swarm:${'ab'.repeat(32)}`], { env: { SWARM_JSON: '1' } })
    assert.equal(on.events[0]?.event, 'link')
  })

  it('a reader of standard output that leaves early is no error', async () => {
    await using running = startCli(['get', '--help'])
    running.child.stdout.destroy()
    const { code, stderr } = await running.finished
    assert.deepEqual([code, stderr], [0, ''])
  })
})

describe('starting', () => {
  it('loads neither libp2p nor commands that were not asked for to show help or a manifest', async () => {
    const { stderr, code } = await runCli(['info', `swarm:${'ab'.repeat(32)}`], { env: { NODE_DEBUG: 'esm' } })
    assert.equal(code, 0)
    assert.match(stderr, /cli\/info\.ts/, 'the trace of loaded modules is there')
    assert.doesNotMatch(stderr, /node_modules\/(@?libp2p|@chainsafe)\/|src\/cli\/(seed|get)\.ts/)
  })
})
