/**
 * Nobody's file is deleted, written over or written to that this download did not write: on removal, while it
 * runs, and at its end.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import { openFileStore } from '../../src/store/download/file-store.ts'
import { type RemovedDownload, removeDownload } from '../../src/store/download/remove-download.ts'
import { type Content, closeAfter, fileContent, fill, folderContent, hash, PIECE, place, tempFolder } from './fixtures.ts'

const TREE = folderContent({ a: 2 * PIECE, 'deep/b': 2 * PIECE, 'deep/er/c': PIECE })
const FILE = fileContent(3 * PIECE + 5)

interface Place {
  folder: string
  output: string
  stateDir: string
}

async function somewhere(t: TestContext): Promise<Place> {
  const folder = await tempFolder(t)
  await fs.mkdir(join(folder, 'out'))
  return { folder, output: join(folder, 'out', 'mine'), stateDir: join(folder, 'state') }
}

function initOf(content: Content, { output, stateDir }: Place) {
  return { manifest: content.manifest, output, stateDir, hash }
}

async function download(content: Content, at: Place): Promise<void> {
  const store = await openFileStore(initOf(content, at))
  await fill(store, content)
  await store.finish()
  await store.close()
}

function remove(content: Content, at: Place, unlessChanged = false): Promise<RemovedDownload> {
  return removeDownload({ ...initOf(content, at), finished: true, unlessChanged })
}

/** Every entry below `folder`, by its path from there. */
async function entriesOf(folder: string): Promise<string[]> {
  return (await fs.readdir(folder, { recursive: true })).sort()
}

it('a finished download goes with its folders, and nothing is left to tell of', async t => {
  for (const content of [FILE, TREE]) {
    const at = await somewhere(t)
    await download(content, at)
    assert.deepEqual(await remove(content, at), { changed: [], beside: [] })
    assert.deepEqual(await entriesOf(dirname(at.output)), [])
    assert.deepEqual(await entriesOf(join(at.stateDir, 'transfers')), [])
    assert.deepEqual(await remove(content, at), { changed: [], beside: [] })
  }
})

it('what a user put where the download was stays, be it a file, a folder or a link', async t => {
  for (const content of [FILE, TREE]) {
    for (const kind of ['file', 'folder', 'link'] as const) {
      const at = await somewhere(t)
      await download(content, at)
      await fs.rm(at.output, { recursive: true })
      const elsewhere = join(at.folder, 'elsewhere')
      await place(content, elsewhere)
      if (kind === 'file') await fs.writeFile(at.output, 'mine')
      if (kind === 'folder') {
        await fs.mkdir(join(at.output, 'deep'), { recursive: true })
        for (const name of ['a', 'deep/b']) await fs.writeFile(join(at.output, name), 'mine')
      }
      if (kind === 'link') await fs.symlink(elsewhere, at.output)
      const before = await entriesOf(at.folder).then(all => all.filter(path => !path.startsWith('state')))
      const left = await remove(content, at)
      assert.ok(left.changed.length > 0, `${kind}: the answer names it`)
      assert.deepEqual(await entriesOf(at.folder).then(all => all.filter(path => !path.startsWith('state'))), before, kind)
    }
  }
})

it('a folder of the content that became a link to elsewhere loses nothing behind the link', async t => {
  const at = await somewhere(t)
  await download(TREE, at)
  const elsewhere = join(at.folder, 'elsewhere')
  await fs.rename(join(at.output, 'deep'), elsewhere)
  await fs.symlink(elsewhere, join(at.output, 'deep'))
  const left = await remove(TREE, at)
  assert.deepEqual(left.changed.map(({ path }) => path).sort(), [
    join(at.output, 'deep', 'b'),
    join(at.output, 'deep', 'er', 'c')
  ])
  assert.deepEqual(await entriesOf(elsewhere), ['b', 'er', 'er/c'])
  assert.deepEqual(await fs.readdir(at.output), ['deep'])
})

it('a file that was changed stays and is named, also one of the same length; the others go', async t => {
  const at = await somewhere(t)
  await download(TREE, at)
  const changed = join(at.output, 'deep', 'b')
  await fs.writeFile(changed, Buffer.alloc(2 * PIECE, 7))
  await fs.writeFile(join(at.output, 'notes'), 'mine')
  await fs.mkdir(join(at.output, 'deep', 'own'))

  const kept = await remove(TREE, at, true)
  assert.deepEqual(
    kept.changed.map(({ path }) => path),
    [changed]
  )
  assert.deepEqual(await entriesOf(at.output), ['a', 'deep', 'deep/b', 'deep/er', 'deep/er/c', 'deep/own', 'notes'])

  const left = await remove(TREE, at)
  assert.deepEqual(
    left.changed.map(({ path }) => path),
    [changed]
  )
  assert.deepEqual(left.beside.map(({ path }) => path).sort(), [join(at.output, 'deep', 'own'), join(at.output, 'notes')])
  assert.deepEqual(await entriesOf(at.output), ['deep', 'deep/b', 'deep/own', 'notes'])
})

it('a file that was touched or copied back, byte for byte what was written, goes', async t => {
  for (const content of [FILE, TREE]) {
    const at = await somewhere(t)
    await download(content, at)
    const copy = join(at.folder, 'copy')
    await fs.cp(at.output, copy, { recursive: true })
    await fs.rm(at.output, { recursive: true })
    await fs.cp(copy, at.output, { recursive: true })
    assert.deepEqual(await remove(content, at), { changed: [], beside: [] })
    assert.deepEqual(await entriesOf(dirname(at.output)), [])
  }
})

it('a file that was there before and matched is not ours, and stays', async t => {
  for (const content of [FILE, TREE]) {
    const at = await somewhere(t)
    await place(content, at.output)
    await download(content, at)
    const before = await entriesOf(dirname(at.output))
    assert.ok((await remove(content, at)).changed.length > 0)
    assert.deepEqual(await entriesOf(dirname(at.output)), before)
  }
})

it('a folder that was there before stays when it is empty', async t => {
  const at = await somewhere(t)
  await fs.mkdir(join(at.output, 'deep'), { recursive: true })
  await download(TREE, at)
  assert.deepEqual(await remove(TREE, at), { changed: [], beside: [] })
  assert.deepEqual(await entriesOf(dirname(at.output)), ['mine', 'mine/deep'])
})

it('somebody else’s file of the name of a staging area is neither written to nor deleted', async t => {
  for (const content of [FILE, TREE]) {
    const at = await somewhere(t)
    const part = `${at.output}.part`
    if (content === FILE) await fs.writeFile(part, 'not yours '.repeat(PIECE))
    else
      await place({ ...TREE, files: TREE.files.map(file => ({ ...file, bytes: Buffer.alloc(file.bytes.byteLength, 9) })) }, part)
    const bytes = await fs.readFile(content === FILE ? part : join(part, 'a'))
    await assert.rejects(openFileStore(initOf(content, at)), (err: unknown) => err instanceof StoreError && err.path === part)
    const left = await removeDownload({ ...initOf(content, at), finished: false })
    assert.deepEqual(
      left.beside.map(({ path }) => path),
      [part]
    )
    assert.deepEqual(await fs.readFile(content === FILE ? part : join(part, 'a')), bytes)
  }
})

it('what a download staged goes, what others put among it stays', async t => {
  const at = await somewhere(t)
  const store = await openFileStore(initOf(TREE, at))
  await store.write(0, TREE.piece(0))
  await store.write(2, TREE.piece(2))
  await store.close()
  await fs.writeFile(join(`${at.output}.part`, 'deep', 'notes'), 'mine')
  const left = await removeDownload({ ...initOf(TREE, at), finished: false })
  assert.deepEqual(
    left.beside.map(({ path }) => path),
    [join(`${at.output}.part`, 'deep', 'notes')]
  )
  assert.deepEqual(await entriesOf(`${at.output}.part`), ['deep', 'deep/notes'])
})

it('a link put where a folder of a running download is leads no byte elsewhere', async t => {
  const at = await somewhere(t)
  // With one open file the folder is opened again for each.
  const store = await openFileStore({ ...initOf(TREE, at), maxOpenFiles: 1 })
  closeAfter(t, store)
  await store.write(2, TREE.piece(2))
  const elsewhere = join(at.folder, 'elsewhere')
  await fs.mkdir(join(elsewhere, 'er'), { recursive: true })
  await fs.writeFile(join(elsewhere, 'b'), Buffer.alloc(2 * PIECE, 1))
  const deep = join(`${at.output}.part`, 'deep')
  await fs.rename(deep, `${deep}.away`)
  await fs.symlink(elsewhere, deep)
  for (const piece of [0, 1, 3, 4]) await store.write(piece, TREE.piece(piece)).catch(() => {})
  await store.finish().catch(() => {})
  assert.deepEqual(await fs.readFile(join(elsewhere, 'b')), Buffer.alloc(2 * PIECE, 1))
  assert.deepEqual(await entriesOf(elsewhere), ['b', 'er'])
  await fs.unlink(deep)
})

it('a download opened where a link has replaced a folder of it is refused, and writes nothing there', async t => {
  const at = await somewhere(t)
  const elsewhere = join(at.folder, 'elsewhere')
  await fs.mkdir(elsewhere)
  await fs.mkdir(at.output)
  await fs.symlink(elsewhere, join(at.output, 'deep'))
  await assert.rejects(download(TREE, at), StoreError)
  assert.deepEqual(await entriesOf(elsewhere), [])
})

it('what comes to the output while the download runs is not written over', async t => {
  for (const content of [FILE, TREE]) {
    const at = await somewhere(t)
    const store = await openFileStore(initOf(content, at))
    closeAfter(t, store)
    await fill(store, content)
    const file = content === FILE ? at.output : join(at.output, 'a')
    await fs.mkdir(dirname(file), { recursive: true })
    await fs.writeFile(file, 'mine')
    await assert.rejects(store.finish(), (err: unknown) => err instanceof StoreError && err.path === file)
    assert.equal(await fs.readFile(file, 'utf8'), 'mine')
    await fs.rm(file)
    await store.finish()
    assert.equal((await fs.readFile(file)).byteLength > 4, true)
  }
})

it('pieces from another file system do not take the place of a file beside the output', async t => {
  const at = await somewhere(t)
  if (!existsSync('/dev/shm') || (await fs.stat('/dev/shm')).dev === (await fs.stat(at.folder)).dev)
    return t.skip('needs a second file system')
  const incompleteDir = await fs.mkdtemp('/dev/shm/swarm-own-')
  t.after(() => fs.rm(incompleteDir, { recursive: true }))
  const store = await openFileStore({ ...initOf(FILE, at), incompleteDir })
  closeAfter(t, store)
  await fill(store, FILE)
  await fs.writeFile(`${at.output}.part`, 'mine')
  await assert.rejects(store.finish(), StoreError)
  assert.equal(await fs.readFile(`${at.output}.part`, 'utf8'), 'mine')
  await fs.rm(`${at.output}.part`)
  await store.finish()
  assert.deepEqual(await fs.readFile(at.output), Buffer.from(FILE.bytes))
})
