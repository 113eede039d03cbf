/**
 * Many files are forced to disk by one call of the system's `sync -f`, and one by one where it is missing
 * or fails.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { openFileStore } from '../../src/store/download/file-store.ts'
import { closeAfter, fill, folderContent, hash, tempFolder } from './fixtures.ts'

const FILES = 1100
const CONTENT = folderContent(Object.fromEntries(Array.from({ length: FILES }, (_, n) => [`d${n % 3}/f${n}`, 50 + (n % 100)])))
const SKIP = process.platform === 'linux' ? false : 'only on Linux a thread writes many files'

/** A download of all files with that `sync` first in the path; how many files were forced one by one. */
async function flushedAlone(t: TestContext, folder: string, path: string): Promise<number> {
  const output = join(folder, 'out')
  const store = await openFileStore({ manifest: CONTENT.manifest, output, stateDir: join(folder, 'state'), hash })
  closeAfter(t, store)
  const flushes = t.mock.method(fs, 'fdatasync')
  const { PATH } = process.env
  process.env.PATH = path
  try {
    await fill(store, CONTENT)
    await store.finish()
  } finally {
    process.env.PATH = PATH
    flushes.mock.restore()
  }
  for (const file of CONTENT.files) assert.deepEqual(await readFile(join(output, file.path)), Buffer.from(file.bytes))
  return flushes.mock.callCount()
}

async function toolFolder(folder: string, script: string | undefined): Promise<string> {
  const tools = join(folder, 'tools')
  await mkdir(tools)
  if (script !== undefined) await writeFile(join(tools, 'sync'), script, { mode: 0o755 })
  return tools
}

for (const [what, script] of [
  ['is missing', undefined],
  ['fails', '#!/bin/sh\nexit 1\n'],
  ['is no program', 'no program']
] as const) {
  it(`every file of a download is forced to disk by itself where sync ${what}`, { skip: SKIP }, async t => {
    const folder = await tempFolder(t)
    const alone = await flushedAlone(t, folder, await toolFolder(folder, script))
    assert.ok(alone >= FILES, `${alone} of ${FILES} files`)
  })
}

it('a sync that works is asked for the file system of the download, and files are not forced again', { skip: SKIP }, async t => {
  const folder = await tempFolder(t)
  const said = join(folder, 'said')
  const tools = await toolFolder(folder, `#!/bin/sh\necho "$@" >> ${said}\n`)
  const alone = await flushedAlone(t, folder, tools)
  assert.ok(alone < FILES / 10, `${alone} files`)
  for (const line of (await readFile(said, 'utf8')).trim().split('\n')) assert.equal(line, `-f ${join(folder, 'out.part')}`)
})
