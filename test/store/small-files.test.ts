import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { type FileStore, openFileStore } from '../../src/store/download/file-store.ts'
import { SwappedFolderError } from '../../src/store/download/tree.ts'
import { FileThread } from '../../src/store/file-thread.ts'
import { type Content, closeAfter, fill, folderContent, hash, tempFolder } from './fixtures.ts'

const IS_LINUX = process.platform === 'linux'

/** So many files that a thread writes them; some empty, one executable, and one of several pieces. */
function manyFiles(): Content {
  const lengths: Record<string, number> = { 'd0/tool*': 300, 'd1/large': 100_000 }
  for (let n = 0; n < 1500; n++) lengths[`d${n % 5}/e${n % 40}/f${n}`] = (n * 7) % 900
  return folderContent(lengths)
}

async function openMany(t: TestContext, content: Content): Promise<{ store: FileStore; folder: string; output: string }> {
  const folder = await tempFolder(t)
  const output = join(folder, 'out')
  const store = await openFileStore({ manifest: content.manifest, output, stateDir: join(folder, 'state'), hash })
  closeAfter(t, store)
  return { store, folder, output }
}

async function assertSame(content: Content, output: string): Promise<void> {
  for (const file of content.files)
    assert.deepEqual(await fs.readFile(join(output, file.path)), Buffer.from(file.bytes), file.path)
}

it('a folder of many small files ends identical, is served, and is known as our own', async t => {
  const content = manyFiles()
  const { store, folder, output } = await openMany(t, content)
  await fill(store, content)
  await store.finish()
  await assertSame(content, output)
  assert.notEqual((await fs.stat(join(output, 'd0/tool'))).mode & 0o111, 0)
  assert.deepEqual(await store.read(3), Buffer.from(content.piece(3)))
  await store.close()
  const again = await openFileStore({ manifest: content.manifest, output, stateDir: join(folder, 'state'), hash })
  closeAfter(t, again)
  assert.ok(again.isFinished)
})

it('downloads of many files that are open at once share one thread', { skip: !IS_LINUX }, async t => {
  const content = manyFiles()
  const write = async (): Promise<void> => {
    const { store } = await openMany(t, content)
    // The first pieces are those of the large file.
    for (let piece = 20; piece < 24; piece++) await store.write(piece, content.piece(piece))
  }
  await Promise.all(Array.from({ length: 12 }, write))
  const { workers } = process.report.getReport() as unknown as { workers: unknown[] }
  // That of this test's readers may be there as well.
  assert.ok(workers.length >= 1 && workers.length <= 2, `${workers.length} threads`)
})

it('a download begun as another closes writes nothing into the folders of the former', async t => {
  const content = manyFiles()
  for (let round = 0; round < 3; round++) {
    const former = await openMany(t, content)
    await former.store.write(20, content.piece(20))
    await former.store.close()
    const next = await openMany(t, content)
    await fill(next.store, content)
    await next.store.finish()
    await assertSame(content, next.output)
    await next.store.close()
  }
})

it('a link that replaces a folder while many files are written leads nothing of ours elsewhere', async t => {
  const content = manyFiles()
  const { store, folder, output } = await openMany(t, content)
  const elsewhere = join(folder, 'elsewhere')
  await fs.mkdir(elsewhere)
  await fs.mkdir(`${output}.part`, { recursive: true })
  // Not the first folder: its file is alone in its piece and goes the ordinary way.
  await fs.symlink(elsewhere, join(`${output}.part`, 'd2'))
  await assert.rejects(fill(store, content), SwappedFolderError)
  assert.deepEqual(await fs.readdir(elsewhere), [])
})

it('small files that somebody removed or cut while others were written are fetched again', async t => {
  const content = manyFiles()
  const { store, output } = await openMany(t, content)
  await fill(store, content)
  await fs.rm(join(`${output}.part`, 'd3/e3/f1003'))
  await fs.truncate(join(`${output}.part`, 'd2/e7/f807'), 3)
  await assert.rejects(store.finish(), { name: 'PieceLostError' })
  assert.ok((await fill(store, content)) >= 2)
  await store.finish()
  await assertSame(content, output)
})

it('a thread leaves undone what is not there, no regular file, or behind a link', { skip: !IS_LINUX }, async t => {
  const folder = await tempFolder(t)
  await fs.mkdir(join(folder, 'base', 'd'), { recursive: true })
  await fs.writeFile(join(folder, 'base', 'd', 'f'), 'bytes')
  await fs.symlink(join(folder, 'base', 'd'), join(folder, 'base', 'link'))
  await fs.symlink(join(folder, 'base', 'd', 'f'), join(folder, 'base', 'd', 'link'))
  const base = await fs.open(join(folder, 'base'))
  const thread = new FileThread()
  t.after(async () => {
    await thread.close()
    await base.close()
  })
  const looks = await thread.look(base.fd, ['d/f', 'd/none', 'd', 'link/f', 'd/link', 'none/f'])
  assert.deepEqual(
    looks.map(look => look?.size),
    [5n, undefined, undefined, undefined, undefined, undefined]
  )
  const data = new TextEncoder().encode('abcdef')
  const paths = ['d/g', 'new/deep/g', 'link/g', 'd/link', 'd']
  assert.deepEqual(
    await thread.write({ base: base.fd, paths, data, offsets: [0, 2, 0, 0, 0], lengths: [2, 4, 1, 1, 1] }),
    [2, 3, 4]
  )
  assert.equal(await fs.readFile(join(folder, 'base', 'd', 'g'), 'utf8'), 'ab')
  assert.equal(await fs.readFile(join(folder, 'base', 'new', 'deep', 'g'), 'utf8'), 'cdef')
  assert.equal(await fs.readFile(join(folder, 'base', 'd', 'f'), 'utf8'), 'bytes')
})

it('a thread that has ended leaves everything undone', async () => {
  const thread = new FileThread()
  await thread.close()
  assert.deepEqual(await thread.look(undefined, ['/']), [undefined])
  assert.deepEqual(await thread.write({ base: 0, paths: ['x'], data: new Uint8Array(1), offsets: [0], lengths: [1] }), [0])
})

it('a small file that is overwritten while it is shared with many is never given out as the content', async t => {
  const content = manyFiles()
  const { store, output } = await openMany(t, content)
  await fill(store, content)
  await store.finish()
  const file = content.files.findIndex(({ path }) => path === 'd3/e3/f1003')
  const before = content.files.slice(0, file).reduce((total, { bytes }) => total + bytes.byteLength, 0)
  const piece = Math.floor(before / content.manifest.pieceLength)
  assert.deepEqual(await store.read(piece), Buffer.from(content.piece(piece)))
  await fs.writeFile(join(output, 'd3/e3/f1003'), Buffer.alloc(content.files[file]?.bytes.byteLength ?? 0, 'x'))
  await assert.rejects(store.read(piece), { name: 'PieceLostError' })
  assert.deepEqual(await store.read(1), Buffer.from(content.piece(1)))
})
