import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import { loadIdentity } from '../../src/network/identity.ts'

const folder = await mkdtemp(join(tmpdir(), 'swarm-test-'))
after(() => rm(folder, { recursive: true }))

describe('the identity', () => {
  it('is the same after a restart, in a file that only its owner can read', async () => {
    const stateDir = join(folder, 'new', 'deep')
    const first = await loadIdentity(stateDir)
    const second = await loadIdentity(stateDir)
    assert.ok(second.equals(first))
    assert.equal((await stat(join(stateDir, 'identity.key'))).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(stateDir), ['identity.key'])
  })

  it('is one when several processes start at once', async () => {
    const stateDir = join(folder, 'many')
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadIdentity(stateDir)))
    for (const key of keys) assert.ok(key.equals(keys[0] as (typeof keys)[0]))
  })

  it('is fresh each time without a folder', async () => {
    assert.ok(!(await loadIdentity(undefined)).equals(await loadIdentity(undefined)))
  })

  it('that is damaged or unreadable is a store error, not a new identity', async () => {
    const stateDir = join(folder, 'damaged')
    await loadIdentity(stateDir)
    await chmod(join(stateDir, 'identity.key'), 0o600)
    await writeFile(join(stateDir, 'identity.key'), 'nonsense')
    await assert.rejects(loadIdentity(stateDir), (err: unknown) => err instanceof StoreError && err.path.startsWith(stateDir))
    await writeFile(join(folder, 'file'), '')
    await assert.rejects(loadIdentity(join(folder, 'file', 'below')), StoreError)
  })

  it('with any bit flipped is refused, with what to do', async () => {
    const stateDir = join(folder, 'flipped')
    const path = join(stateDir, 'identity.key')
    await loadIdentity(stateDir)
    const bytes = await readFile(path)
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      await writeFile(path, flipped)
      const isTold = (err: unknown): boolean =>
        err instanceof StoreError && /put it back from a backup, or remove it/.test(err.message)
      await assert.rejects(loadIdentity(stateDir), isTold, `bit ${bit}`)
    }
  })
})
