import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { createNode, type NodeOptions, type SwarmNode } from '../../src/index.ts'

const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'swarm-node-'))
  folders.push(path)
  return path
}

async function node(t: TestContext, options: Partial<NodeOptions> = {}): Promise<SwarmNode> {
  const created = await createNode({ listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, stateDir: await folder(), ...options })
  t.after(() => created.stop())
  return created
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe('a swarm of real nodes on loopback', { timeout: 600_000 }, () => {
  it('brings a file to several leechers, which serve each other, and accounts for every byte', async t => {
    const home = await folder()
    const content = randomBytes(8 * 1024 * 1024 + 12_345)
    await writeFile(join(home, 'model.bin'), content)
    const seeder = await node(t)
    const seed = await seeder.seed(join(home, 'model.bin'))
    const leechers = await Promise.all(Array.from({ length: 3 }, () => node(t, { bootstrap: seeder.addresses().slice(0, 1) })))
    const transfers = await Promise.all(
      leechers.map(async (leecher, i) =>
        leecher.get({ ...seed.manifest, peers: seed.hints() }, { output: join(home, `copy-${i}`) })
      )
    )
    await Promise.all(transfers.map(transfer => transfer.completed))
    for (const [i, transfer] of transfers.entries()) {
      assert.equal(digest(await readFile(join(home, `copy-${i}`))), digest(content))
      const { bytesDownloaded, bytesWasted, bytesDone, state } = transfer.snapshot()
      assert.equal(bytesDone, content.byteLength)
      assert.equal(bytesDownloaded - bytesWasted, content.byteLength)
      assert.equal(state, 'seeding')
    }
  })

  it('needs only the link: the piece list comes from peers and is checked against the root', async t => {
    const home = await folder()
    const content = randomBytes(1_500_000)
    await writeFile(join(home, 'dataset.tar'), content)
    const seeder = await node(t)
    const seed = await seeder.seed(join(home, 'dataset.tar'))
    const leecher = await node(t)
    const transfer = await leecher.get(seed.link(), { output: `${home}/out/` })
    await transfer.completed
    assert.equal(transfer.path, join(home, 'out', 'dataset.tar'))
    assert.deepEqual(await readFile(transfer.path), content)
  })

  it('brings a folder with empty files, deep and unicode names and the executable bit, and leaves symbolic links out', async t => {
    const home = await folder()
    const tree = join(home, 'tree')
    await mkdir(join(tree, 'deep/deeper/deepest'), { recursive: true })
    await writeFile(join(tree, 'deep/deeper/deepest/größe 数据.txt'), 'unicode')
    await writeFile(join(tree, 'empty'), '')
    await writeFile(join(tree, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
    await writeFile(join(tree, 'big.bin'), randomBytes(700_000))
    await symlink('/etc/passwd', join(tree, 'link'))
    const seeder = await node(t)
    const seed = await seeder.seed(tree)
    const leecher = await node(t)
    const transfer = await leecher.get(seed.link(), { output: join(home, 'copy') })
    await transfer.completed
    for (const name of ['deep/deeper/deepest/größe 数据.txt', 'empty', 'run.sh', 'big.bin']) {
      assert.deepEqual(await readFile(join(home, 'copy', name)), await readFile(join(tree, name)), name)
    }
    assert.notEqual((await stat(join(home, 'copy/run.sh'))).mode & 0o100, 0)
    await assert.rejects(stat(join(home, 'copy/link')), { code: 'ENOENT' })
  })

  it('gets only the files asked for', async t => {
    const home = await folder()
    const tree = join(home, 'tree')
    await mkdir(tree)
    for (const name of ['a.bin', 'b.txt', 'c.bin']) await writeFile(join(tree, name), randomBytes(400_000))
    const seeder = await node(t)
    const seed = await seeder.seed(tree)
    const leecher = await node(t)
    const transfer = await leecher.get(seed.link(), { output: join(home, 'copy'), only: ['*.txt'] })
    await transfer.completed
    assert.deepEqual(await readFile(join(home, 'copy/b.txt')), await readFile(join(tree, 'b.txt')))
    await assert.rejects(stat(join(home, 'copy/a.bin')), { code: 'ENOENT' })
    assert.ok(transfer.snapshot().bytesDownloaded < seed.manifest.length, 'fewer bytes than the whole folder')
  })

  it('refuses an output that exists and differs, and is done at once with one that matches', async t => {
    const home = await folder()
    const content = randomBytes(600_000)
    await writeFile(join(home, 'file'), content)
    await writeFile(join(home, 'other'), 'something else')
    const seeder = await node(t)
    const seed = await seeder.seed(join(home, 'file'))
    const leecher = await node(t)
    await assert.rejects(leecher.get(seed.manifest, { output: join(home, 'other') }), { code: 'invalid_options' })
    assert.equal(await readFile(join(home, 'other'), 'utf8'), 'something else')
    const matching = await leecher.get(seed.manifest, { output: join(home, 'file') })
    await matching.completed
    assert.equal(matching.snapshot().bytesDownloaded, 0)
    await matching.close()
    const forced = await leecher.get({ ...seed.manifest, peers: seed.hints() }, { output: join(home, 'other'), force: true })
    await forced.completed
    assert.deepEqual(await readFile(join(home, 'other')), content)
  })

  it('reads a range before the rest has arrived', async t => {
    const home = await folder()
    const content = randomBytes(6_000_000)
    await writeFile(join(home, 'video'), content)
    const seeder = await node(t)
    const seed = await seeder.seed(join(home, 'video'))
    const leecher = await node(t)
    const transfer = await leecher.get({ ...seed.manifest, peers: seed.hints() }, { output: join(home, 'copy') })
    const chunks: Uint8Array[] = []
    for await (const chunk of transfer.read({ start: 5_000_001, end: 5_700_000 })) chunks.push(chunk)
    assert.deepEqual(Buffer.concat(chunks), content.subarray(5_000_001, 5_700_000))
  })

  it('completes from a link that has no hints, through a bootstrap peer that holds nothing, after the seeder is gone', async t => {
    const home = await folder()
    const content = randomBytes(3_000_000)
    await writeFile(join(home, 'file'), content)
    const bootstrap = await node(t)
    const options = { bootstrap: bootstrap.addresses().slice(0, 1) }
    const seeder = await node(t, options)
    const seed = await seeder.seed(join(home, 'file'))
    const link = `swarm:${seed.root}`
    const first = await node(t, options)
    const copy = await first.get(link, { output: join(home, 'first') })
    await copy.completed
    await seeder.stop()
    const newcomer = await node(t, options)
    const transfer = await newcomer.get(link, { output: join(home, 'second') })
    await transfer.completed
    assert.deepEqual(await readFile(join(home, 'second')), content)
  })

  it('never serves bytes of a file that changed under it, and goes on serving the rest', async t => {
    const home = await folder()
    const content = randomBytes(2_000_000)
    await writeFile(join(home, 'file'), content)
    const seeder = await node(t)
    const seed = await seeder.seed(join(home, 'file'))
    const warned = new Promise<string>(resolve => seed.on('warning', ({ code }) => resolve(code)))
    const changed = Buffer.from(content)
    changed[300_000] = (changed[300_000] as number) ^ 1
    await writeFile(join(home, 'file'), changed)
    const leecher = await node(t)
    const transfer = await leecher.get(seed.link(), { output: join(home, 'copy') })
    let banned = false
    transfer.on('peer', ({ event }) => {
      if (event === 'banned') banned = true
    })
    assert.equal(await warned, 'content_changed')
    // Eight pieces; the second one is damaged at its source and nobody else has it.
    while (transfer.snapshot().piecesDone < 7) await new Promise(resolve => transfer.on('piece', resolve))
    assert.equal(transfer.snapshot().piecesDone, 7)
    assert.equal(transfer.snapshot().bytesWasted, 0)
    assert.equal(banned, false, 'the seeder told no lie')
    assert.notEqual(seed.snapshot().state, 'failed')
  })

  it('says what was tried when nobody has the content', async t => {
    const leecher = await node(t)
    await assert.rejects(leecher.get(`swarm:${'ab'.repeat(32)}`, { timeoutMs: 1000 }), (err: Error) => {
      assert.equal((err as { code?: string }).code, 'no_peers')
      assert.match(err.message, /DHT/)
      return true
    })
  })
})
