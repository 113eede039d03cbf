import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { runCli } from './run-cli.ts'

describe('swarm daemon --check-config', () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-check-'))
  })
  after(() => rm(folder, { recursive: true }))

  const check = async (json: object) => {
    const config = join(folder, 'daemon.json')
    await writeFile(config, JSON.stringify(json))
    return runCli(['daemon', '--check-config', '--config', config, '--state-dir', join(folder, 'state')])
  }

  it('ends with 0 when everything is good, and starts and writes nothing', async () => {
    const { code, stdout, stderr } = await check({ 'max-downloads': 5, watch: true })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /are good/)
    assert.deepEqual(await readdir(folder), ['daemon.json'])
  })

  it('ends with 2 and names file, option, value and range of what is not', async () => {
    const { code, stderr } = await check({ 'max-downloads': 0 })
    assert.equal(code, 2)
    assert.match(stderr, /daemon\.json: max-downloads: 0 cannot be used; give a whole number from 1 to 1000/)
  })

  it('refuses a flag out of range in the same words as other commands', async () => {
    for (const args of [
      ['daemon', '--check-config'],
      ['get', 'x']
    ]) {
      const { code, stderr } = await runCli([...args, '--max-neighbours', '1001'])
      assert.equal(code, 2)
      assert.match(stderr, /'--max-neighbours <n>' argument '1001' is invalid\. Give a whole number from 1 to 1000\./)
    }
  })
})
