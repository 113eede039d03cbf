import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import { hashContent } from '../../src/store/hash-content.ts'
import { PieceLostError } from '../../src/store/piece-store.ts'
import { openSeedStore } from '../../src/store/seed-store.ts'
import { describePieceStore } from '../compliance/piece-store.ts'
import { bytesOf, closeAfter, fileContent, folderContent, hash, PIECE, place, tempFolder } from './fixtures.ts'

for (const [name, content] of [
  ['the seed store of a file', fileContent(5 * PIECE + 77)],
  ['the seed store of a folder', folderContent({ a: 100, 'b/c': 3 * PIECE, d: 0, e: 17, f: PIECE + 1 })]
] as const) {
  describePieceStore(name, async t => {
    const path = join(await tempFolder(t), 'content')
    await place(content, path)
    return {
      manifest: content.manifest,
      piece: content.piece,
      openFull: () => openSeedStore({ manifest: content.manifest, path, hash })
    }
  })
}

it('a seeded file is not written to, but takes a piece that it has', async t => {
  const content = fileContent(3 * PIECE)
  const path = join(await tempFolder(t), 'file')
  await place(content, path)
  await fs.truncate(path, 2 * PIECE)
  const store = await openSeedStore({ manifest: content.manifest, path, hash })
  closeAfter(t, store)
  assert.deepEqual([...store.have.ones()], [0, 1])
  assert.equal(await store.write(0, content.piece(0)), true)
  await assert.rejects(store.write(2, content.piece(2)), StoreError)
  assert.equal((await fs.stat(path)).size, 2 * PIECE)
})

it('a piece overwritten in place is never served; the others go on', async t => {
  const folder = await tempFolder(t)
  const path = join(folder, 'file')
  await fs.writeFile(path, bytesOf(4 * PIECE))
  const { manifest, stamps } = await hashContent(path, { hash, pieceLength: PIECE })
  const store = await openSeedStore({ manifest, path, hash, stamps })
  closeAfter(t, store)
  assert.equal((await store.read(1)).byteLength, PIECE)
  const file = await fs.open(path, 'r+')
  await file.write(Buffer.from('changed'), 0, 7, PIECE + 100)
  await file.close()
  await assert.rejects(store.read(1), (err: unknown) => err instanceof PieceLostError && err.pieces.includes(1))
  assert.equal(store.have.get(1), false)
  assert.deepEqual(Buffer.from(await store.read(2)), Buffer.from(bytesOf(4 * PIECE).subarray(2 * PIECE, 3 * PIECE)))
  await assert.rejects(store.read(1), RangeError)
})

it('a change that keeps size and modification time is noticed all the same', async t => {
  const path = join(await tempFolder(t), 'file')
  await fs.writeFile(path, bytesOf(2 * PIECE))
  const { manifest, stamps } = await hashContent(path, { hash, pieceLength: PIECE })
  const store = await openSeedStore({ manifest, path, hash, stamps })
  closeAfter(t, store)
  const { atime, mtime } = await fs.stat(path)
  await fs.writeFile(path, bytesOf(2 * PIECE, 9))
  await fs.utimes(path, atime, mtime)
  await assert.rejects(store.read(0), PieceLostError)
})

it('a file that was touched but holds the same bytes goes on being served', async t => {
  const path = join(await tempFolder(t), 'file')
  await fs.writeFile(path, bytesOf(2 * PIECE))
  const { manifest, stamps } = await hashContent(path, { hash, pieceLength: PIECE })
  const store = await openSeedStore({ manifest, path, hash, stamps })
  closeAfter(t, store)
  await fs.utimes(path, new Date(), new Date())
  assert.equal((await store.read(1)).byteLength, PIECE)
})

it('a truncated, removed or replaced file loses exactly the pieces that are gone', async t => {
  const folder = await tempFolder(t)
  const path = join(folder, 'tree')
  const content = folderContent({ a: 2 * PIECE, b: 2 * PIECE, c: 2 * PIECE, d: 2 * PIECE })
  await place(content, path)
  const store = await openSeedStore({ manifest: content.manifest, path, hash })
  closeAfter(t, store)
  await fs.truncate(join(path, 'a'), PIECE + 5)
  await fs.rm(join(path, 'b'))
  await fs.rename(join(path, 'd'), join(path, 'c'))
  assert.equal((await store.read(0)).byteLength, PIECE)
  for (const lost of [1, 2, 3, 4, 5, 6, 7]) await assert.rejects(store.read(lost), PieceLostError, `piece ${lost}`)
  assert.deepEqual([...store.have.ones()], [0])
})

it('a named pipe put where a file was does not hang the reader', async t => {
  if (process.platform === 'win32') return t.skip('no named pipes in folders here')
  const { execFileSync } = await import('node:child_process')
  const path = join(await tempFolder(t), 'file')
  const content = fileContent(PIECE)
  await place(content, path)
  const store = await openSeedStore({ manifest: content.manifest, path, hash })
  closeAfter(t, store)
  await fs.rm(path)
  execFileSync('mkfifo', [path])
  await assert.rejects(store.read(0), PieceLostError)
})
