import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { resolveDaemonOptions } from '../../../src/daemon/options.ts'
import { run } from '../fixture.ts'

const EXAMPLES = fileURLToPath(new URL('../../../examples/daemon/', import.meta.url))

test('the tour shows a daemon sharing, getting, streaming from half a content, and coming back after a kill', async () => {
  const { code, stdout, stderr } = await run(process.execPath, [`${EXAMPLES}tour.ts`])
  console.log(stdout)
  assert.equal(code, 0, stderr)
  assert.match(stdout, /206, bytes 19500000-19999999\/20000000, the right bytes/)
  const share = Number(/when (\d+) % were there/.exec(stdout)?.[1])
  assert.ok(share < 100, 'the range came before the rest')
  assert.match(stdout, /is complete/)
  assert.match(stdout, /20000000 bytes, identical/)
})

test('the example configuration is one that the daemon takes', () => {
  const options = resolveDaemonOptions({ config: `${EXAMPLES}daemon.json`, flags: { 'state-dir': '/nowhere' } })
  assert.equal(options.limits.quotaBytes, 200_000_000_000)
  assert.equal(options.limits.schedule[0]?.maxActiveDownloads, 10)
})

test('the compose file sets options by variables that the daemon knows', async () => {
  const text = await readFile(`${EXAMPLES}compose.yaml`, 'utf8')
  const env = Object.fromEntries(
    [...text.matchAll(/^ {6}(SWARM_\w+): (.*)$/gm)].map(match => [match[1] as string, match[2] as string])
  )
  assert.equal(Object.keys(env).length, 8)
  const { SWARM_TOKEN_FILE: _, ...rest } = env
  const options = resolveDaemonOptions({ env: { ...rest, SWARM_TOKEN: '0123456789abcdef' } })
  assert.deepEqual(options.http, { host: '0.0.0.0', port: 8421 })
  assert.equal(options.completeDir, '/data/complete')
  assert.equal(options.stateDir, '/data/state')
})
