import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { boundSeconds, oneServerSeconds, resolveExperiment, SCENARIOS } from '../../bench/fleet/experiment.ts'
import { congestionCommands, lineSplitter, parseHtbBytes } from '../../bench/fleet/lab.ts'
import { percentile } from '../../bench/fleet/report.ts'

const values = {
  nodes: '8',
  rate: '20mbit',
  size: '32MiB',
  piece: '256KiB',
  scenario: 'flash-crowd',
  symmetric: false,
  cold: false,
  congestion: 'cubic',
  seed: '1'
}

test('The bound is the time of one file over one uplink and the last pieces of a doubling', () => {
  const experiment = resolveExperiment(values)
  const fileSeconds = (32 * 2 ** 20 * 8) / 20e6
  assert.equal(boundSeconds(experiment), fileSeconds * (1 + 3 / 128))
  assert.equal(oneServerSeconds(experiment), 8 * fileSeconds)
})

test("Congestion control is set on the route to the other hosts, and on no other; the machine's own stays when asked", () => {
  const routes = [
    { dst: 'default', gateway: '10.1.0.1', dev: 'eth0', flags: [] },
    { dst: '10.1.0.0/16', protocol: 'kernel', scope: 'link', prefsrc: '10.1.0.2', flags: [] }
  ]
  assert.deepEqual(
    congestionCommands(JSON.stringify(routes), 'eth0', 'cubic').map(command => command.join(' ')),
    ['route replace 10.1.0.0/16 dev eth0 proto kernel scope link src 10.1.0.2 congctl cubic']
  )
  assert.equal(resolveExperiment(values).congestionControl, 'cubic')
  assert.equal(resolveExperiment({ ...values, congestion: 'machine' }).congestionControl, undefined)
})

test('What cannot be run is refused with the option and the value named', () => {
  for (const [name, value] of Object.entries({
    nodes: '0',
    rate: 'fast',
    size: '-1',
    piece: 'x',
    scenario: 'none',
    seed: '1.5'
  })) {
    assert.throws(
      () => resolveExperiment({ ...values, [name]: value }),
      err => err instanceof RangeError && err.message.includes(value)
    )
  }
})

test('Every scenario heals what it breaks: who is killed is started again or is the seeder, and partitions end', () => {
  for (const { name, steps } of SCENARIOS) {
    const actions = steps.map(step => step.action.type)
    if (actions.includes('killLeechers')) assert.ok(actions.indexOf('restartKilled') > actions.indexOf('killLeechers'), name)
    if (actions.includes('partition')) assert.ok(actions.indexOf('heal') > actions.indexOf('partition'), name)
  }
})

test('A percentile is one of the values, and so many of them lie at or below it', () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (numbers, share) => {
      const found = percentile(numbers, share)
      assert.ok(found !== undefined && numbers.includes(found))
      assert.ok(numbers.filter(number => number <= found).length >= share * numbers.length)
    })
  )
  assert.equal(percentile([], 0.5), undefined)
})

test('Lines are told whole, however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[^\n]*$/)), fc.integer({ min: 1, max: 7 }), (lines, step) => {
      const heard: string[] = []
      const push = lineSplitter(line => heard.push(line))
      const bytes = Buffer.from(lines.map(line => `${line}\n`).join(''))
      for (let at = 0; at < bytes.length; at += step) push(bytes.subarray(at, at + step))
      assert.deepEqual(
        heard,
        Buffer.from(lines.join('\n')).toString() === '' && lines.length === 0
          ? []
          : lines.map(line => Buffer.from(line).toString())
      )
    })
  )
})

test('The bytes of a capped link are those of its shaper', () => {
  assert.equal(parseHtbBytes('[{"kind":"htb","bytes":17},{"kind":"pfifo","bytes":5}]'), 17)
  assert.equal(parseHtbBytes('[{"kind":"noqueue"}]'), undefined)
})
