import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { defaultPieceLength, MIN_PIECE_LENGTH } from '../../src/content/geometry.ts'
import { InvalidOptionsError, StoreError } from '../../src/errors.ts'
import { HashCache } from '../../src/store/hash-cache.ts'
import { hashContent, hashStream } from '../../src/store/hash-content.ts'
import { loadHasher } from '../../src/store/hasher.ts'
import { verifyContent } from '../../src/store/verify-content.ts'
import { bytesOf, fileContent, folderContent, hash, PIECE, place, tempFolder } from './fixtures.ts'

it('a file’s manifest is that of its bytes, whichever implementation hashes', async t => {
  const path = join(await tempFolder(t), 'content.bin')
  const pure = (await loadHasher('pure')).hash
  for (const length of [0, 1, PIECE - 1, PIECE, PIECE + 1, 70 * PIECE + 5]) {
    const content = fileContent(length)
    await place(content, path)
    const { manifest, skipped } = await hashContent(path, { hash, pieceLength: PIECE })
    assert.deepEqual(manifest, content.manifest)
    assert.deepEqual((await hashContent(path, { hash: pure, pieceLength: PIECE })).manifest, content.manifest)
    assert.deepEqual(skipped, [])
  }
})

it('a folder’s manifest lists its files by the bytes of their paths, with executable bits', async t => {
  const path = join(await tempFolder(t), 'content')
  const lengths = { 'B*': 3 * PIECE, Z: 0, 'a-b': 5, 'a/b*': PIECE + 3, 'a/z/deep': 1, é: 40_000, '\u{1f600}': 7 }
  const content = folderContent(lengths)
  await place(content, path)
  const { manifest } = await hashContent(path, { hash, pieceLength: PIECE })
  assert.deepEqual(manifest, content.manifest)
})

it('progress ends at the total, and an abort stops with its reason', async t => {
  const path = join(await tempFolder(t), 'file')
  await fs.writeFile(path, bytesOf(100 * PIECE))
  const seen: number[] = []
  await hashContent(path, { hash, pieceLength: PIECE, onProgress: (bytes, total) => seen.push(bytes / total) })
  assert.equal(seen.at(-1), 1)
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b)
  )
  const abort = new AbortController()
  const reason = new Error('enough')
  await assert.rejects(
    hashContent(path, { hash, pieceLength: PIECE, signal: abort.signal, onProgress: () => abort.abort(reason) }),
    reason
  )
})

it('a file that grows, shrinks, changes or vanishes while it is hashed is an error that names it', async t => {
  const path = join(await tempFolder(t), 'file')
  const changes = [
    () => fs.appendFile(path, 'more'),
    () => fs.truncate(path, 90 * PIECE),
    () => fs.writeFile(path, bytesOf(100 * PIECE, 2)),
    () => fs.rm(path)
  ]
  for (const change of changes) {
    await fs.writeFile(path, bytesOf(100 * PIECE))
    let changing: Promise<void> | undefined
    const changeOnce = (): void => {
      changing ??= change()
    }
    const isChanged = (err: unknown): boolean => err instanceof StoreError && err.path === path && /changed/.test(err.message)
    const hashing = hashContent(path, { hash, pieceLength: PIECE, onProgress: changeOnce })
    await assert.rejects(hashing, isChanged)
    await changing
  }
})

it('symbolic links, pipes, empty folders and unfinished downloads are left out and reported', async t => {
  if (process.platform === 'win32') return t.skip('no pipes or unprivileged links here')
  const folder = await tempFolder(t)
  const path = join(folder, 'tree')
  await place(folderContent({ a: 10, 'sub/b': 10, 'big.iso.part': 10, 'big.iso.part.lock': 5, '.hidden': 3 }), path)
  await fs.writeFile(join(folder, 'secret'), 'secret')
  await fs.symlink(join(folder, 'secret'), join(path, 'link'))
  await fs.symlink(folder, join(path, 'sub', 'up'))
  await fs.mkdir(join(path, 'void'))
  execFileSync('mkfifo', [join(path, 'pipe')])
  const { manifest, skipped } = await hashContent(path, { hash })
  assert.deepEqual(
    manifest.files?.map(file => file.path),
    ['.hidden', 'a', 'sub/b']
  )
  assert.deepEqual(skipped, [
    { path: 'big.iso.part', reason: 'unfinished download' },
    { path: 'big.iso.part.lock', reason: 'unfinished download' },
    { path: 'link', reason: 'symbolic link' },
    { path: 'pipe', reason: 'special file' },
    { path: 'sub/up', reason: 'symbolic link' },
    { path: 'void', reason: 'empty folder' }
  ])
  await assert.rejects(hashContent(join(path, 'pipe'), { hash }), InvalidOptionsError)
})

it('a name that no manifest carries is refused with its path, before anything is read', async t => {
  if (process.platform === 'win32') return t.skip('such names cannot be made here')
  const path = join(await tempFolder(t), 'tree')
  for (const bad of ['con.txt', 'a\\b', 'line\nbreak']) {
    await fs.rm(path, { recursive: true, force: true })
    await place(folderContent({ ok: 5 }), path)
    await fs.writeFile(join(path, bad), '')
    const names = (err: unknown): boolean =>
      err instanceof InvalidOptionsError && err.message.includes(JSON.stringify(bad).slice(1, -1))
    await assert.rejects(hashContent(path, { hash }), names, bad)
  }
  const invalid = Buffer.concat([Buffer.from(`${path}/bad`), Buffer.from([0xff])])
  await fs.rm(path, { recursive: true })
  await fs.mkdir(path)
  await fs.writeFile(invalid, '')
  await assert.rejects(
    hashContent(path, { hash }),
    (err: unknown) => err instanceof InvalidOptionsError && /UTF-8/.test(err.message)
  )
})

it('a missing or unreadable path is a StoreError, a wrong piece length the caller’s', async t => {
  const folder = await tempFolder(t)
  await assert.rejects(
    hashContent(join(folder, 'nothing'), { hash }),
    (err: unknown) => err instanceof StoreError && err.errno === 'ENOENT'
  )
  await assert.rejects(hashContent(folder, { hash, pieceLength: 1000 }), InvalidOptionsError)
})

it('a stream gives the manifest that its bytes would give as a file, however it is cut', async t => {
  const folder = await tempFolder(t)
  for (const length of [0, 1, MIN_PIECE_LENGTH, 3 * MIN_PIECE_LENGTH + 11]) {
    for (const chunk of [7_001, MIN_PIECE_LENGTH, 1 << 20]) {
      const bytes = bytesOf(length)
      const chunks = (async function* () {
        for (let offset = 0; offset < length; offset += chunk) yield bytes.subarray(offset, offset + chunk)
      })()
      const spool = join(folder, 'spool')
      const { manifest, stamps } = await hashStream(chunks, { hash, spool, name: 'content.bin', pieceLength: PIECE })
      assert.deepEqual(manifest, fileContent(length).manifest)
      assert.deepEqual(await fs.readFile(spool), Buffer.from(bytes))
      assert.equal(stamps.length, 1)
    }
  }
})

it('a stream uses the default piece length, and one that fails leaves nothing behind', async t => {
  const spool = join(await tempFolder(t), 'spool')
  const { manifest } = await hashStream(
    (async function* () {
      yield bytesOf(10)
    })(),
    { hash, spool, name: 'x' }
  )
  assert.equal(manifest.pieceLength, defaultPieceLength(10))
  const failing = (async function* () {
    yield bytesOf(10)
    throw new Error('pipe broke')
  })()
  await assert.rejects(hashStream(failing, { hash, spool, name: 'x' }), /pipe broke/)
  await assert.rejects(fs.stat(spool), { code: 'ENOENT' })
})

it('an unchanged file or folder is not hashed again; a changed one is', async t => {
  const folder = await tempFolder(t)
  const cache = new HashCache({ stateDir: join(folder, 'state'), hash })
  const path = join(folder, 'tree')
  const options = { hash, pieceLength: PIECE, cache }
  await place(folderContent({ a: 2 * PIECE, b: 5 }), path)
  const first = await hashContent(path, options)
  const second = await hashContent(path, { ...options, name: 'other' })
  assert.equal(first.isFromCache, false)
  assert.equal(second.isFromCache, true)
  assert.deepEqual(second.manifest, { ...first.manifest, name: 'other' })
  assert.equal((await hashContent(path, { ...options, pieceLength: 2 * PIECE, rehash: true })).isFromCache, false)
  assert.equal((await hashContent(path, { ...options, pieceLength: 2 * PIECE })).isFromCache, true)

  const { atime, mtime } = await fs.stat(join(path, 'b'))
  await fs.writeFile(join(path, 'b'), 'other')
  await fs.utimes(join(path, 'b'), atime, mtime)
  const third = await hashContent(path, options)
  assert.equal(third.isFromCache, false)
  assert.notEqual(third.manifest.root, first.manifest.root)

  await fs.chmod(join(path, 'b'), 0o755)
  assert.equal((await hashContent(path, options)).isFromCache, process.platform === 'win32')
})

it('a change right after hashing, within one tick of the clock, is never mistaken for the cached content', async t => {
  const folder = await tempFolder(t)
  const cache = new HashCache({ stateDir: join(folder, 'state'), hash })
  const path = join(folder, 'file')
  for (let round = 0; round < 10; round++) {
    const bytes = bytesOf(PIECE, round + 1)
    await fs.writeFile(path, bytes)
    const { manifest } = await hashContent(path, { hash, pieceLength: PIECE, cache })
    assert.deepEqual(Buffer.from(manifest.hashes), Buffer.from(hash(bytes)))
  }
})

it('a damaged cache entry is ignored and replaced, and the oldest entries go', async t => {
  const folder = await tempFolder(t)
  const stateDir = join(folder, 'state')
  const cache = new HashCache({ stateDir, hash, maxEntries: 3 })
  const path = join(folder, 'file')
  await fs.writeFile(path, bytesOf(PIECE))
  const options = { hash, pieceLength: PIECE, cache }
  await hashContent(path, options)
  const [name] = await fs.readdir(join(stateDir, 'hashes'))
  const entry = join(stateDir, 'hashes', name as string)
  const good = await fs.readFile(entry, 'utf8')
  for (const damaged of ['', '{}', good.slice(0, 200), good.replace('content', 'contemt').replace('file', 'fila'), `${good} `]) {
    await fs.writeFile(entry, damaged)
    const { isFromCache, manifest } = await hashContent(path, options)
    assert.equal(isFromCache, false)
    assert.equal(manifest.name, 'file')
    assert.equal(await fs.readFile(entry, 'utf8'), good)
  }
  for (let n = 0; n < 5; n++) {
    await fs.writeFile(join(folder, `f${n}`), bytesOf(10, n))
    await hashContent(join(folder, `f${n}`), options)
  }
  assert.equal((await fs.readdir(join(stateDir, 'hashes'))).length, 3)
})

it('verifying names the bad pieces and the files that they belong to', async t => {
  const path = join(await tempFolder(t), 'tree')
  const content = folderContent({ a: 2 * PIECE, b: 100, c: 2 * PIECE, d: 0, e: 5 })
  await place(content, path)
  const intact = await verifyContent(content.manifest, path, { hash })
  assert.deepEqual({ ...intact, stamps: [] }, { isIntact: true, badPieces: [], badFiles: [], stamps: [] })

  const file = await fs.open(join(path, 'a'), 'r+')
  await file.write(Buffer.from([1, 2, 3, 4]), 0, 4, PIECE + 9)
  await file.close()
  await fs.rm(join(path, 'd'))
  await fs.appendFile(join(path, 'e'), 'longer')
  const found = await verifyContent(content.manifest, path, { hash })
  assert.equal(found.isIntact, false)
  assert.deepEqual(found.badPieces, [1])
  assert.deepEqual(found.badFiles, [
    { path: 'a', fault: 'bad pieces', badPieces: [1] },
    { path: 'd', fault: 'missing', badPieces: [] },
    { path: 'e', fault: 'wrong length', badPieces: [] }
  ])
  await fs.rm(path, { recursive: true })
  const gone = await verifyContent(content.manifest, path, { hash })
  assert.equal(gone.badFiles.length, 5)
  assert.deepEqual(gone.badPieces, [0, 1, 2, 3, 4])
})

it('a large file, hashed by threads, has the manifest of its bytes; progress, abort and change are as for a small one', async t => {
  const path = join(await tempFolder(t), 'large')
  const tail = bytesOf(70_001)
  const length = 128 * 1024 * 1024 + tail.byteLength
  const pieceLength = 1024 * 1024
  const zeros = hash(new Uint8Array(pieceLength))
  const file = await fs.open(path, 'w')
  await file.truncate(length)
  await file.write(tail, 0, tail.byteLength, length - tail.byteLength)
  await file.close()
  const seen: number[] = []
  const { manifest } = await hashContent(path, { hash, pieceLength, onProgress: bytes => seen.push(bytes) })
  assert.equal(manifest.hashes.byteLength, 129 * 32)
  for (let piece = 0; piece < 128; piece++) assert.deepEqual(manifest.hashes.subarray(piece * 32, piece * 32 + 32), zeros)
  assert.deepEqual(manifest.hashes.subarray(128 * 32), hash(tail))
  assert.equal(seen.at(-1), length)

  const abort = new AbortController()
  const reason = new Error('enough')
  const stopped = hashContent(path, { hash, pieceLength, signal: abort.signal, onProgress: () => abort.abort(reason) })
  await assert.rejects(stopped, reason)
  const shrunk = hashContent(path, { hash, pieceLength, onProgress: () => void fs.truncate(path, 5) })
  await assert.rejects(shrunk, (err: unknown) => err instanceof StoreError && err.path === path)
})
