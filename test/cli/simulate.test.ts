import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { runCli, temporaryFolder } from './run-cli.ts'

const SMALL = ['simulate', '--nodes', '8', '--size', '2MiB', '--piece-length', '64KiB']

describe('swarm simulate', () => {
  it('gives the same figures for the same seed, others for another, and says how to repeat the run', async () => {
    const [first, again, other] = await Promise.all([
      runCli([...SMALL, '--seed', '7', '--json']),
      runCli([...SMALL, '--seed', '7', '--json']),
      runCli([...SMALL, '--seed', '8', '--json'])
    ])
    const figures = (run: typeof first): string => JSON.stringify(run.events.find(({ event }) => event === 'simulated'))
    assert.equal(first.code, 0)
    assert.equal(figures(first), figures(again))
    assert.notEqual(figures(first), figures(other))
    const simulated = JSON.parse(figures(first))
    assert.equal(simulated.completed, 8)
    assert.ok(simulated.ratio >= 1)
    const repeated = await runCli([...simulated.command.split(' ').slice(1), '--json'])
    assert.equal(figures(repeated), figures(first))
  })

  it('draws completion, copies and uplink use with the bound', async () => {
    await using folder = await temporaryFolder()
    const { code, stdout } = await runCli([...SMALL, '--plot', folder.join('out.svg')])
    assert.equal(code, 0)
    assert.match(stdout, /of the bound/)
    const svg = await readFile(folder.join('out.svg'), 'utf8')
    assert.match(svg, /^<svg/)
    assert.match(svg, /bound/)
  })

  it('says what misbehaving peers cost the others, and how to repeat that', async () => {
    const { code, stdout } = await runCli([...SMALL, '--misbehaving', 'mute:1,slow:1:20'])
    assert.equal(code, 0)
    assert.match(stdout, /at worst +n\d takes \d+\.\d\d s, alone \d+\.\d\d s/)
    const { events } = await runCli([...SMALL, '--misbehaving', 'mute:1,slow:1:20', '--json'])
    const simulated = events.find(({ event }) => event === 'simulated') as unknown as {
      beside: { costs: unknown[]; allowedRatio: number }
    }
    assert.equal(simulated.beside.costs.length, 8)
    assert.equal(simulated.beside.allowedRatio, 2)
  })

  it('refuses a scenario that it does not know and sizes that cannot be', async () => {
    for (const flags of [
      ['--scenario', 'utopia'],
      ['--size', '-1'],
      ['--nodes', '0'],
      ['--jitter', '2'],
      ['--piece-length', '1000'],
      ['--misbehaving', 'mute:0']
    ]) {
      const { code, stderr } = await runCli(['simulate', ...flags])
      assert.equal(code, 2, flags.join(' '))
      assert.match(stderr, new RegExp(flags[0] as string))
    }
  })
})
