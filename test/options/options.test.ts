/**
 * One table makes flags, environment, file, checks, help, documents and schema.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { Command } from 'commander'
import { optionDocuments } from '../../scripts/option-docs.ts'
import { dropUnset, flagValue, withOptions } from '../../src/cli/options.ts'
import { resolveDaemonOptions } from '../../src/daemon/options.ts'
import { InvalidOptionsError } from '../../src/errors.ts'
import { resolveNodeOptions } from '../../src/node/options.ts'
import { configSchema, configTable, flagTable } from '../../src/options/documents.ts'
import { environmentName, parseValue, specOf } from '../../src/options/kinds.ts'
import type { OptionSpec } from '../../src/options/spec.ts'
import { OPTIONS } from '../../src/options/table.ts'
import { configurable, resolveValues } from '../../src/options/values.ts'
import { DEFAULT_SIMULATION_OPTIONS } from '../../src/sim/options.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** What a command of commander says to arguments. */
function parse(args: string[], taker: 'get' | 'daemon', table: readonly OptionSpec[] = OPTIONS): object {
  const quiet = { writeErr: () => {}, writeOut: () => {} }
  return withOptions(new Command('x').exitOverride().configureOutput(quiet), taker, table).parse(args, { from: 'user' }).opts()
}

describe('the table of options', () => {
  const takersOf = (name: string) => OPTIONS.filter(spec => spec.name === name).flatMap(({ takers }) => takers)

  test('has each name once for each command, and a default within its own range', () => {
    for (const spec of OPTIONS) {
      const takers = takersOf(spec.name)
      assert.equal(new Set(takers).size, takers.length, spec.name)
      if (spec.default !== undefined) parseValue(spec, spec.default, spec.name)
    }
    assert.equal(environmentName('max-downloads'), 'SWARM_MAX_DOWNLOADS')
  })

  test('refuses both ends of every range of a number by name, value and range', () => {
    for (const spec of OPTIONS) {
      if (spec.kind !== 'count') continue
      const [min, max] = [Number(spec.min), Number(spec.max)]
      for (const good of [min, max]) assert.ok(parseValue(spec, good, spec.name) !== undefined)
      for (const bad of [min - 1, max + 1]) {
        const says = new RegExp(`${spec.name}: ${bad} .*from ${min} to ${max}$`)
        assert.throws(() => parseValue(spec, bad, spec.name), says)
      }
    }
  })

  test('says the same of a value out of range to a command, the daemon, its variable and a program', () => {
    const range = /from 1 to 1000/
    for (const taker of ['get', 'daemon'] as const) {
      assert.throws(() => parse(['--max-neighbours', '1001'], taker), /--max-neighbours.*'1001'.*from 1 to 1000/)
    }
    assert.throws(() => parse(['--origin-connections', '17'], 'get'), /--origin-connections.*'17'.*from 1 to 16/)
    const env = { SWARM_MAX_NEIGHBOURS: '1001' }
    assert.throws(() => resolveDaemonOptions({ env }), /SWARM_MAX_NEIGHBOURS: "1001".*from 1 to 1000/)
    assert.throws(() => resolveNodeOptions({ maxNeighbours: 1001 }), range)
    assert.throws(() => resolveNodeOptions({ origin: { connections: 17 } }), /from 1 to 16/)
  })

  test('holds labels to the same rule everywhere', () => {
    for (const label of ['1=a', '=a', 'zone', 'zo ne=a']) {
      assert.throws(() => parseValue(specOf('label'), [label], 'label'), /key=value/, label)
      assert.throws(() => parse(['--label', label], 'get'), /key=value/, label)
    }
    assert.throws(() => resolveNodeOptions({ labels: { '1': 'a' } }), /labels: "1=a".*key=value/)
    assert.deepEqual(resolveDaemonOptions({ flags: { label: ['zone=a,rack=b'] } }).node.labels, { zone: 'a', rack: 'b' })
  })

  test('has the defaults of the simulator', () => {
    const standard = (name: string) => {
      const spec = OPTIONS.find(each => each.name === name && each.takers.includes('simulate')) ?? assert.fail(name)
      return parseValue(spec, spec.default, name)
    }
    const { nodes, contentBytes, uplink, latencyMs, jitter, links, scenario, seed } = DEFAULT_SIMULATION_OPTIONS
    assert.deepEqual(['nodes', 'size', 'uplink', 'latency', 'jitter', 'links', 'scenario', 'seed'].map(standard), [
      nodes,
      contentBytes,
      uplink,
      latencyMs,
      jitter,
      links,
      scenario,
      seed
    ])
  })

  test('never shows a secret, and refuses it on the command line', () => {
    assert.throws(() => parse(['--token', 'secret-secret-secret'], 'get'), /--token-file/)
    assert.throws(
      () => resolveValues({ env: { SWARM_TOKEN: 'x' }, flags: { token: 7 } }),
      err => err instanceof Error && /what is there/.test(err.message) && !/7/.test(err.message)
    )
  })

  test('takes a no of the environment from commands, and leaves it to the daemon to overrule its file', () => {
    const env: NodeJS.ProcessEnv = { SWARM_WATCH: '0', SWARM_QUIET: 'no', SWARM_NO_DHT: 'false', SWARM_LISTEN: '' }
    const daemon = { ...env }
    dropUnset(daemon, true)
    assert.deepEqual(daemon, { SWARM_WATCH: '0', SWARM_NO_DHT: 'false', SWARM_LISTEN: '' })
    assert.equal(resolveDaemonOptions({ flags: { watch: true }, env: daemon }).watch, true)
    assert.equal(resolveDaemonOptions({ env: daemon }).watch, false)
    dropUnset(env, false)
    assert.deepEqual(env, {})
  })
})

describe('a made-up option', () => {
  const table: OptionSpec[] = [
    {
      name: 'made-up',
      kind: 'count',
      value: 'n',
      min: '2',
      max: '5',
      default: '3',
      takers: ['get', 'daemon'],
      text: 'what nobody needs'
    }
  ]
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-options-'))
  })
  after(() => rm(folder, { recursive: true }))

  test('is a flag with its help from its entry alone', () => {
    assert.equal(flagValue(parse(['--made-up', '4'], 'get', table), 'made-up'), 4)
    assert.equal(flagValue(parse(['--made-up', '4'], 'daemon', table), 'made-up'), '4')
    assert.throws(() => parse(['--made-up', '6'], 'get', table), /--made-up.*'6'.*from 2 to 5/)
    const help = withOptions(new Command('x'), 'get', table).helpInformation()
    assert.match(help, /--made-up <n>\s+what nobody needs \(2 to 5; default: 3\)/)
  })

  test('comes from flag, environment, file or default, in this order', async () => {
    const config = join(folder, 'made-up.json')
    await writeFile(config, JSON.stringify({ $schema: 'config.schema.json', 'made-up': 4 }))
    const env = { SWARM_MADE_UP: '5' }
    assert.equal(resolveValues({ flags: { 'made-up': '2' }, env, config }, table).get('made-up'), 2)
    assert.equal(resolveValues({ env, config }, table).get('made-up'), 5)
    assert.equal(resolveValues({ config }, table).get('made-up'), 4)
    assert.equal(resolveValues({}, table).get('made-up'), 3)
    await writeFile(config, '{"made-up": 6}')
    assert.throws(() => resolveValues({ config }, table), /made-up\.json: made-up: 6 .*from 2 to 5/)
  })

  test('is in both tables and the schema', () => {
    assert.match(flagTable(table), /\| `--made-up` \| get \| n, from 2 to 5 \| 3 \| what nobody needs \|/)
    assert.match(configTable(table), /\| `made-up` \| n, from 2 to 5 \| 3 \| what nobody needs \|/)
    const isGood = new Ajv2020({ allowUnionTypes: true }).compile(configSchema(table))
    assert.deepEqual(
      [{ 'made-up': 5 }, { 'made-up': 6 }, { 'made-down': 5 }].map(json => isGood(json)),
      [true, false, false]
    )
  })
})

describe('documents', () => {
  test("are as the table says; 'npm run options' writes them", () => {
    for (const { path, text } of optionDocuments()) assert.equal(readFileSync(join(ROOT, path), 'utf8'), text, path)
  })

  test('the schema takes the configuration of the example and the defaults, and refuses what the daemon refuses', () => {
    const schema = JSON.parse(readFileSync(join(ROOT, 'docs', 'config.schema.json'), 'utf8'))
    const isGood = new Ajv2020({ allowUnionTypes: true }).compile(schema)
    const example = JSON.parse(readFileSync(join(ROOT, 'examples', 'daemon', 'daemon.json'), 'utf8'))
    assert.ok(isGood(example), JSON.stringify(isGood.errors))
    for (const spec of configurable(OPTIONS)) {
      if (spec.default !== undefined) assert.ok(isGood({ [spec.name]: spec.default }), spec.name)
    }
    for (const json of [
      { 'max-downloads': 0 },
      { 'max-neighbours': 1001 },
      { 'origin-connections': 17 },
      { 'log-level': 'loud' },
      { policy: '' },
      { watch: 'perhaps' },
      { 'uplaod-limit': '1MB' },
      { listen: [4001] }
    ]) {
      assert.equal(isGood(json), false, JSON.stringify(json))
      const [[name, value]] = Object.entries(json) as [[string, unknown]]
      if (name !== 'uplaod-limit')
        assert.throws(() => resolveDaemonOptions({ flags: { [name]: value } }), InvalidOptionsError, name)
    }
  })
})
