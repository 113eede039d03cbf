import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { openFileStore } from '../../src/store/download/file-store.ts'
import { takeBackDownload } from '../../src/store/download/repair-download.ts'
import { type Content, fileContent, fill, folderContent, hash, PIECE, tempFolder } from './fixtures.ts'

const TREE = folderContent({ a: 2 * PIECE, 'deep/b': 2 * PIECE, 'deep/er/c': PIECE })
const FILE = fileContent(3 * PIECE + 5)

async function downloaded(t: TestContext, content: Content, incompleteDir?: string) {
  const folder = await tempFolder(t)
  const init = { manifest: content.manifest, output: join(folder, 'out', 'mine'), stateDir: join(folder, 'state'), hash }
  const more = incompleteDir === undefined ? {} : { incompleteDir: join(folder, incompleteDir) }
  const store = await openFileStore({ ...init, ...more })
  await fill(store, content)
  await store.finish()
  await store.close()
  return { ...init, ...more }
}

async function mended(init: Parameters<typeof openFileStore>[0], content: Content): Promise<number> {
  const store = await openFileStore(init)
  const fetched = await fill(store, content)
  await store.finish()
  await store.close()
  for (const { path, bytes } of content.files) assert.deepEqual(await fs.readFile(join(init.output, path)), Buffer.from(bytes))
  return fetched
}

for (const incompleteDir of [undefined, 'incomplete']) {
  it(`what was damaged is fetched again, and no more (${incompleteDir ?? 'pieces beside the output'})`, async t => {
    for (const [content, damaged, pieces] of [
      [FILE, '', 1],
      [TREE, 'deep/b', 1]
    ] as const) {
      const init = await downloaded(t, content, incompleteDir)
      const file = await fs.open(join(init.output, damaged), 'r+')
      await file.write('damaged', 0)
      await file.close()
      await takeBackDownload(init)
      await takeBackDownload(init)
      assert.equal(await mended(init, content), pieces)
    }
  })
}

it('a file that was cut, lengthened or removed is fetched again as far as it is missing', async t => {
  const init = await downloaded(t, TREE)
  await fs.truncate(join(init.output, 'a'), PIECE)
  await fs.appendFile(join(init.output, 'deep', 'b'), 'more')
  await fs.rm(join(init.output, 'deep', 'er', 'c'))
  await takeBackDownload(init)
  assert.equal(await mended(init, TREE), 2)
})

it('a file that somebody put where ours was stays where it is', async t => {
  for (const content of [FILE, TREE]) {
    const init = await downloaded(t, content)
    const path = content === FILE ? init.output : join(init.output, 'a')
    await fs.rm(path)
    await fs.writeFile(path, 'mine')
    await takeBackDownload(init)
    assert.equal(await fs.readFile(path, 'utf8'), 'mine')
  }
})

it('a failed move into place is tried again by the same process', async t => {
  const folder = await tempFolder(t)
  const init = { manifest: FILE.manifest, output: join(folder, 'out', 'mine'), stateDir: join(folder, 'state'), hash }
  const store = await openFileStore(init)
  await fill(store, FILE)
  // The folder takes no new entries and gives none away, so neither move nor unlock works; as without rights,
  // but also for root.
  const out = dirname(init.output)
  const away = `${out}.away`
  await fs.rename(out, away)
  await fs.writeFile(out, 'in the way')
  await store.close()
  await fs.rm(out)
  await fs.rename(away, out)
  await fs.writeFile(join(out, 'mine.part.lock'), await ownLock(folder))
  assert.equal(await mended(init, FILE), 0)
})

/** A lock of this process that is not held any more. */
async function ownLock(folder: string): Promise<string> {
  const init = { manifest: FILE.manifest, output: join(folder, 'other', 'x'), stateDir: join(folder, 'state'), hash }
  const store = await openFileStore(init)
  const text = await fs.readFile(`${init.output}.part.lock`, 'utf8')
  await store.close()
  return text
}
