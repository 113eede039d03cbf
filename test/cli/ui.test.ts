import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bar, printable, Ui, type UiOptions } from '../../src/cli/ui.ts'

/** A Ui that writes into strings, with a clock that the test moves. */
function capture(options: Partial<UiOptions> & { isTTY?: boolean } = {}) {
  const written = { out: '', err: '', nowMs: 0 }
  const ui = new Ui({
    json: false,
    quiet: false,
    verbose: false,
    stdout: { write: text => (written.out += text) },
    stderr: { write: text => (written.err += text), isTTY: options.isTTY ?? false },
    nowMs: () => written.nowMs,
    ...options
  })
  return { ui, written }
}

describe('Ui', () => {
  it('writes results to stdout and remarks to stderr', () => {
    const { ui, written } = capture()
    ui.result('root abc')
    ui.remark('looking for peers')
    ui.event('ignored')
    assert.deepEqual([written.out, written.err], ['root abc\n', 'looking for peers\n'])
  })

  it('writes nothing but one object per line with --json', () => {
    const { ui, written } = capture({ json: true })
    ui.result('hidden')
    ui.remark('hidden')
    ui.warning('hidden')
    ui.essential('hidden')
    ui.event('created', { name: 'a\nb' })
    ui.progress(
      () => ['hidden'],
      () => ({ bytesDone: 1 })
    )
    assert.deepEqual(
      written.out
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line)),
      [
        { event: 'created', name: 'a\nb' },
        { event: 'progress', bytesDone: 1 }
      ]
    )
    assert.equal(written.err, '')
  })

  it('leaves the essential line and errors with --quiet', () => {
    const { ui, written } = capture({ quiet: true })
    ui.result('hidden')
    ui.remark('hidden')
    ui.detail('hidden')
    ui.progress(
      () => ['hidden'],
      () => ({}),
      true
    )
    ui.essential('swarm:abc')
    ui.warning('disk full')
    assert.deepEqual([written.out, written.err], ['swarm:abc\n', 'swarm: disk full\n'])
  })

  it('redraws live lines in place on a terminal, at most ten times a second, and keeps other output above them', () => {
    const { ui, written } = capture({ isTTY: true })
    const show = (text: string): void =>
      ui.progress(
        () => [text, 'waiting: nobody'],
        () => ({})
      )
    show('first')
    show('too soon')
    assert.match(written.err, /first\nwaiting: nobody/)
    assert.doesNotMatch(written.err, /too soon/)
    written.err = ''
    ui.remark('a remark')
    assert.equal(written.err, '\x1b[1A\r\x1b[Ja remark\n\r\x1b[J\x1b[?7lfirst\nwaiting: nobody\x1b[?7h')
    written.err = ''
    ui.clear()
    assert.equal(written.err, '\x1b[1A\r\x1b[J')
    ui.clear()
    assert.equal(written.err, '\x1b[1A\r\x1b[J', 'nothing left to clear')
  })

  it('writes a plain line every five seconds where there is no terminal, and none for a short job', () => {
    const { ui, written } = capture()
    for (let ms = 0; ms <= 12_000; ms += 100) {
      written.nowMs = ms
      ui.progress(
        () => [`at ${ms}`],
        () => ({})
      )
    }
    assert.equal(written.err, 'at 5000\nat 10000\n')
  })

  it('takes control characters out of what comes from outside', () => {
    const { ui, written } = capture()
    ui.result('name \x1b[2J\x07\u202egnp.exe')
    assert.equal(written.out, 'name \ufffd[2J\ufffd\ufffdgnp.exe\n')
    assert.equal(printable('größe 数据 🙂'), 'größe 数据 🙂')
  })

  it('draws a bar that is full only at the end', () => {
    assert.equal(bar(0, 4), '[----]')
    assert.equal(bar(0.5, 4), '[##--]')
    assert.equal(bar(0.99, 4), '[###-]')
    assert.equal(bar(7, 4), '[####]')
  })
})
