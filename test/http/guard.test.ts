/**
 * Who may ask a daemon over HTTP: tokens, sessions, host names, pages of other origins, paths and addresses
 * that clients name.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { findDaemon } from '../../src/api/client/client.ts'
import { readDaemonFile } from '../../src/daemon/daemon-file.ts'
import { isPublicAddress } from '../../src/origin/public-address.ts'
import { raw, type TestDaemon, World } from '../daemon/fixture.ts'

const TOKEN = 'correct-horse-battery'
const JSON_TYPE = { 'content-type': 'application/json' }

describe('who may ask', () => {
  let world: World
  let open: TestDaemon
  let guarded: TestDaemon
  before(async () => {
    world = await World.open()
    open = await world.daemon('open', { 'cors-origin': ['https://console.example'], 'allow-host': ['swarm.internal'] })
    guarded = await world.daemon('guarded', { token: TOKEN })
  })
  after(() => world.close())

  const probe = (daemon: TestDaemon, headers: Record<string, string>) => raw(`${daemon.url}/v1/probe`, { headers })

  test('with a token set nothing of content is told without it, and health is', async () => {
    for (const path of ['/v1/probe', '/v1/tasks', '/v1/openapi.json', '/metrics', `/files/${'0'.repeat(64)}`, '/v1/events']) {
      const reply = await raw(guarded.url + path)
      assert.equal(reply.status, 401, path)
      assert.equal(JSON.parse(reply.body.toString()).code, 'unauthorized')
      assert.equal(reply.headers['www-authenticate'], 'Bearer')
    }
    for (const path of ['/healthz', '/readyz']) assert.equal((await raw(guarded.url + path)).status, 200, path)
    assert.equal((await probe(guarded, { authorization: `Bearer ${TOKEN}` })).status, 200)
    for (const wrong of [`Bearer ${TOKEN}x`, 'Bearer x', 'Bearer', `Basic ${TOKEN}`, TOKEN]) {
      assert.equal((await probe(guarded, { authorization: wrong })).status, 401, wrong)
    }
  })

  test('a wrong token is refused even where none is asked for', async () => {
    assert.equal((await probe(open, {})).status, 200)
    assert.equal((await probe(open, { authorization: 'Bearer guess' })).status, 401)
  })

  test('a browser logs in for a cookie that scripts cannot read and other sites do not send', async () => {
    const wrong = await raw(`${guarded.url}/v1/session`, { method: 'POST', headers: JSON_TYPE, body: '{"token":"guess"}' })
    assert.equal(wrong.status, 401)
    const reply = await raw(`${guarded.url}/v1/session`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ token: TOKEN })
    })
    const [cookie = ''] = reply.headers['set-cookie'] as string[]
    assert.match(cookie, /HttpOnly; SameSite=Strict/)
    assert.ok(!cookie.includes(TOKEN))
    assert.equal((await probe(guarded, { cookie: cookie.split(';')[0] as string })).status, 200)
    assert.equal((await probe(guarded, { cookie: 'swarm_session=x' })).status, 401)
  })

  test('the secret for the commands of the same user is in a file that only they can read', async () => {
    const { stateDir } = guarded.daemon.options
    const { mode } = await stat(join(stateDir, 'daemon.json'))
    assert.equal(mode & 0o077, 0)
    const content = await readDaemonFile(stateDir)
    assert.equal((await probe(guarded, { authorization: `Bearer ${content?.secret}` })).status, 200)
    assert.ok(await findDaemon({ stateDir }))
  })

  test('a name that is not ours in the Host header is refused: a page may have rebound its name to us', async () => {
    const port = new URL(open.url).port
    for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example']) {
      assert.equal((await probe(open, { host })).status, 403, host)
    }
    for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', `[::1]:${port}`, 'SWARM.internal']) {
      assert.equal((await probe(open, { host })).status, 200, host)
    }
  })

  test('a page of another origin can neither read nor write, unless the operator named it', async () => {
    const origin = 'https://evil.example'
    for (const headers of [
      { origin },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' }
    ]) {
      const read = await probe(open, headers as Record<string, string>)
      assert.equal(read.status, 403, JSON.stringify(headers))
      assert.equal(read.headers['access-control-allow-origin'], undefined)
      const write = await raw(`${open.url}/v1/scan`, { method: 'POST', headers: headers as Record<string, string> })
      assert.equal(write.status, 403)
    }
    // What a form can send without asking is not taken as a body.
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const reply = await raw(`${open.url}/v1/tasks`, {
        method: 'POST',
        headers: { 'content-type': type },
        body: '{"seed":"/etc/passwd"}'
      })
      assert.equal(reply.status, 400, type)
    }
    const preflight = await raw(`${open.url}/v1/tasks`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' }
    })
    assert.equal(preflight.status, 403)

    const named = 'https://console.example'
    const allowed = await probe(open, { origin: named, 'sec-fetch-site': 'cross-site' })
    assert.equal(allowed.status, 200)
    assert.equal(allowed.headers['access-control-allow-origin'], named)
    const ask = await raw(`${open.url}/v1/tasks`, {
      method: 'OPTIONS',
      headers: { origin: named, 'access-control-request-method': 'POST' }
    })
    assert.equal(ask.status, 204)
    assert.equal((await probe(open, { origin: open.url, 'sec-fetch-site': 'same-origin' })).status, 200)
    const followed = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
    assert.notEqual((await raw(`${open.url}/`, { headers: followed })).status, 403, 'a person may follow a link to the dashboard')
  })

  test('a client of the API may name paths in the opened folders only, also through links and dots', async () => {
    const outside = await world.file('outside.bin', 1000)
    const { completeDir } = open.daemon.options
    await mkdir(join(completeDir, 'sub'))
    await symlink(join(world.folder, 'content'), join(completeDir, 'sub', 'link'))
    await writeFile(join(completeDir, 'inside.bin'), randomBytes(1000))
    const seed = async (path: string) =>
      raw(`${open.url}/v1/tasks`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ seed: path }) })
    for (const path of [
      outside,
      '/etc/passwd',
      join(completeDir, 'sub', 'link', 'outside.bin'),
      `${completeDir}/../../content/outside.bin`,
      `${completeDir}x`
    ]) {
      const reply = await seed(path)
      assert.equal(reply.status, 403, path)
      assert.equal(JSON.parse(reply.body.toString()).code, 'forbidden')
    }
    for (const path of ['inside.bin', 'a\0b']) assert.equal((await seed(path)).status, 400)
    assert.equal((await seed(join(completeDir, 'inside.bin'))).status, 201)
    const output = await raw(`${open.url}/v1/tasks`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ source: `swarm:${'cd'.repeat(32)}`, output: '/etc/cron.d/' })
    })
    assert.equal(output.status, 403)
    // Who can read the state folder is the same user and may name any.
    assert.equal((await open.client.addTask({ seed: outside })).state, 'complete')
  })

  test('a manifest is not fetched from private addresses for a client, unless the operator allows it', async () => {
    for (const source of [
      'http://127.0.0.1:1/x',
      'http://localhost:1/x',
      'http://[::1]:1/x',
      'http://169.254.169.254/latest',
      'http://2130706433/x'
    ]) {
      const reply = await raw(`${open.url}/v1/tasks`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ source }) })
      assert.equal(reply.status, 403, source)
    }
    for (const address of ['8.8.8.8', '2606:4700::1111']) assert.ok(isPublicAddress(address), address)
    for (const address of [
      '10.1.2.3',
      '172.31.0.1',
      '192.168.0.1',
      '100.64.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      'fe80::1',
      'fd00::1',
      '::ffff:8.8.8.8',
      '2002:7f00:1::',
      '64:ff9b::7f00:1',
      'x'
    ]) {
      assert.ok(!isPublicAddress(address), address)
    }
  })
})
