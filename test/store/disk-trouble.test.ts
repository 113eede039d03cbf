import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import { openFileStore } from '../../src/store/download/file-store.ts'
import { hashContent } from '../../src/store/hash-content.ts'
import { fileContent, fill, folderContent, hash, PIECE, tempFolder } from './fixtures.ts'

/** A small file system of its own, or undefined (and the test skipped) where we may not mount. */
async function mountSmall(t: TestContext, bytes: number): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    t.skip('needs root on Linux to mount a small file system')
    return undefined
  }
  const folder = join(await tempFolder(t), 'mount')
  await fs.mkdir(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'swarm-test', folder], { stdio: 'pipe' })
  } catch (err) {
    t.skip(`may not mount here: ${(err as Error).message.trim()}`)
    return undefined
  }
  return folder
}

function unmount(folder: string): void {
  execFileSync('umount', ['-l', folder])
}

function isStoreError(errno: string): (err: unknown) => boolean {
  return err => err instanceof StoreError && err.errno === errno && err.path !== ''
}

for (const [kind, content] of [
  ['file', fileContent(40 * PIECE)],
  ['folder', folderContent({ a: 11 * PIECE, b: 11 * PIECE, 'c/d': 18 * PIECE })]
] as const) {
  it(`a full disk is a StoreError with path and ENOSPC; after room is made the ${kind} resumes and ends whole`, async t => {
    const mount = await mountSmall(t, 50 * PIECE)
    if (mount === undefined) return
    try {
      await fs.writeFile(join(mount, 'ballast'), Buffer.alloc(20 * PIECE))
      const init = { manifest: content.manifest, output: join(mount, 'out'), stateDir: join(mount, 'state'), hash }
      const first = await openFileStore(init)
      await assert.rejects(fill(first, content), isStoreError('ENOSPC'))
      const had = first.have.count
      assert.ok(had > 10 && had < 40, `${had} pieces`)
      for (const piece of first.have.ones()) {
        assert.deepEqual(Buffer.from(await first.read(piece)), Buffer.from(content.piece(piece)))
      }
      await first.close()

      const full = await openFileStore(init)
      assert.ok(full.have.count >= had)
      await assert.rejects(fill(full, content), isStoreError('ENOSPC'))
      await fs.rm(join(mount, 'ballast'))
      // The same store goes on as soon as there is room.
      await fill(full, content)
      await full.finish()
      await full.close()
      for (const file of content.files)
        assert.deepEqual(await fs.readFile(join(mount, 'out', file.path)), Buffer.from(file.bytes))
    } finally {
      unmount(mount)
    }
  })
}

it('a read-only folder is a StoreError with path and EROFS, and what was downloaded is kept', async t => {
  const mount = await mountSmall(t, 100 * PIECE)
  if (mount === undefined) return
  try {
    const content = fileContent(10 * PIECE)
    const stateDir = join(mount, '..', 'state')
    const init = { manifest: content.manifest, output: join(mount, 'out'), stateDir, hash }
    const first = await openFileStore(init)
    await first.write(3, content.piece(3))
    await first.close()
    execFileSync('mount', ['-o', 'remount,ro', mount])
    await assert.rejects(openFileStore(init), isStoreError('EROFS'))
    await assert.rejects(openFileStore({ ...init, output: join(mount, 'new', 'out') }), isStoreError('EROFS'))
    execFileSync('mount', ['-o', 'remount,rw', mount])
    const second = await openFileStore(init)
    assert.deepEqual([...second.have.ones()], [3])
    await second.close()
  } finally {
    unmount(mount)
  }
})

it('a file on a read-only disk is hashed and cached elsewhere without complaint', async t => {
  const mount = await mountSmall(t, 100 * PIECE)
  if (mount === undefined) return
  try {
    const content = fileContent(10 * PIECE)
    await fs.writeFile(join(mount, 'content.bin'), content.bytes)
    execFileSync('mount', ['-o', 'remount,ro', mount])
    const { manifest } = await hashContent(join(mount, 'content.bin'), { hash, pieceLength: PIECE })
    assert.deepEqual(manifest, content.manifest)
  } finally {
    unmount(mount)
  }
})

it('a file that may not be read is a StoreError with path and EACCES', async t => {
  if (process.platform === 'win32' || process.getuid?.() === 0) return t.skip('rights do not bind root')
  const path = join(await tempFolder(t), 'file')
  await fs.writeFile(path, 'secret', { mode: 0o000 })
  await assert.rejects(hashContent(path, { hash }), isStoreError('EACCES'))
})
