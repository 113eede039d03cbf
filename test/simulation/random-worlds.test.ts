import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { drawWorld } from '../../src/sim/random-worlds.ts'
import { commandOf, SimulationFailure, simulate } from '../../src/sim/run.ts'

/** Worlds in one run; SWARM_WORLDS=1000 runs more, SWARM_WORLDS_FROM starts elsewhere. */
const WORLDS = Number(process.env.SWARM_WORLDS ?? 200)
const FROM = Number(process.env.SWARM_WORLDS_FROM ?? 0)

/** Runs the world of one seed under all checkers; the failure says how to repeat it. */
function runWorld(seed: string): void {
  try {
    const result = simulate(drawWorld(seed))
    assert.equal(result.completed, result.measured, `world ${seed}: not all completed`)
  } catch (err) {
    if (err instanceof SimulationFailure) assert.fail(`world ${seed}: ${err.message}\n  ${commandOf(err.options)}`)
    throw err
  }
}

describe('random worlds', () => {
  it('complete under all checkers for seeds that failed before', async () => {
    const text = await readFile(new URL('regressions.json', import.meta.url), 'utf8')
    for (const seed of (JSON.parse(text) as { random: string[] }).random) runWorld(seed)
  })

  it(`complete under all checkers for ${WORLDS} seeds`, () => {
    for (let i = 0; i < WORLDS; i++) runWorld(String(FROM + i))
  })
})
