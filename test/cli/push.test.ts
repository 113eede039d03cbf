/** `swarm push` against daemons that are processes, killed on the way. */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { commonPrefix, plan } from '../../src/cli/push.ts'
import { createManifest } from '../../src/node/manifests.ts'
import { swarm, World } from '../daemon/fixture.ts'

const MIB = 1024 * 1024

describe('swarm push', { timeout: 600_000 }, () => {
  let world: World
  before(async () => {
    world = await World.open()
  })
  after(() => world.close())

  const push = async (path: string, url: string): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await swarm(['push', path, '--to', url, '--json', '--state-dir', join(world.folder, 'cli')])
    assert.equal(code, 0, stdout + stderr)
    const lines = stdout.trim().split('\n')
    return JSON.parse(lines.at(-1) as string) as Record<string, unknown>
  }

  it('sends a file once, nothing the second time, and only the new end of one that grew', async () => {
    const { client, url } = await world.daemon('target')
    const path = await world.file('log.bin', 20 * MIB + 5)
    const first = await push(path, url)
    assert.equal(first.bytesSent, 20 * MIB + 5)
    const [task] = await client.tasks()
    assert.ok((await readFile(task?.path as string)).equals(await readFile(path)))
    const second = await push(path, url)
    assert.equal(second.bytesSent, 0)
    await appendFile(path, randomBytes(300_000))
    const third = await push(path, url)
    assert.ok((third.bytesSent as number) <= 300_000 + 256 * 1024, `${third.bytesSent} bytes were sent`)
    const grown = (await client.tasks()).find(({ root }) => root === third.root)
    assert.ok((await readFile(grown?.path as string)).equals(await readFile(path)))
  })

  it('plans the same parts for the same content, without gaps', async () => {
    const a = await createManifest(await world.file('a', 3 * MIB), { stateDir: world.folder })
    assert.equal(commonPrefix(a, a), 3 * MIB)
    for (const [length, common] of [
      [0, 0],
      [1, 0],
      [40 * MIB, 0],
      [40 * MIB, 256 * 1024],
      [40 * MIB, 40 * MIB]
    ] as const) {
      const ranges = plan(length, common)
      let at = 0
      for (const [index, { part, start, end }] of ranges.entries()) {
        assert.equal(part, index + 1)
        assert.equal(start, at)
        at = end
      }
      assert.equal(at, length)
    }
  })
})
