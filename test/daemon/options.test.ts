import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Limits } from '../../src/api/schema/limits.ts'
import { type LimitRule, limitsAt } from '../../src/daemon/limits.ts'
import { resolveDaemonOptions } from '../../src/daemon/options.ts'
import { InvalidOptionsError } from '../../src/errors.ts'
import { parseValue, specOf } from '../../src/options/kinds.ts'

describe('daemon options', () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-options-'))
  })
  after(() => rm(folder, { recursive: true }))

  test('flag over environment over file over default, under one name each', async () => {
    const config = join(folder, 'one-name.json')
    await writeFile(
      config,
      JSON.stringify({ 'upload-limit': '1MB', 'download-limit': '1MB', 'max-downloads': 7, quota: '5GB', folder: ['/a', '/b'] })
    )
    const options = resolveDaemonOptions({
      flags: { 'upload-limit': '3MB' },
      env: { SWARM_UPLOAD_LIMIT: '2MB', SWARM_DOWNLOAD_LIMIT: '2MB', SWARM_LABEL: 'zone=a,rack=b' },
      config
    })
    assert.equal(options.limits.uploadBytesPerSecond, 3_000_000)
    assert.equal(options.limits.downloadBytesPerSecond, 2_000_000)
    assert.equal(options.limits.maxActiveDownloads, 7)
    assert.equal(options.limits.quotaBytes, 5_000_000_000)
    assert.equal(options.http.port, 8421)
    assert.deepEqual(options.folders.slice(1), ['/a', '/b'])
    assert.deepEqual(options.node.labels, { zone: 'a', rack: 'b' })
  })

  test('only on loopback, and without a token, everybody may be let in', () => {
    for (const http of ['0.0.0.0:80', '[::]:80', '10.0.0.1:80', 'example.org:80'])
      assert.throws(() => resolveDaemonOptions({ flags: { http, open: true } }), InvalidOptionsError, http)
    assert.throws(() => resolveDaemonOptions({ flags: { open: true, token: '0123456789abcdef' } }), InvalidOptionsError)
    for (const http of ['127.0.0.1:80', '[::1]:80', 'localhost:80'])
      assert.equal(resolveDaemonOptions({ flags: { http, open: true } }).isOpen, true)
    assert.equal(resolveDaemonOptions().isOpen, false)
  })

  test('beyond loopback it listens only with TLS, or when told that there is none', () => {
    for (const http of ['0.0.0.0:80', '[::]:80', '10.0.0.1:80', 'example.org:80']) {
      assert.throws(() => resolveDaemonOptions({ flags: { http } }), /on the way reads tokens/, http)
      assert.equal(resolveDaemonOptions({ flags: { http, 'insecure-http': true } }).tls, undefined)
      assert.equal(resolveDaemonOptions({ flags: { http, 'tls-self-signed': true } }).tls, 'self-signed')
      assert.deepEqual(resolveDaemonOptions({ flags: { http, 'tls-cert': '/c', 'tls-key': '/k' } }).tls, {
        cert: '/c',
        key: '/k'
      })
    }
    for (const flags of [
      { 'tls-cert': '/c' },
      { 'tls-key': '/k' },
      { 'tls-cert': '/c', 'tls-key': '/k', 'tls-self-signed': true }
    ])
      assert.throws(() => resolveDaemonOptions({ flags }), InvalidOptionsError)
    assert.deepEqual(resolveDaemonOptions({ flags: { http: 'unix:/run/x', 'socket-mode': '660' } }).socket, {
      path: '/run/x',
      mode: 0o660
    })
    assert.throws(() => resolveDaemonOptions({ flags: { http: 'unix:/run/x', 'socket-mode': '9' } }), InvalidOptionsError)
  })

  test('the token may come from a file and may not be short', async () => {
    const file = join(folder, 'token')
    await writeFile(file, 'a-token-of-some-length\nignored\n')
    assert.equal(resolveDaemonOptions({ flags: { 'token-file': file } }).token, 'a-token-of-some-length')
    assert.throws(() => resolveDaemonOptions({ flags: { token: 'short' } }), /16 to 4096/)
    assert.throws(() => resolveDaemonOptions({ flags: { 'token-file': join(folder, 'none') } }), /token-file/)
  })

  for (const [title, flags, pattern] of [
    ['a rate that is none', { 'upload-limit': 'fast' }, /--upload-limit.*rate/],
    ['a count that is none', { 'max-downloads': '-1' }, /--max-downloads.*whole number/],
    ['an address without a port', { http: 'localhost' }, /host:port/],
    ['a port that is none', { http: 'localhost:99999' }, /host:port/],
    ['a level that is none', { 'log-level': 'loud' }, /log-level/],
    ['no place for a download', { 'max-downloads': '0' }, /--max-downloads: "0".*from 1 to 1000/],
    ['too many neighbours', { 'max-neighbours': '1001' }, /--max-neighbours: "1001".*from 1 to 1000/],
    ['too many requests to an origin', { 'origin-connections': 17 }, /--origin-connections: 17.*from 1 to 16/],
    ['no time to stall', { 'stall-timeout': '0' }, /--stall-timeout: "0".*of 1s or more/],
    ['no time for an upload', { 'upload-expiry': '0' }, /--upload-expiry: "0".*of 1s or more/],
    ['too few connections', { 'max-connections': '7' }, /--max-connections: "7".*from 8 to 65535/],
    ['a label whose key is no word', { label: ['1=a'] }, /--label: "1=a".*key=value/],
    ['a rule that is none', { schedule: 'at night' }, /rule/],
    ['a label without a value', { label: ['zone'] }, /key=value/],
    ['a bootstrap address without a peer', { bootstrap: ['/ip4/1.2.3.4/tcp/1'] }, /bootstrap/]
  ] as const) {
    test(`${title} is refused by name before anything starts`, () => {
      assert.throws(
        () => resolveDaemonOptions({ flags }),
        err => err instanceof InvalidOptionsError && pattern.test(err.message)
      )
    })
  }

  test('a file with an unknown option, or that is no JSON, is refused', async () => {
    const config = join(folder, 'bad.json')
    await writeFile(config, '{"uplaod-limit": "1MB"}')
    assert.throws(() => resolveDaemonOptions({ config }), /no option "uplaod-limit"/)
    await writeFile(config, '{')
    assert.throws(() => resolveDaemonOptions({ config }), /cannot be read/)
    assert.throws(() => resolveDaemonOptions({ config: join(folder, 'missing.json') }), /cannot be read/)
  })
})

describe('limits by the hour', () => {
  const parseRule = (text: string) => (parseValue(specOf('schedule'), text, 'schedule') as LimitRule[])[0] ?? assert.fail()
  const base: Limits = {
    maxActiveDownloads: 3,
    maxUploads: 0,
    downloadBytesPerSecond: 1,
    uploadBytesPerSecond: 2,
    quotaBytes: 0,
    schedule: []
  }
  const at = (text: string) => new Date(`2026-11-20T${text}:00`) // a Friday, local time

  test('a rule over midnight holds from its evening to its morning', () => {
    const rule = parseRule('22:00-06:00 download-limit=50MB max-downloads=10')
    const limits = { ...base, schedule: [rule] }
    for (const time of ['22:00', '23:59', '00:00', '05:59'])
      assert.equal(limitsAt(limits, at(time)).downloadBytesPerSecond, 50_000_000, time)
    for (const time of ['06:00', '12:00', '21:59']) assert.equal(limitsAt(limits, at(time)).downloadBytesPerSecond, 1, time)
    assert.deepEqual(limitsAt(limits, at('23:00')), {
      maxActiveDownloads: 10,
      maxUploads: 0,
      downloadBytesPerSecond: 50_000_000,
      uploadBytesPerSecond: 2
    })
  })

  test('days are those on which the hours begin', () => {
    const limits = { ...base, schedule: [parseRule('22:00-06:00 days=5 upload-limit=9MB')] }
    assert.equal(limitsAt(limits, at('23:00')).uploadBytesPerSecond, 9_000_000)
    assert.equal(limitsAt(limits, at('05:00')).uploadBytesPerSecond, 2, 'Friday morning belongs to Thursday')
    assert.equal(limitsAt(limits, new Date('2026-11-21T05:00:00')).uploadBytesPerSecond, 9_000_000, 'Saturday morning to Friday')
  })

  test('the first rule that holds wins, and no rule leaves the base', () => {
    const limits = {
      ...base,
      schedule: [parseRule('08:00-10:00 max-uploads=1'), parseRule('09:00-12:00 max-uploads=2')]
    }
    assert.equal(limitsAt(limits, at('09:30')).maxUploads, 1)
    assert.equal(limitsAt(limits, at('11:00')).maxUploads, 2)
    assert.equal(limitsAt(limits, at('13:00')).maxUploads, 0)
  })

  for (const text of [
    '25:00-06:00 max-uploads=1',
    '22:00-06:00',
    '22:00-06:00 speed=9',
    '22:00-06:00 days=9',
    '22:00-06:00 max-downloads=0',
    'x'
  ]) {
    test(`"${text}" is no rule`, () => assert.throws(() => parseRule(text), InvalidOptionsError))
  }
})
