import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { crashContent } from './crash-content.ts'
import { tempFolder } from './fixtures.ts'

const CHILD = fileURLToPath(new URL('crash-child.ts', import.meta.url))

interface Run {
  found: Set<number>
  wrote: Set<number>
  isFinished: boolean
}

/** Runs the child until it has told `lines` lines, then kills it with no chance to tidy. */
async function runAndKill(args: string[], lines: number): Promise<Run> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, ...args, String(lines + 5)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = new Promise(resolve => child.once('close', resolve))
  const run: Run = { found: new Set(), wrote: new Set(), isFinished: false }
  let told = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, rest] = line.split(' ')
    if (word === 'found') for (const piece of (rest ?? '').split(',').filter(Boolean)) run.found.add(Number(piece))
    else if (word === 'wrote') run.wrote.add(Number(rest))
    else if (word === 'finished') run.isFinished = true
    if (++told === lines) child.kill('SIGKILL')
  }
  await ended
  return run
}

for (const kind of ['file', 'folder', 'folder of many files']) {
  it(`a ${kind} download killed again and again finds every piece that was written and ends identical`, async t => {
    const folder = await tempFolder(t)
    const output = join(folder, 'out')
    const content = crashContent(kind)
    if (kind !== 'file') {
      // Into an existing folder: the finish moves file by file and can be killed in between, too.
      await fs.mkdir(output)
      await fs.writeFile(join(output, 'already here'), 'mine')
    }
    const written = new Set<number>()
    let run: Run
    let kills = -1
    do {
      kills++
      run = await runAndKill(
        [output, join(folder, 'state'), kind, String(kills + 11)],
        (kind === 'folder of many files' ? 10 : 20) + ((kills * 13) % 30)
      )
      for (const piece of written) assert.ok(run.found.has(piece), `piece ${piece} was written before kill ${kills} and is lost`)
      for (const piece of run.wrote) written.add(piece)
    } while (!run.isFinished)
    t.diagnostic(`${kills} kills`)
    assert.ok(kills >= 4)
    // The last run may itself have been killed after it told that it finished.
    for (const file of content.files)
      assert.deepEqual(await fs.readFile(join(output, file.path)), Buffer.from(file.bytes), file.path)
    if (kind !== 'file') assert.equal(await fs.readFile(join(output, 'already here'), 'utf8'), 'mine')
    await assert.rejects(fs.stat(`${output}.part`), { code: 'ENOENT' })
  })
}
