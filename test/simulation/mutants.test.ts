import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { SimulationOptions } from '../../src/sim/options.ts'
import type * as RunModule from '../../src/sim/run.ts'

/** A way to break the engine, and the checker that must notice. */
interface Mutant {
  title: string
  file: string
  find: string
  replace: string
  options: Partial<SimulationOptions>
  caughtBy: RegExp
}

const BASE: Partial<SimulationOptions> = {
  nodes: 16,
  contentBytes: 32 * 65_536,
  pieceLength: 65_536,
  uplink: 2_500_000,
  seed: '7'
}

const MUTANTS: Mutant[] = [
  {
    title: 'drops a `have`',
    file: 'engine/news.ts',
    find: "if (neighbours > 0) this.#tellAll('have', haves)",
    replace: "if (neighbours > 0 && !haves.includes(3)) this.#tellAll('have', haves)",
    // The swarm lives longer than the checker waits.
    options: { ...BASE, uplink: 500_000 },
    caughtBy: /tells-neighbours/
  },
  {
    title: 'forgets a timeout',
    file: 'engine/download/downloader.ts',
    find: 'if (elapsedMs >= timeoutMs(download, pace, state.options)) {',
    replace: 'if (elapsedMs >= 1e9) {',
    options: { ...BASE, uplink: 50_000, scenario: 'silent', engine: { maxRequestTimeoutMs: 2000, firstRequestTimeoutMs: 2000 } },
    caughtBy: /requests-settle: .* waits for|did not complete/
  },
  {
    title: 'doubles a request',
    file: 'engine/download/downloader.ts',
    find: "{ type: 'request', pieces: list, urgent: false }",
    replace: "{ type: 'request', pieces: [...list, ...list], urgent: false }",
    options: BASE,
    caughtBy: /requests-settle: .* twice/
  },
  {
    title: 'serves what is not verified',
    file: 'engine/pieces/events.ts',
    find: 'this.#parts.downloader.pullNext(neighbour, nowMs)',
    replace: 'this.#handleVerified(piece)',
    options: BASE,
    caughtBy: /verified-first/
  },
  {
    title: 'never ends a ban',
    file: 'engine/discovery/neighbours.ts',
    find: 'if (untilMs > nowMs) return true',
    replace: 'if (untilMs > 0) return true',
    options: { ...BASE, nodes: 20, scenario: 'corrupters', engine: { banMs: 500 } },
    caughtBy: /bans-end/
  }
]

describe('the checkers of the simulator', () => {
  const source = fileURLToPath(new URL('../../src/', import.meta.url))
  let folder: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-mutants-'))
  })

  after(() => rm(folder, { recursive: true, force: true }))

  /** The simulator on a copy of the sources with one line changed. */
  async function load(name: string, mutant?: Mutant): Promise<typeof RunModule> {
    const copy = join(folder, name)
    for (const part of ['util', 'content', 'wire', 'engine', 'sim', 'errors.ts']) {
      await cp(join(source, part), join(copy, part), { recursive: true })
    }
    await writeFile(join(copy, 'package.json'), '{"type":"module"}')
    if (mutant !== undefined) {
      const file = join(copy, mutant.file)
      const text = await readFile(file, 'utf8')
      assert.ok(text.includes(mutant.find), `${mutant.file} no longer contains: ${mutant.find}`)
      await writeFile(file, text.replace(mutant.find, mutant.replace))
    }
    return import(pathToFileURL(join(copy, 'sim/run.ts')).href)
  }

  it('find nothing wrong with the engine as it is', async () => {
    const { simulate } = await load('intact')
    for (const { options } of MUTANTS) simulate(options)
  })

  for (const [index, mutant] of MUTANTS.entries()) {
    it(`catch an engine that ${mutant.title}`, async () => {
      const { simulate } = await load(`mutant${index}`, mutant)
      assert.throws(() => simulate(mutant.options), mutant.caughtBy)
    })
  }
})
