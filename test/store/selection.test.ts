/**
 * Downloads of some files of a folder.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { InvalidOptionsError } from '../../src/errors.ts'
import { inspectOutput } from '../../src/store/inspect-output.ts'
import { fill, folderContent, hash, PIECE } from './fixtures.ts'
import { assertPlaced, open, somewhere } from './outputs.ts'

it('only the selected files appear; border pieces are served whole and nothing else is left in the user’s folder', async t => {
  const content = folderContent({ a: 100, 'b/c': 3 * PIECE, 'b/d': 50, e: 17, f: PIECE + 1, g: 0 })
  const at = await somewhere(t)
  const store = await open(content, at, { only: ['b'] })
  assert.equal(store.wantedBytes, 3 * PIECE + 50)
  assert.deepEqual([...store.wanted.ones()], [0, 1, 2, 3])
  await fill(store, content)
  await assert.rejects(store.write(4, content.piece(4)), RangeError)
  await store.finish()
  await assertPlaced(content, at, ['b/c', 'b/d'])
  for (const piece of [0, 1, 2, 3]) assert.deepEqual(Buffer.from(await store.read(piece)), Buffer.from(content.piece(piece)))
  await store.close()
  assert.deepEqual((await fs.readdir(join(at.output, '..'))).sort(), ['content'])

  const options = { hash, stateDir: at.stateDir, only: ['b'] }
  assert.equal(await inspectOutput(content.manifest, at.output, options), 'matches')
  let looked = 0
  const again = await open(content, at, { only: ['b'], onChecked: () => looked++ })
  assert.equal(again.isFinished, true)
  assert.equal(looked, 0)
  assert.deepEqual(Buffer.from(await again.read(3)), Buffer.from(content.piece(3)))
  await again.close()
})

it('a second selection is added to the folder that the first one made', async t => {
  const content = folderContent({ a: 100, 'b/c': 3 * PIECE, 'b/d': 50, e: 17, f: PIECE + 1, g: 0 })
  const at = await somewhere(t)
  for (const only of [['b/**'], ['{e,f}']]) {
    assert.equal(await inspectOutput(content.manifest, at.output, { hash, stateDir: at.stateDir, only }), 'absent')
    const store = await open(content, at, { only })
    await fill(store, content)
    await store.finish()
    await store.close()
  }
  await assertPlaced(content, at, ['b/c', 'b/d', 'e', 'f'])
})

it('what another, unfinished selection staged is not put in place', async t => {
  const content = folderContent({ a: 2 * PIECE, b: 2 * PIECE })
  const at = await somewhere(t)
  const first = await open(content, at, { only: ['a'] })
  await first.write(0, content.piece(0))
  await first.close()
  const second = await open(content, at, { only: ['b'] })
  await fill(second, content)
  await second.finish()
  await second.close()
  await assertPlaced(content, at, ['b'])
})

it('a selection resumes after a clean close, border pieces included', async t => {
  const content = folderContent({ a: 100, 'b/c': 3 * PIECE, e: 17, f: PIECE + 1 })
  const at = await somewhere(t)
  const first = await open(content, at, { only: path => path === 'b/c' })
  await first.write(0, content.piece(0))
  await first.write(3, content.piece(3))
  await first.close()
  const second = await open(content, at, { only: path => path === 'b/c' })
  assert.deepEqual([...second.have.ones()], [0, 3])
  await second.close()
})

it('a selection that matches nothing is the caller’s error', async t => {
  const content = folderContent({ a: 100 })
  const at = await somewhere(t)
  await assert.rejects(open(content, at, { only: ['nothing/**'] }), InvalidOptionsError)
})
