/**
 * What a download finds again of what it had, after a close, a crash, or after somebody touched its files.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { PieceLostError } from '../../src/store/piece-store.ts'
import { bytesOf, closeAfter, fileContent, fill, folderContent, PIECE } from './fixtures.ts'
import { assertPlaced, open, somewhere, TREE } from './outputs.ts'

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
