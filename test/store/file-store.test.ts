/**
 * A download gets its output: as every piece store, at the finish, and over what is there already.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { basename, join } from 'node:path'
import { it } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import { inspectOutput } from '../../src/store/inspect-output.ts'
import { PieceLostError } from '../../src/store/piece-store.ts'
import { describePieceStore } from '../compliance/piece-store.ts'
import { bytesOf, closeAfter, fileContent, fill, folderContent, hash, PIECE, place } from './fixtures.ts'
import { assertPlaced, open, somewhere, TREE } from './outputs.ts'

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
