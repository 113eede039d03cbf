import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { runBundle } from '../../src/cli/code-cache.ts'

const { XDG_CACHE_HOME } = process.env
let folder = ''
let bundle = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'swarm-code-'))
  process.env.XDG_CACHE_HOME = folder
  bundle = join(folder, 'program.cjs')
  await writeFile(bundle, `exports.answer = () => 42 //${'0'.repeat(64)}`)
})

afterEach(async () => {
  if (XDG_CACHE_HOME === undefined) delete process.env.XDG_CACHE_HOME
  else process.env.XDG_CACHE_HOME = XDG_CACHE_HOME
  await rm(folder, { recursive: true })
})

const kept = (): string => join(folder, 'swarm', 'info.code')

function runOnce(): void {
  const { exports, keepCode } = runBundle<{ answer(): number }>(bundle, 'info')
  assert.equal(exports.answer(), 42)
  keepCode()
}

/** As the build does. */
async function layBeside(): Promise<string> {
  runOnce()
  const built = join(folder, 'code', 'info.code')
  await mkdir(join(folder, 'code'))
  await rename(kept(), built)
  return built
}

test('The first run takes the code that the build laid beside the bundle, and keeps none of its own', async () => {
  await layBeside()
  runOnce()
  assert.equal(existsSync(kept()), false)
})

test('Code beside the bundle that is damaged, or of another bundle, is left alone, and the run keeps its own', async () => {
  const built = await layBeside()
  const code = await readFile(built)
  await writeFile(built, Buffer.from(code).fill(0xff, code.length >> 1, (code.length >> 1) + 8))
  runOnce()
  assert.equal(existsSync(kept()), true)
  await rm(kept())
  await writeFile(built, code)
  await writeFile(bundle, `exports.answer = () => 42 //${'1'.repeat(64)}`)
  runOnce()
  assert.equal(existsSync(kept()), true)
})
