/**
 * The programs in examples/ do what their first lines say.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '../cli/run-cli.ts'

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url))

function start(program: string, args: string[], state: string) {
  return spawn(process.execPath, [EXAMPLES + program, ...args], {
    env: { ...process.env, XDG_STATE_HOME: state },
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

async function finish(child: ReturnType<typeof start>): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', chunk => stdout.push(chunk))
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  const [code] = await once(child, 'close')
  return { code, stdout: Buffer.concat(stdout), stderr }
}

describe('the example programs', { timeout: 600_000 }, () => {
  it('share.ts serves a file that fetch.ts fetches and stream.ts reads a range of', async () => {
    await using folder = await temporaryFolder()
    const content = randomBytes(4_000_000)
    await writeFile(folder.join('data.bin'), content)
    const sharing = start('share.ts', [folder.join('data.bin')], folder.join('one'))
    sharing.stderr.resume()
    try {
      const [link] = await once(createInterface({ input: sharing.stdout }), 'line')
      assert.match(link, /^swarm:[0-9a-f]{64}\?/)

      const fetched = await finish(start('fetch.ts', [link, folder.join('copy.bin')], folder.join('two')))
      assert.equal(fetched.code, 0, fetched.stderr)
      assert.match(fetched.stdout.toString(), /copy\.bin: 4000000 bytes from 1 peer/)
      assert.deepEqual(await readFile(folder.join('copy.bin')), content)

      const streamed = await finish(start('stream.ts', [link, '3000001', '3500000'], folder.join('three')))
      assert.equal(streamed.code, 0, streamed.stderr)
      assert.deepEqual(streamed.stdout, content.subarray(3_000_001, 3_500_000))
    } finally {
      sharing.kill('SIGINT')
      const [code] = await once(sharing, 'exit')
      assert.equal(code, 0)
    }
  })
})

describe('the demo', { timeout: 600_000 }, () => {
  it('brings a file to five leechers, verifies every copy, says who gave what, and leaves nothing behind', async () => {
    await using folder = await temporaryFolder()
    await writeFile(folder.join('data.bin'), randomBytes(3_000_000))
    const child = spawn(process.execPath, [`${EXAMPLES}demo.ts`, folder.join('data.bin')], {
      env: { ...process.env, TMPDIR: folder.path },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const { code, stdout, stderr } = await finish(child)
    assert.equal(code, 0, stdout + stderr)
    assert.equal(stdout.toString().match(/SHA-256 of its copy is right/g)?.length, 5)
    assert.match(stdout.toString(), /^seeder .* MB$/m)
    assert.match(stdout.toString(), /5 verified copies in .*; the seeder sent [\d.]+ copies/)
    assert.deepEqual(
      (await readdir(folder.path)).filter(name => name.startsWith('swarm-')),
      []
    )
  })
})
