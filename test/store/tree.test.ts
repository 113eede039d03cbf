import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { closeFile } from '../../src/store/disk.ts'
import { SwappedFolderError, Tree } from '../../src/store/download/tree.ts'
import { tempFolder } from './fixtures.ts'

const CREATE = fs.constants.O_CREAT | fs.constants.O_RDWR

async function treeOf(t: TestContext, usesHandles: boolean): Promise<{ tree: Tree; base: string; elsewhere: string }> {
  const folder = await tempFolder(t)
  const base = join(folder, 'base')
  const elsewhere = join(folder, 'elsewhere')
  await fs.mkdir(join(base, 'a', 'b'), { recursive: true })
  await fs.mkdir(join(elsewhere, 'b'), { recursive: true })
  await fs.writeFile(join(elsewhere, 'b', 'theirs'), 'theirs')
  const tree = await Tree.open(base, usesHandles)
  t.after(() => tree.close())
  return { tree, base, elsewhere }
}

for (const usesHandles of process.platform === 'linux' ? [true, false] : [false]) {
  const how = usesHandles ? 'by handles' : 'by looking before and after'

  it(`files are made, looked at, moved and removed below a folder, ${how}`, async t => {
    const { tree, base } = await treeOf(t, usesHandles)
    assert.deepEqual(await tree.makeFolder(['a', 'c', 'd']), [
      ['a', 'c'],
      ['a', 'c', 'd']
    ])
    await closeFile(await tree.openFile(['a', 'c', 'd', 'x'], CREATE))
    await tree.renameNew(['a', 'c', 'd', 'x'], tree, ['a', 'b', 'x'])
    await fs.writeFile(join(base, 'a', 'y'), 'y')
    await assert.rejects(tree.renameNew(['a', 'b', 'x'], tree, ['a', 'y']), { code: 'EEXIST' })
    assert.equal((await tree.look(['a', 'b', 'x']))?.isFile(), true)
    assert.equal(await tree.removeEmptyFolder(['a', 'b']), false)
    await tree.unlink(['a', 'b', 'x'])
    assert.equal(await tree.removeEmptyFolder(['a', 'b']), true)
    assert.equal(await tree.look(['a', 'b', 'x']), undefined)
  })

  it(`nothing is done through a link that replaced a folder, ${how}`, async t => {
    const { tree, base, elsewhere } = await treeOf(t, usesHandles)
    await fs.rm(join(base, 'a'), { recursive: true })
    await fs.symlink(elsewhere, join(base, 'a'))
    const theirs = ['a', 'b', 'theirs']
    await assert.rejects(tree.openFile(['a', 'b', 'new'], CREATE), SwappedFolderError)
    await assert.rejects(tree.openFile(theirs, fs.constants.O_RDWR), SwappedFolderError)
    await assert.rejects(tree.look(theirs), SwappedFolderError)
    await assert.rejects(tree.list(['a', 'b']), SwappedFolderError)
    await assert.rejects(tree.unlink(theirs), SwappedFolderError)
    await assert.rejects(tree.makeFolder(['a', 'b', 'c']), SwappedFolderError)
    await assert.rejects(tree.rename(theirs, tree, ['mine']), SwappedFolderError)
    assert.deepEqual(await fs.readdir(join(elsewhere, 'b')), ['theirs'])
  })

  it(`the last name is not followed either, ${how}`, async t => {
    const { tree, base, elsewhere } = await treeOf(t, usesHandles)
    await fs.symlink(join(elsewhere, 'b', 'theirs'), join(base, 'a', 'link'))
    await assert.rejects(tree.openFile(['a', 'link'], CREATE), { code: 'ELOOP' })
    assert.equal((await tree.look(['a', 'link']))?.isSymbolicLink(), true)
  })
}

it('a folder that is swapped after it was reached changes nothing for what is done in it', async t => {
  if (process.platform !== 'linux') return t.skip('needs handles of folders')
  const { tree, base, elsewhere } = await treeOf(t, true)
  await closeFile(await tree.openFile(['a', 'b', 'one'], CREATE))
  await fs.rename(join(base, 'a'), join(base, 'away'))
  await fs.symlink(elsewhere, join(base, 'a'))
  // The folder's handle is kept; its file goes where the folder went, not where the link leads.
  await closeFile(await tree.openFile(['a', 'b', 'two'], CREATE))
  assert.deepEqual(await fs.readdir(join(elsewhere, 'b')), ['theirs'])
  assert.deepEqual((await fs.readdir(join(base, 'away', 'b'))).sort(), ['one', 'two'])
})
