/** Whole fleets in namespaces, small ones: that they run, that they end, and that they leave nothing. */

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Report } from '../../bench/fleet/report.ts'
import { sandboxFault } from '../../bench/fleet/sandbox.ts'

const MAIN = fileURLToPath(new URL('../../bench/fleet/main.ts', import.meta.url))
const fault = await sandboxFault()
const options = fault === undefined ? {} : { skip: fault }

function start(out: string, ...args: string[]): ChildProcess {
  const small = ['--nodes', '3', '--size', '2MiB', '--piece', '64KiB', '--rate', '20mbit', '--out', out]
  return spawn(process.execPath, [MAIN, 'netns', ...small, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Processes whose command line names this folder: the rig itself, inner and outer. */
async function processesNaming(text: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    const line = /^\d+$/.test(pid) ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') : ''
    if (line.includes(text)) found.push(pid)
  }
  return found
}

test('A fleet that lost its seeder ends complete and verified, and says so in JSON', options, async t => {
  const out = await mkdtemp(join(tmpdir(), 'rig-test-'))
  t.after(() => rm(out, { recursive: true, force: true }))
  const rig = start(out, '--scenario', 'kill-seeder', '--json')
  let printed = ''
  rig.stdout?.on('data', chunk => {
    printed += String(chunk)
  })
  const [code] = await once(rig, 'close')
  assert.equal(code, 0, printed)
  const { runs } = JSON.parse(printed) as Report
  assert.deepEqual(
    runs[0]?.nodes.map(node => node.intact),
    [true, true, true]
  )
  assert.match(runs[0]?.log.join('\n') ?? '', /killed the seeder/)
  assert.deepEqual((await readdir(out)).sort(), ['completion.svg', 'report.json', 'report.md', 'sources.svg'])
})

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`A fleet whose rig gets ${signal} leaves no process`, options, async t => {
    const out = await mkdtemp(join(tmpdir(), 'rig-test-'))
    t.after(() => rm(out, { recursive: true, force: true }))
    const rig = start(out, '--rate', '1mbit')
    // The first line on stderr is the live view: everything is up.
    assert.ok(rig.stderr)
    await once(rig.stderr, 'data')
    assert.ok((await processesNaming(out)).length > 0)
    const closed = once(rig, 'close')
    rig.kill(signal)
    await closed
    for (let left = await processesNaming(out); left.length > 0; left = await processesNaming(out)) {
      await new Promise(resolve => setImmediate(resolve))
    }
  })
}

test('An option that cannot be is refused before anything is made', async () => {
  const rig = spawn(process.execPath, [MAIN, 'netns', '--nodes', 'many'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  rig.stderr.on('data', chunk => {
    said += String(chunk)
  })
  assert.deepEqual(await once(rig, 'close'), [2, null])
  assert.match(said, /--nodes must be a whole number/)
})
