import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { basename, join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { InvalidOptionsError, StoreError } from '../../src/errors.ts'
import { type FileStore, type FileStoreInit, openFileStore } from '../../src/store/download/file-store.ts'
import { inspectOutput } from '../../src/store/inspect-output.ts'
import { PieceLostError } from '../../src/store/piece-store.ts'
import { describePieceStore } from '../compliance/piece-store.ts'
import {
  bytesOf,
  type Content,
  closeAfter,
  fileContent,
  fill,
  folderContent,
  hash,
  PIECE,
  place,
  tempFolder
} from './fixtures.ts'

const TREE = { 'a*': 100, 'b/c': 3 * PIECE, d: 0, 'deep/er/ünï': 17, 'e e': PIECE + 1, z: 0 }

interface Place {
  output: string
  stateDir: string
  part: string
}

async function somewhere(t: TestContext): Promise<Place> {
  const folder = await tempFolder(t)
  const output = join(folder, 'out', 'content')
  return { output, stateDir: join(folder, 'state'), part: `${output}.part` }
}

function open(content: Content, at: Place, more: Partial<FileStoreInit> = {}): Promise<FileStore> {
  return openFileStore({ manifest: content.manifest, output: at.output, stateDir: at.stateDir, hash, ...more })
}

async function assertPlaced(content: Content, at: Place, paths = content.files.map(file => file.path)): Promise<void> {
  for (const file of content.files) {
    const path = join(at.output, file.path)
    if (!paths.includes(file.path)) {
      await assert.rejects(fs.stat(path), { code: 'ENOENT' }, file.path)
      continue
    }
    assert.deepEqual(await fs.readFile(path), Buffer.from(file.bytes), file.path)
    if (file.executable && process.platform !== 'win32') assert.equal((await fs.stat(path)).mode & 0o100, 0o100)
  }
  await assert.rejects(fs.stat(at.part), { code: 'ENOENT' })
  await assert.rejects(fs.stat(`${at.part}.lock`), { code: 'ENOENT' })
}

for (const [name, content] of [
  ['the file store of a file', fileContent(5 * PIECE + 77)],
  ['the file store of a folder', folderContent(TREE)],
  ['the file store with one open file at most', folderContent(TREE)]
] as const) {
  const more = name.includes('one open') ? { maxOpenFiles: 1 } : {}
  describePieceStore(name, async t => {
    const at = await somewhere(t)
    return {
      manifest: content.manifest,
      piece: content.piece,
      openEmpty: () => open(content, at, more),
      openFull: async () => {
        const store = await open(content, at, more)
        await fill(store, content)
        await store.finish()
        return store
      }
    }
  })
}

for (const [kind, content] of [
  ['file', fileContent(5 * PIECE + 77)],
  ['folder', folderContent(TREE)],
  ['empty file', fileContent(0)],
  ['folder of empty files', folderContent({ 'a/b': 0, c: 0 })],
  ['folder without files', folderContent({})]
] as const) {
  it(`a finished ${kind} is in place whole, with nothing left beside it, and matches`, async t => {
    const at = await somewhere(t)
    assert.equal(await inspectOutput(content.manifest, at.output, { hash, stateDir: at.stateDir }), 'absent')
    const store = await open(content, at)
    await fill(store, content)
    await assert.rejects(fs.stat(at.output), { code: 'ENOENT' })
    await store.finish()
    await assertPlaced(content, at)
    assert.equal(store.isFinished, true)
    await store.close()
    assert.equal(await inspectOutput(content.manifest, at.output, { hash, stateDir: at.stateDir }), 'matches')
    const kept = await fs.readdir(join(at.stateDir, 'transfers'), { recursive: true })
    assert.deepEqual(kept.map(path => basename(path)).slice(1), ['receipt'], 'of the state only what we may delete one day stays')
  })
}

it('pieces written before a clean close are found again without hashing', async t => {
  for (const content of [fileContent(9 * PIECE), folderContent(TREE)]) {
    const at = await somewhere(t)
    const first = await open(content, at)
    for (const piece of [0, 2, 3]) await first.write(piece, content.piece(piece))
    await first.close()
    let looked = 0
    const second = await open(content, at, { onChecked: () => looked++ })
    assert.deepEqual([...second.have.ones()], [0, 2, 3])
    assert.equal(looked, 0)
    await fill(second, content)
    await second.finish()
    await second.close()
    await assertPlaced(content, at)
  }
})

it('a staged file that somebody changed, cut or removed after a clean close costs a verification and those pieces', async t => {
  const content = folderContent({ a: 2 * PIECE, b: 2 * PIECE, c: 2 * PIECE, d: 2 * PIECE })
  const at = await somewhere(t)
  const first = await open(content, at)
  await fill(first, content)
  await first.close()
  await fs.truncate(join(at.part, 'a'), PIECE)
  await fs.rm(join(at.part, 'b'))
  await fs.writeFile(join(at.part, 'c'), bytesOf(5 * PIECE, 4))
  const second = await open(content, at)
  assert.deepEqual([...second.have.ones()], [0, 6, 7])
  assert.equal(await fill(second, content), 5)
  await second.finish()
  await second.close()
  await assertPlaced(content, at)
})

it('a damaged, truncated, empty or foreign state costs a verification and no piece', async t => {
  const content = fileContent(6 * PIECE)
  const at = await somewhere(t)
  const first = await open(content, at)
  for (const piece of [1, 4]) await first.write(piece, content.piece(piece))
  await first.close()
  const [key] = await fs.readdir(join(at.stateDir, 'transfers'))
  const state = join(at.stateDir, 'transfers', key as string, 'state')
  const good = await fs.readFile(state)
  const damages = [good.subarray(0, 40), Buffer.alloc(0), Buffer.from('{}'), Buffer.concat([good, good])]
  for (let at = 0; at < good.length; at += 13) {
    const flipped = Buffer.from(good)
    flipped[at] = (flipped[at] as number) ^ 4
    damages.push(flipped)
  }
  for (const damaged of damages) {
    await fs.writeFile(state, damaged)
    let looked = 0
    const store = await open(content, at, { onChecked: () => looked++ })
    assert.deepEqual([...store.have.ones()], [1, 4])
    assert.ok(looked > 0, 'the damaged state was believed')
    await store.close()
  }
})

it('an old state put back by a crash is not believed over newer bytes', async t => {
  const content = fileContent(6 * PIECE)
  const at = await somewhere(t)
  const first = await open(content, at)
  await first.write(1, content.piece(1))
  await first.close()
  const [key] = await fs.readdir(join(at.stateDir, 'transfers'))
  const state = join(at.stateDir, 'transfers', key as string, 'state')
  const old = await fs.readFile(state)
  const part = await fs.open(at.part, 'r+')
  await part.write(Buffer.alloc(10), 0, 10, PIECE)
  await part.close()
  await fs.writeFile(state, old)
  const second = await open(content, at)
  assert.deepEqual([...second.have.ones()], [])
  await second.close()
})

it('the state is on disk only while nothing was written since', async t => {
  const content = fileContent(6 * PIECE)
  const at = await somewhere(t)
  const store = await open(content, at)
  closeAfter(t, store)
  const hasState = async (): Promise<boolean> => {
    const [key] = await fs.readdir(join(at.stateDir, 'transfers')).catch(() => [])
    return key !== undefined && (await fs.readdir(join(at.stateDir, 'transfers', key))).includes('state')
  }
  await store.write(0, content.piece(0))
  assert.equal(await hasState(), false)
  await store.flush()
  assert.equal(await hasState(), true)
  await store.write(1, content.piece(1))
  assert.equal(await hasState(), false)
})

it('a store that falls quiet saves its state by itself', async t => {
  const content = fileContent(6 * PIECE)
  const at = await somewhere(t)
  const store = await open(content, at, { flushMs: 1 })
  closeAfter(t, store)
  await store.write(0, content.piece(0))
  const transfers = join(at.stateDir, 'transfers')
  const hasState = async (): Promise<boolean> => {
    const [key] = await fs.readdir(transfers).catch(() => [])
    return key !== undefined && (await fs.readdir(join(transfers, key))).includes('state')
  }
  while (!(await hasState())) await new Promise(resolve => setImmediate(resolve))
  assert.equal(await store.write(1, content.piece(1)), true)
})

it('what nobody came back to for months is forgotten; what is recent is kept, and so is the receipt of what is still there', async t => {
  const content = fileContent(6 * PIECE)
  const at = await somewhere(t)
  const transfers = join(at.stateDir, 'transfers')
  const long = new Date(Date.now() - 100 * 24 * 3600 * 1000)
  const kept = await open(content, { ...at, output: join(at.output, '..', 'kept') })
  await fill(kept, content)
  await kept.finish()
  await kept.close()
  const [receipt] = await fs.readdir(transfers)
  for (const path of [join(transfers, receipt as string, 'receipt'), join(transfers, receipt as string)])
    await fs.utimes(path, long, long)
  for (const name of ['old', 'recent', 'revived']) {
    await fs.mkdir(join(transfers, name), { recursive: true })
    await fs.writeFile(join(transfers, name, 'rest'), 'x')
    if (name === 'old') await fs.utimes(join(transfers, name, 'rest'), long, long)
    if (name !== 'recent') await fs.utimes(join(transfers, name), long, long)
  }
  const store = await open(content, at)
  closeAfter(t, store)
  const names = await fs.readdir(transfers)
  for (const name of ['recent', 'revived', receipt as string]) assert.ok(names.includes(name), name)
  assert.ok(!names.includes('old'))
})

it('staged files removed before the finish are fetched again, not left out', async t => {
  const content = folderContent({ a: 2 * PIECE, b: 2 * PIECE, c: 2 * PIECE })
  const at = await somewhere(t)
  const store = await open(content, at)
  closeAfter(t, store)
  await fill(store, content)
  await fs.rm(join(at.part, 'b'))
  await assert.rejects(store.finish(), (err: unknown) => err instanceof PieceLostError && err.pieces.join() === '2,3')
  assert.equal(await fill(store, content), 2)
  await store.finish()
  await assertPlaced(content, at)
})

it('a staged file cut while pieces are served from it loses those pieces only', async t => {
  const content = fileContent(4 * PIECE)
  const at = await somewhere(t)
  const store = await open(content, at)
  closeAfter(t, store)
  for (const piece of [0, 3]) await store.write(piece, content.piece(piece))
  await fs.truncate(at.part, PIECE)
  await assert.rejects(store.read(3), PieceLostError)
  assert.deepEqual([...store.have.ones()], [0])
  assert.equal((await store.read(0)).byteLength, PIECE)
})

it('a second download to the same output is refused while the first lives, whatever its state folder', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  const first = await open(content, at)
  await assert.rejects(
    open(content, { ...at, stateDir: join(at.stateDir, 'other') }),
    (err: unknown) => err instanceof StoreError && err.message.includes(`process ${process.pid} is downloading`)
  )
  await first.close()
  await (await open(content, at)).close()
})

it('locks of dead processes, of earlier boots, of silent other hosts, and torn ones are taken over', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  await (await open(content, at)).close()
  const { hostname } = await import('node:os')
  const boot = (await fs.readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()
  const own = { pid: process.pid, started: '1', boot, host: hostname(), token: 'x' }
  const stale = [
    JSON.stringify(own),
    JSON.stringify({ ...own, pid: 2 ** 22 + 1 }),
    JSON.stringify({ ...own, boot: 'before' }),
    JSON.stringify({ ...own, host: 'elsewhere' }),
    '{"pid":',
    ''
  ]
  const long = new Date(Date.now() - 3_600_000)
  for (const text of stale) {
    await fs.writeFile(`${at.part}.lock`, text)
    await fs.utimes(`${at.part}.lock`, long, long)
    await (await open(content, at)).close()
  }
  await fs.writeFile(`${at.part}.lock`, JSON.stringify({ ...own, host: 'elsewhere' }))
  await assert.rejects(open(content, at), (err: unknown) => err instanceof StoreError && err.message.includes('elsewhere'))
  await fs.rm(`${at.part}.lock`)
})

it('of many that find a stale lock at once, exactly one gets the output', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  await (await open(content, at)).close()
  await fs.writeFile(`${at.part}.lock`, JSON.stringify({ pid: 2 ** 22 + 1, started: '', boot: '', host: '', token: '' }))
  const long = new Date(Date.now() - 3_600_000)
  await fs.utimes(`${at.part}.lock`, long, long)
  const settled = await Promise.allSettled(Array.from({ length: 8 }, () => open(content, at)))
  const opened = settled.filter(result => result.status === 'fulfilled')
  assert.equal(opened.length, 1)
  for (const result of opened) await result.value.close()
})

it('only the selected files appear; border pieces are served whole and nothing else is left in the user’s folder', async t => {
  const content = folderContent({ a: 100, 'b/c': 3 * PIECE, 'b/d': 50, e: 17, f: PIECE + 1, g: 0 })
  const at = await somewhere(t)
  const store = await open(content, at, { only: ['b'] })
  assert.equal(store.wantedBytes, 3 * PIECE + 50)
  assert.deepEqual([...store.wanted.ones()], [0, 1, 2, 3])
  await fill(store, content)
  await assert.rejects(store.write(4, content.piece(4)), RangeError)
  await store.finish()
  await assertPlaced(content, at, ['b/c', 'b/d'])
  for (const piece of [0, 1, 2, 3]) assert.deepEqual(Buffer.from(await store.read(piece)), Buffer.from(content.piece(piece)))
  await store.close()
  assert.deepEqual((await fs.readdir(join(at.output, '..'))).sort(), ['content'])

  const options = { hash, stateDir: at.stateDir, only: ['b'] }
  assert.equal(await inspectOutput(content.manifest, at.output, options), 'matches')
  let looked = 0
  const again = await open(content, at, { only: ['b'], onChecked: () => looked++ })
  assert.equal(again.isFinished, true)
  assert.equal(looked, 0)
  assert.deepEqual(Buffer.from(await again.read(3)), Buffer.from(content.piece(3)))
  await again.close()
})

it('a second selection is added to the folder that the first one made', async t => {
  const content = folderContent({ a: 100, 'b/c': 3 * PIECE, 'b/d': 50, e: 17, f: PIECE + 1, g: 0 })
  const at = await somewhere(t)
  for (const only of [['b/**'], ['{e,f}']]) {
    assert.equal(await inspectOutput(content.manifest, at.output, { hash, stateDir: at.stateDir, only }), 'absent')
    const store = await open(content, at, { only })
    await fill(store, content)
    await store.finish()
    await store.close()
  }
  await assertPlaced(content, at, ['b/c', 'b/d', 'e', 'f'])
})

it('what another, unfinished selection staged is not put in place', async t => {
  const content = folderContent({ a: 2 * PIECE, b: 2 * PIECE })
  const at = await somewhere(t)
  const first = await open(content, at, { only: ['a'] })
  await first.write(0, content.piece(0))
  await first.close()
  const second = await open(content, at, { only: ['b'] })
  await fill(second, content)
  await second.finish()
  await second.close()
  await assertPlaced(content, at, ['b'])
})

it('a selection resumes after a clean close, border pieces included', async t => {
  const content = folderContent({ a: 100, 'b/c': 3 * PIECE, e: 17, f: PIECE + 1 })
  const at = await somewhere(t)
  const first = await open(content, at, { only: path => path === 'b/c' })
  await first.write(0, content.piece(0))
  await first.write(3, content.piece(3))
  await first.close()
  const second = await open(content, at, { only: path => path === 'b/c' })
  assert.deepEqual([...second.have.ones()], [0, 3])
  await second.close()
})

it('a selection that matches nothing is the caller’s error', async t => {
  const content = folderContent({ a: 100 })
  const at = await somewhere(t)
  await assert.rejects(open(content, at, { only: ['nothing/**'] }), InvalidOptionsError)
})

it('an output that differs is told apart from one that matches, is missing in part, or cannot be checked', async t => {
  const content = folderContent({ a: 2 * PIECE, b: 100, c: 2 * PIECE })
  const at = await somewhere(t)
  const inspect = () => inspectOutput(content.manifest, at.output, { hash, stateDir: at.stateDir })
  await place(content, at.output)
  assert.equal(await inspect(), 'matches')
  await fs.rm(join(at.output, 'c'))
  assert.equal(await inspect(), 'differs', 'b cannot be checked without c')
  await fs.rm(join(at.output, 'b'))
  assert.equal(await inspect(), 'absent', 'a is intact, the rest is missing')
  await fs.writeFile(join(at.output, 'a'), bytesOf(2 * PIECE, 5))
  assert.equal(await inspect(), 'differs')
  await fs.rm(join(at.output, 'a'))
  await fs.symlink('nowhere', join(at.output, 'a'))
  assert.equal(await inspect(), 'differs')
  await fs.rm(at.output, { recursive: true })
  await fs.writeFile(at.output, 'a file')
  assert.equal(await inspect(), 'differs')
})

it('a differing output stays as it is until the finish replaces it', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  await (await open(content, at)).close()
  await fs.writeFile(at.output, bytesOf(3 * PIECE, 8))
  const store = await open(content, at)
  await fill(store, content)
  assert.deepEqual(await fs.readFile(at.output), Buffer.from(bytesOf(3 * PIECE, 8)))
  await store.finish()
  await store.close()
  await assertPlaced(content, at)
})

it('an output that is there already is opened as finished and served', async t => {
  for (const content of [fileContent(3 * PIECE), folderContent(TREE), fileContent(0)]) {
    const at = await somewhere(t)
    await place(content, at.output)
    const store = await open(content, at)
    assert.equal(store.isFinished, true)
    assert.equal(store.have.isFull, true)
    await store.finish()
    await store.close()
    await assertPlaced(content, at)
  }
})

it('an output that matches is done at once even when an earlier run left staged pieces', async t => {
  const content = fileContent(3 * PIECE)
  const at = await somewhere(t)
  const first = await open(content, at)
  await first.write(1, content.piece(1))
  await first.close()
  await place(content, at.output)
  const second = await open(content, at)
  closeAfter(t, second)
  assert.equal(second.isFinished, true)
})

it('a move into an existing folder that was cut short is taken up where it stopped', async t => {
  const content = folderContent({ a: 2 * PIECE, b: 2 * PIECE, c: 2 * PIECE })
  const at = await somewhere(t)
  const store = await open(content, at)
  await fill(store, content)
  // A folder where a file belongs stops the move in the middle.
  await fs.mkdir(join(at.output, 'c'), { recursive: true })
  await assert.rejects(store.finish(), StoreError)
  await store.close()
  await fs.rmdir(join(at.output, 'c'))
  const again = await open(content, at)
  assert.equal(await fill(again, content), 0)
  await again.finish()
  await again.close()
  await assertPlaced(content, at)
})

it('files of somebody else in the staging folder are neither moved nor deleted', async t => {
  const content = folderContent({ a: 2 * PIECE })
  const at = await somewhere(t)
  await fs.mkdir(at.part, { recursive: true })
  await fs.writeFile(join(at.part, 'mine'), 'mine')
  await assert.rejects(open(content, at), (err: unknown) => err instanceof StoreError && err.path.endsWith('mine'))
  assert.equal(await fs.readFile(join(at.part, 'mine'), 'utf8'), 'mine')
})

it('a symbolic link where the staged file belongs is refused, and its target left alone', async t => {
  const content = fileContent(2 * PIECE)
  const at = await somewhere(t)
  await fs.mkdir(join(at.output, '..'), { recursive: true })
  const victim = join(at.output, '..', 'victim')
  await fs.writeFile(victim, 'victim')
  await fs.symlink(victim, at.part)
  await assert.rejects(open(content, at), StoreError)
  assert.equal(await fs.readFile(victim, 'utf8'), 'victim')
})

it('an abort while looking at what is there leaves the lock free and the bytes as they are', async t => {
  const content = fileContent(60 * PIECE)
  const at = await somewhere(t)
  const first = await open(content, at)
  await fill(first, content)
  await first.close()
  await fs.rm(at.stateDir, { recursive: true })
  const abort = new AbortController()
  await assert.rejects(open(content, at, { signal: abort.signal, onChecked: () => abort.abort() }), { name: 'AbortError' })
  const second = await open(content, at)
  assert.equal(second.have.isFull, true)
  await second.close()
})

it('a finished download goes on serving, and notices when its file is changed', async t => {
  const content = fileContent(4 * PIECE)
  const at = await somewhere(t)
  const store = await open(content, at)
  closeAfter(t, store)
  await fill(store, content)
  await store.finish()
  assert.equal((await store.read(2)).byteLength, PIECE)
  const file = await fs.open(at.output, 'r+')
  await file.write(Buffer.from('changed'), 0, 7, 2 * PIECE)
  await file.close()
  await assert.rejects(store.read(2), PieceLostError)
  assert.equal((await store.read(3)).byteLength, PIECE)
})
