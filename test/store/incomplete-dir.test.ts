import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createManifest, type Manifest } from '../../src/content/manifest.ts'
import { openFileStore } from '../../src/store/download/file-store.ts'
import { removeDownload } from '../../src/store/download/remove-download.ts'
import { loadHasher } from '../../src/store/hasher.ts'

const PIECE = 16 * 1024
const { hash } = await loadHasher()

/** A content of `files` (or one file) with bytes that differ from piece to piece. */
function contentOf(files?: { path: string; length: number }[]): { manifest: Manifest; pieces: Uint8Array[] } {
  const length = files?.reduce((sum, file) => sum + file.length, 0) ?? 3 * PIECE + 5
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 12)) & 0xff)
  const pieces: Uint8Array[] = []
  for (let offset = 0; offset < length; offset += PIECE) pieces.push(bytes.slice(offset, offset + PIECE))
  const hashes = Buffer.concat(pieces.map(piece => hash(piece)))
  const tree = files === undefined ? {} : { files: files.map(file => ({ ...file, executable: false })) }
  return {
    manifest: createManifest({ name: 'thing', length, pieceLength: PIECE, hashes: new Uint8Array(hashes), ...tree }, hash),
    pieces
  }
}

const TREE = [
  { path: 'a', length: PIECE },
  { path: 'deep/b', length: PIECE + 7 }
]

describe('a folder for what is incomplete', () => {
  let base = ''
  let elsewhere = ''
  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'swarm-incomplete-'))
    // Another file system where the machine has one; else the same, and the copy is not exercised.
    const shm = existsSync('/dev/shm') && (await stat('/dev/shm')).dev !== (await stat(base)).dev ? '/dev/shm' : tmpdir()
    elsewhere = await mkdtemp(join(shm, 'swarm-incomplete-'))
  })
  after(async () => {
    await rm(base, { recursive: true })
    await rm(elsewhere, { recursive: true })
  })

  for (const [what, files] of [
    ['a file', undefined],
    ['a folder', TREE]
  ] as const) {
    test(`${what} waits there and ends up complete under its own name, also across file systems`, async () => {
      const { manifest, pieces } = contentOf(files === undefined ? undefined : [...files])
      const output = join(base, `out-${what}`, 'thing')
      const init = { manifest, output, stateDir: join(base, 'state'), incompleteDir: elsewhere, hash }
      const first = await openFileStore(init)
      await first.write(0, pieces[0]?.slice() as Uint8Array)
      assert.equal((await readdir(elsewhere)).length, 1)
      assert.equal(existsSync(`${output}.part`), false)
      await first.close()

      const again = await openFileStore(init)
      assert.deepEqual([...again.have.ones()], [0], 'what was verified is found again')
      for (let piece = 1; piece < pieces.length; piece++) await again.write(piece, pieces[piece]?.slice() as Uint8Array)
      await again.finish()
      assert.deepEqual(Buffer.from(await again.read(pieces.length - 1)), Buffer.from(pieces.at(-1) as Uint8Array))
      await again.close()
      assert.deepEqual(await readdir(elsewhere), [])
      const whole =
        files === undefined
          ? await readFile(output)
          : Buffer.concat([await readFile(join(output, 'a')), await readFile(join(output, 'deep/b'))])
      assert.deepEqual(whole, Buffer.concat(pieces))
      assert.equal(existsSync(`${output}.part`), false)
    })
  }

  test('removing a download deletes its pieces and state, and nothing that others put beside them', async () => {
    const { manifest, pieces } = contentOf([...TREE])
    const output = join(base, 'removed', 'thing')
    const init = { manifest, output, stateDir: join(base, 'state-removed'), incompleteDir: elsewhere, hash }
    const store = await openFileStore(init)
    await store.write(0, pieces[0]?.slice() as Uint8Array)
    await store.close()
    await removeDownload({ ...init, finished: false })
    assert.deepEqual(await readdir(elsewhere), [])

    const whole = await openFileStore(init)
    for (const [piece, data] of pieces.entries()) await whole.write(piece, data.slice())
    await whole.finish()
    await whole.close()
    await mkdir(join(output, 'mine'))
    await writeFile(join(output, 'mine', 'notes'), 'keep me')
    await removeDownload({ ...init, finished: true })
    assert.deepEqual(await readdir(output), ['mine'])
    assert.deepEqual(await readdir(join(init.stateDir, 'transfers')).catch(() => []), [])
    await removeDownload({ ...init, finished: true })
  })
})
