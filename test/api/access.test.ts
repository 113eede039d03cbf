/**
 * Who may do what at a daemon: its own token, tokens with scopes, sessions, one-time logins, signed
 * addresses, and the audit log of it all.
 */

import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { CreatedToken, NewToken } from '../../src/api/schema/access.ts'
import type { Task } from '../../src/api/schema/tasks.ts'
import { resolveDaemonOptions } from '../../src/daemon/options.ts'
import { startDaemon } from '../../src/start-daemon.ts'
import { eventually, type RawReply, raw, swarm, type TestDaemon, World } from '../daemon/fixture.ts'

const JSON_TYPE = { 'content-type': 'application/json' }

describe('a daemon that nobody gave a token', () => {
  let world: World
  let daemon: TestDaemon
  let state: string
  let token: string
  let one: Task
  let two: Task
  before(async () => {
    world = await World.open()
    daemon = await world.daemon('closed', { open: false })
    state = daemon.daemon.options.stateDir
    token = (await readFile(join(state, 'token'), 'utf8')).trim()
    one = await daemon.client.addTask({ seed: await world.file('one/a.bin', 100_000) })
    two = await daemon.client.addTask({ seed: await world.file('two/b.bin', 100_000) })
  })
  after(() => world.close())

  const ask = (path: string, secret?: string, method = 'GET', body?: object): Promise<RawReply> =>
    raw(daemon.url + path, {
      method,
      headers: {
        ...(body === undefined ? {} : JSON_TYPE),
        ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
  const make = async (body: Partial<NewToken>): Promise<CreatedToken> => {
    const reply = await ask('/v1/tokens', token, 'POST', { name: `t${Math.random()}`, scopes: ['read'], ...body })
    assert.equal(reply.status, 201, reply.body.toString())
    return JSON.parse(reply.body.toString()) as CreatedToken
  }
  const json = <T>(reply: RawReply): T => JSON.parse(reply.body.toString()) as T

  test('lets no other user of the machine read, delete or change anything', async () => {
    const file = `/files/${one.root}`
    for (const [method, path] of [
      ['GET', file],
      ['GET', '/v1/tasks'],
      ['DELETE', `/v1/tasks/${one.id}`],
      ['PATCH', '/v1/limits'],
      ['POST', '/v1/tasks'],
      ['POST', '/v1/tokens'],
      ['POST', '/uploads']
    ] as const) {
      assert.equal((await ask(path, undefined, method, path === '/v1/limits' ? {} : undefined)).status, 401, `${method} ${path}`)
    }
    assert.equal((await ask(file, token)).status, 200)
    assert.equal((await ask('/healthz')).status, 200)
  })

  test('has a token of its own that its user alone can read and that stays over restarts', async () => {
    assert.equal((await stat(join(state, 'token'))).mode & 0o777, 0o600)
    const flags = { ...world.flags('again', { open: false }) }
    const tokens: string[] = []
    for (let run = 0; run < 2; run++) {
      const again = await startDaemon(resolveDaemonOptions({ flags }))
      tokens.push(await readFile(join(again.options.stateDir, 'token'), 'utf8'))
      await again.stop()
    }
    assert.equal(tokens[0], tokens[1])
    assert.match(tokens[0] as string, /^swarm_[\w-]{43}\n$/)
  })

  test('a token may do what its scopes say and no more', async () => {
    const may = async (scopes: NewToken['scopes']): Promise<number[]> => {
      const { token: shown } = await make({ scopes })
      const replies = [
        await ask('/v1/tasks', shown),
        await ask(`/files/${one.root}`, shown),
        await ask('/v1/tasks', shown, 'POST', { source: `swarm:${'ab'.repeat(32)}`, paused: true }),
        await ask('/v1/uploads', shown, 'POST', { name: 'x', length: 5 }),
        await ask('/v1/limits', shown, 'PATCH', { maxUploads: 3 }),
        await ask('/v1/tokens', shown),
        await ask('/v1/tasks', shown, 'POST', { seed: join(daemon.daemon.options.completeDir, 'nothing') })
      ]
      return replies.map(({ status }) => status)
    }
    const no = 403
    assert.deepEqual(await may(['read']), [200, 200, no, no, no, no, no])
    assert.deepEqual(await may(['get']), [no, no, 201, no, no, no, no])
    assert.deepEqual(await may(['upload']), [no, no, no, 201, no, no, no])
    assert.deepEqual(await may(['admin']), [200, 200, 200, 201, 200, 200, 400])
  })

  test('a token for one content, or one folder, neither sees nor touches another', async () => {
    const byRoot = await make({ scopes: ['read', 'get', 'upload'], roots: [one.root] })
    const byFolder = await make({ scopes: ['read', 'get', 'upload'], folders: [join(world.folder, 'content', 'two')] })
    for (const [{ token: shown }, mine, other] of [
      [byRoot, one, two],
      [byFolder, two, one]
    ] as const) {
      assert.deepEqual(
        json<{ tasks: Task[] }>(await ask('/v1/tasks', shown)).tasks.map(({ id }) => id),
        [mine.id]
      )
      const statuses = async (task: Task): Promise<number[]> => [
        (await ask(`/files/${task.root}`, shown)).status,
        (await ask(`/v1/tasks/${task.id}`, shown)).status,
        (await ask(`/v1/swarms/${task.root}`, shown)).status,
        (await ask(`/v1/tasks/${task.id}`, shown, 'PATCH', { priority: 1 })).status,
        (await ask('/v1/urls', shown, 'POST', { root: task.root, expiresMs: Date.now() + 60_000 })).status
      ]
      assert.deepEqual(await statuses(mine), [200, 200, 200, 200, 201])
      assert.deepEqual(await statuses(other), [403, 403, 403, 403, 403])
      for (const path of ['/v1/probe', '/metrics', '/v1/limits', '/v1/uploads'])
        assert.equal((await ask(path, shown)).status, 403, path)
      assert.equal((await ask('/v1/uploads', shown, 'POST', { name: 'x', length: 5 })).status, 403)
      assert.equal((await ask('/v1/tasks', shown, 'POST', { source: `swarm:${'ef'.repeat(32)}` })).status, 403)
      const events = new AbortController()
      const stream = await fetch(`${daemon.url}/v1/events`, {
        headers: { authorization: `Bearer ${shown}` },
        signal: events.signal
      })
      const first = new TextDecoder().decode((await stream.body?.getReader().read())?.value)
      events.abort()
      assert.ok(first.includes(mine.id) && !first.includes(other.id))
    }
  })

  test('a token ends when it expires or is revoked, and only its hash is kept', async () => {
    const short = await make({ name: 'short', expiresMs: Date.now() + 700 })
    assert.equal((await ask('/v1/tasks', short.token)).status, 200)
    await eventually(async () => (await ask('/v1/tasks', short.token)).status === 401, 'the token has expired')
    const made = await make({ name: 'gone' })
    assert.ok(!(await readFile(join(state, 'tokens.json'), 'utf8')).includes(made.token))
    assert.ok(!(await ask('/v1/tokens', token)).body.toString().includes(made.token))
    assert.equal((await ask('/v1/tokens/gone', token, 'DELETE')).status, 204)
    assert.equal((await ask('/v1/tasks', made.token)).status, 401)
    assert.equal((await ask('/v1/tokens/gone', token, 'DELETE')).status, 404)
  })

  test('a session is no function of the token and ends with it; a login address works once', async () => {
    const made = await make({ name: 'browser' })
    const logIn = async (): Promise<string> => {
      const reply = await ask('/v1/session', undefined, 'POST', { token: made.token })
      return ((reply.headers['set-cookie'] as string[])[0] as string).split(';')[0] as string
    }
    const [cookie, other] = [await logIn(), await logIn()]
    assert.notEqual(cookie, other)
    const withCookie = (shown: string) => raw(`${daemon.url}/v1/tasks`, { headers: { cookie: shown } })
    assert.equal((await withCookie(cookie)).status, 200)
    await raw(`${daemon.url}/v1/session`, { method: 'DELETE', headers: { cookie: other } })
    assert.equal((await withCookie(other)).status, 401)

    const { url } = json<{ url: string }>(await ask('/v1/login-addresses', made.token, 'POST'))
    const first = await raw(daemon.url + url)
    assert.deepEqual([first.status, first.headers.location], [303, '/'])
    const byCode = ((first.headers['set-cookie'] as string[])[0] as string).split(';')[0] as string
    assert.equal((await withCookie(byCode)).status, 200)
    assert.equal((await raw(daemon.url + url)).status, 401)

    await ask('/v1/tokens/browser', token, 'DELETE')
    assert.equal((await withCookie(cookie)).status, 401)
    assert.equal((await withCookie(byCode)).status, 401)
  })

  test('a signed address gives one file without a token until it ends, and nothing else', async () => {
    const made = await make({ name: 'giver' })
    const sign = async (root: string, ms: number): Promise<string> =>
      json<{ url: string }>(await ask('/v1/urls', made.token, 'POST', { root, expiresMs: Date.now() + ms })).url
    const url = await sign(one.root, 60_000)
    const part = await raw(daemon.url + url, { headers: { range: 'bytes=0-99' } })
    assert.deepEqual([part.status, part.body.byteLength], [206, 100])
    const query = url.slice(url.indexOf('?'))
    for (const path of [
      `/files/${two.root}/${two.name}${query}`,
      url.replace(/expires=(\d+)/, (_, seconds) => `expires=${Number(seconds) + 1000}`),
      url.replace(/signature=/, 'signature=x'),
      `/files/${one.root}${query}`
    ]) {
      assert.equal((await raw(daemon.url + path)).status, 403, path)
    }
    assert.equal((await raw(`${daemon.url}/v1/tasks${query}`)).status, 401)
    const short = await sign(one.root, 200)
    await eventually(async () => (await raw(daemon.url + short)).status === 403, 'the address has ended')
    assert.equal(
      (await ask('/v1/urls', made.token, 'POST', { root: one.root, expiresMs: Date.now() + 40 * 86_400_000 })).status,
      400
    )
    await ask('/v1/tokens/giver', token, 'DELETE')
    assert.equal((await raw(daemon.url + url)).status, 403)
  })

  test('two Host headers are refused', async () => {
    const port = Number(new URL(daemon.url).port)
    const { connect } = await import('node:net')
    const socket = connect(port, '127.0.0.1')
    socket.write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')
    let text = ''
    for await (const chunk of socket) text += chunk
    assert.match(text, /^HTTP\/1\.1 400 /)
  })

  test('the command line makes tokens, addresses and logins, and takes no token where others see it', async () => {
    const env = { SWARM_STATE_DIR: state }
    const made = await swarm(['token', 'create', 'ci', '--scope', 'read,get', '--expires', '1d', '-q'], { env })
    assert.equal(made.code, 0, made.stderr)
    assert.equal((await ask('/v1/tasks', made.stdout.trim())).status, 200)
    assert.match((await swarm(['token', 'list'], { env })).stdout, /^[0-9a-f]{8} {2}ci: read, get on all contents, expires 20/m)
    const address = await swarm(['url', 'a.bin', '--expires', '1h', '-q'], { env })
    assert.equal((await raw(address.stdout.trim())).status, 200, address.stderr)
    const login = await swarm(['dashboard', '--no-open', '-q'], { env })
    assert.equal((await raw(login.stdout.trim())).status, 303)
    assert.equal((await swarm(['token', 'revoke', 'ci'], { env })).code, 0)
    assert.equal((await ask('/v1/tasks', made.stdout.trim())).status, 401)

    const elsewhere = { SWARM_STATE_DIR: join(world.folder, 'elsewhere') }
    const file = join(world.folder, 'token-file')
    await writeFile(file, `${token}\n`)
    const refused = await swarm(['status', '--daemon', daemon.url, '--token', token], { env: elsewhere })
    assert.deepEqual([refused.code, /--token-file/.test(refused.stderr)], [2, true])
    const daemonWith = await swarm(['daemon', '--token', token], { env: elsewhere })
    assert.deepEqual([daemonWith.code, /--token-file/.test(daemonWith.stderr)], [2, true])
    for (const [args, more] of [
      [['--token-file', file], {}],
      [[], { SWARM_TOKEN: token }]
    ] as const) {
      const told = await swarm(['status', '--daemon', daemon.url, ...args], { env: { ...elsewhere, ...more } })
      assert.equal(told.code, 0, told.stderr)
    }
    assert.equal((await swarm(['status', '--daemon', daemon.url], { env: elsewhere })).code, 2)
  })

  test('the audit log has one line of fixed fields for each that was done or refused, and no secret', async () => {
    const { token: shown } = await make({ name: 'auditor', roots: [one.root] })
    await ask(`/files/${one.root}`, shown)
    await ask(`/v1/tasks/${two.id}`, shown, 'DELETE')
    const text = await readFile(join(state, 'audit.log'), 'utf8')
    const lines = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    const fields = ['time', 'action', 'who', 'token', 'from', 'status', 'target', 'bytes']
    for (const line of lines) assert.deepEqual(Object.keys(line), fields)
    const mine = lines
      .filter(({ who }) => who === 'auditor')
      .map(({ action, from, status, target, bytes }) => [action, from, status, target, bytes])
    assert.deepEqual(mine, [
      ['content.read', '127.0.0.1', 200, one.root, 100_000],
      ['task.remove', '127.0.0.1', 403, two.id, null]
    ])
    assert.ok(lines.some(({ action, who, target }) => action === 'task.add' && who === 'local' && target === one.root))
    assert.ok(lines.some(({ action, status }) => action === 'refused' && status === 401))
    assert.ok(!text.includes(shown) && !text.includes(token))
    assert.equal((await stat(join(state, 'audit.log'))).mode & 0o077, 0)
  })
})

describe('guesses', () => {
  let world: World
  let daemon: TestDaemon
  before(async () => {
    world = await World.open()
    daemon = await world.daemon('guessed', { token: 'correct-horse-battery' })
  })
  after(() => world.close())

  test('of a token that a person chose are slowed, while a token of ours goes through, and are counted', async () => {
    const show = (secret: string) => raw(`${daemon.url}/v1/tasks`, { headers: { authorization: `Bearer ${secret}` } })
    const { token } = await daemon.client.createToken({ name: 'honest', scopes: ['read'] })
    const statuses: number[] = []
    for (let guess = 0; guess < 13; guess++) statuses.push((await show(`guess-number-${guess}`)).status)
    assert.deepEqual([statuses[0], statuses.at(-1)], [401, 429])
    const slowed = await show('correct-horse-battery')
    assert.equal(slowed.status, 429)
    assert.ok(Number(slowed.headers['retry-after']) >= 1)
    assert.equal((await show(token)).status, 200)
    const metrics = (await raw(`${daemon.url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).body.toString()
    assert.match(metrics, /swarm_refusals_total\{kind="login_failed"\} 11/)
    assert.match(metrics, /swarm_refusals_total\{kind="login_slowed"\} 3/)
  })
})
