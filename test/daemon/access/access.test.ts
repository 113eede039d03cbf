import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FailedLogins } from '../../../src/daemon/access/failed-logins.ts'
import { SESSION_MS, Sessions } from '../../../src/daemon/access/sessions.ts'
import { TokenStore } from '../../../src/daemon/access/tokens.ts'

test('failed logins cost more the more there are, up to a minute, are forgotten after ten, and do not fill the memory', () => {
  const logins = new FailedLogins()
  for (let failure = 0; failure < 10; failure++) logins.failed('a', 0)
  assert.equal(logins.waitMs('a', 0), 0)
  logins.failed('a', 0)
  assert.equal(logins.waitMs('a', 0), 1000)
  for (let failure = 0; failure < 20; failure++) logins.failed('a', 0)
  assert.equal(logins.waitMs('a', 0), 60_000)
  assert.equal(logins.waitMs('b', 0), 0)
  logins.failed('a', 700_001)
  assert.equal(logins.waitMs('a', 700_001), 0)
  for (let failure = 0; failure < 11; failure++) logins.failed('first', 700_001)
  for (let address = 0; address < 10_000; address++) logins.failed(String(address), 700_002)
  assert.equal(logins.waitMs('first', 700_002), 0)
})

test('a session ends after half a day, and the oldest of too many gives way', () => {
  const sessions = new Sessions()
  const first = sessions.begin('t', 0)
  assert.equal(sessions.tokenOf(first, SESSION_MS - 1), 't')
  assert.equal(sessions.tokenOf(first, SESSION_MS), undefined)
  for (let other = 0; other < 1000; other++) sessions.begin('t', 1)
  assert.equal(sessions.tokenOf(first, 2), undefined)
  const code = sessions.newCode('t', 0)
  assert.equal(sessions.useCode(code, 60_000), undefined)
})

test('a store of tokens that cannot be read is said, and not begun again', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'swarm-access-'))
  t.after(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'state'))
  await writeFile(join(folder, 'state', 'tokens.json'), '{')
  assert.throws(() => new TokenStore(join(folder, 'state')), { code: 'store_error' })
})
