/**
 * The HTTP side of a daemon: what is bounded, what errors look like, and that OpenAPI, metrics and
 * documentation agree with what runs.
 */

import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import Ajv from 'ajv'
import { eventually, raw, type TestDaemon, untilComplete, World } from '../daemon/fixture.ts'

const JSON_TYPE = { 'content-type': 'application/json' }

describe('the API', () => {
  let world: World
  let daemon: TestDaemon
  before(async () => {
    world = await World.open()
    daemon = await world.daemon('api')
  })
  after(() => world.close())

  test('every error has a code, a message and details', async () => {
    const post = (body: string, path = '/v1/tasks') => raw(daemon.url + path, { method: 'POST', headers: JSON_TYPE, body })
    const cases: [Promise<{ status: number; body: Buffer }>, number, string][] = [
      [raw(`${daemon.url}/nothing`), 404, 'not_found'],
      [raw(`${daemon.url}/v1/tasks/none`), 404, 'not_found'],
      [raw(`${daemon.url}/v1/tasks`, { method: 'PUT' }), 404, 'not_found'],
      [raw(`${daemon.url}/v1/tasks?state=odd`), 400, 'invalid_options'],
      [raw(`${daemon.url}/files/notaroot`), 400, 'invalid_options'],
      [raw(`${daemon.url}/files/${'0'.repeat(64)}`), 404, 'not_found'],
      [raw(`${daemon.url}/v1/swarms/${'0'.repeat(64)}`), 404, 'not_found'],
      [post('{'), 400, 'invalid_options'],
      [post('{}'), 400, 'invalid_options'],
      [post('{"source":"swarm:zz"}'), 422, 'invalid_manifest'],
      [post('{"source":"ftp://x"}'), 400, 'invalid_options'],
      [post('{"manifest":{"swarm":1}}'), 422, 'invalid_manifest'],
      [post('{"source":"swarm:x","unknown":1}'), 400, 'invalid_options'],
      [post('{"source":"a","seed":"/b"}'), 400, 'invalid_options'],
      [post(`{"source":"${'x'.repeat(70_000)}"}`), 400, 'invalid_options'],
      [post(`{"manifest":{"x":"${'x'.repeat(17 * 1024 * 1024)}"}}`), 413, 'too_large'],
      [post(`{"token":"${'x'.repeat(2 * 1024 * 1024)}"}`, '/v1/session'), 413, 'too_large']
    ]
    for (const [sent, status, code] of cases) {
      const reply = await sent
      const body = JSON.parse(reply.body.toString())
      assert.equal(reply.status, status, JSON.stringify(body))
      assert.deepEqual(Object.keys(body), ['code', 'message', 'details'])
      assert.equal(body.code, code, body.message)
    }
    const patch = await raw(`${daemon.url}/v1/limits`, { method: 'PATCH', headers: JSON_TYPE, body: '{"maxActiveDownloads":0}' })
    assert.equal(patch.status, 400)
    assert.equal(JSON.parse(patch.body.toString()).details.field, 'body/maxActiveDownloads')
  })

  test('a request that is refused before all of it has come leaves no timer behind', async t => {
    const armed = new Set<unknown>()
    let count = 0
    const { setTimeout: arm, clearTimeout: disarm } = globalThis
    t.mock.method(globalThis, 'setTimeout', (...args: Parameters<typeof arm>) => {
      const timer = arm(...args)
      if (/src.http.server\.ts/.test(new Error('where').stack ?? '')) {
        armed.add(timer)
        count++
      }
      return timer
    })
    t.mock.method(globalThis, 'clearTimeout', (timer: Parameters<typeof disarm>[0]) => {
      armed.delete(timer)
      disarm(timer)
    })
    const body = JSON.stringify({ token: 'x'.repeat(2 * 1024 * 1024) })
    assert.equal((await raw(`${daemon.url}/v1/session`, { method: 'POST', headers: JSON_TYPE, body })).status, 413)
    assert.equal((await raw(`${daemon.url}/v1/scan`, { method: 'POST', headers: JSON_TYPE, body: '{}' })).status, 200)
    assert.equal(count, 2)
    await eventually(() => armed.size === 0, 'no timer waits for the rest of a request')
  })

  test('headers and connections are bounded', async () => {
    const large = await raw(`${daemon.url}/healthz`, { headers: { 'x-large': 'x'.repeat(20_000) } })
    assert.equal(large.status, 431)
    const { url } = await world.daemon('bounded', { 'max-connections': '20' })
    const { hostname, port } = new URL(url)
    const sockets = Array.from({ length: 60 }, () => connect({ host: hostname, port: Number(port) }))
    const open = new Set(sockets)
    await Promise.all(
      sockets.map(
        socket =>
          new Promise<void>(resolve => {
            socket.on('error', () => {})
            socket.on('close', () => {
              open.delete(socket)
              resolve()
            })
            socket.on('data', () => resolve())
            socket.on('connect', () => socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'))
          })
      )
    )
    await eventually(() => open.size <= 20, 'those that came first and are idle have given way')
    assert.equal(open.size, 20)
    for (const socket of sockets) socket.destroy()
  })

  test('OpenAPI names exactly the routes that there are, and replies are what it says', async () => {
    const document = JSON.parse((await raw(`${daemon.url}/v1/openapi.json`)).body.toString())
    assert.equal(document.openapi, '3.1.0')
    const seed = await daemon.client.addTask({ seed: await world.file('schema.bin', 300_000) })
    const ajv = new Ajv.default({ strict: false, logger: false })
    ajv.addFormat('binary', true)
    const routes = Object.entries(
      document.paths as Record<
        string,
        Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
      >
    )
    const begun = await fetch(`${daemon.url}/v1/uploads`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'some' })
    })
    const upload = (await begun.json()) as { id: string }
    let checked = 0
    for (const [path, operations] of routes) {
      for (const [method, { responses }] of Object.entries(operations)) {
        assert.ok(responses['4XX'] !== undefined || path === '/readyz', `${method} ${path} says what its errors are`)
        const id = path.startsWith('/v1/uploads') ? upload.id : seed.id
        const url = daemon.url + path.replace('{id}', id).replace('{root}', seed.root).replace('{*}', seed.name)
        if (method !== 'get' || path.endsWith('/events')) continue
        const reply = await raw(url)
        assert.equal(reply.status, 200, url)
        const schema = responses['200']?.content?.['application/json']?.schema
        if (schema === undefined || path.endsWith('/manifest')) continue
        assert.ok(ajv.validate(schema, JSON.parse(reply.body.toString())), `${path}: ${ajv.errorsText()}`)
        checked++
      }
    }
    assert.equal(checked, 10)
    const documented = await readFile(new URL('../../docs/API.md', import.meta.url), 'utf8')
    for (const [path, operations] of routes) {
      for (const method of Object.keys(operations)) {
        const line = `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, '<$1>').replace('{*}', '<path>')}`
        assert.ok(documented.includes(`\`${line}\``), `docs/API.md tells of ${line}`)
      }
    }
  })

  test('every metric is documented, and every documented metric is there', async () => {
    const text = (await raw(`${daemon.url}/metrics`)).body.toString()
    const names = new Set([...text.matchAll(/^# TYPE (swarm_\w+) /gm)].map(match => match[1] as string))
    const documented = await readFile(new URL('../../docs/API.md', import.meta.url), 'utf8')
    const told = new Set([...documented.matchAll(/^\| `(swarm_\w+)/gm)].map(match => match[1] as string))
    assert.deepEqual([...told].sort(), [...names].sort())
  })

  test('what the swarm holds: pieces, availability, peers, rates and sources', async () => {
    const seed = await daemon.client.addTask({ seed: await world.file('probe.bin', 700_000) })
    const other = await world.daemon('other')
    const { id, root } = await other.client.addTask({ source: seed.link ?? '' })
    await untilComplete(other.client, id)
    const swarm = await other.client.swarm(root)
    assert.equal(swarm.pieceCount, 3)
    assert.equal(swarm.piecesDone, 3)
    assert.equal(Buffer.from(swarm.have, 'base64')[0], 0b11100000)
    assert.deepEqual(swarm.holders, [1, 1, 1])
    assert.equal(swarm.distributedCopies, 2)
    assert.deepEqual(swarm.bytesBySource, [{ source: daemon.daemon.node.peer, bytes: 700_000 }])
    assert.equal(swarm.peers[0]?.bytesDownloaded, 700_000)
    const probe = await daemon.client.probe()
    assert.equal(probe.peer, daemon.daemon.node.peer)
    assert.equal(probe.swarms.find(each => each.root === root)?.neighbours, 1)
  })

  test('a scan seeds files that lie beside their manifests, and tells of those that are not intact', async () => {
    const seeder = await world.daemon('for-scan')
    const { folder, client } = await world.daemon('scanning')
    const complete = join(folder, 'complete')
    for (const [name, change] of [
      ['good.bin', (bytes: Buffer) => bytes],
      ['bad.bin', (bytes: Buffer) => Buffer.from(bytes.map(byte => byte ^ 1))],
      ['missing.bin', undefined]
    ] as const) {
      const path = await world.file(name, 50_000)
      const { id } = await seeder.client.addTask({ seed: path })
      await mkdir(join(complete, 'deep'), { recursive: true })
      await writeFile(join(complete, 'deep', `${name}.swarm`), await seeder.client.manifest(id))
      if (change !== undefined) await writeFile(join(complete, 'deep', name), change(await readFile(path)))
    }
    await writeFile(join(complete, 'broken.swarm'), '{')
    const report = await client.scan()
    assert.equal(report.manifests, 4)
    assert.equal(report.added.length, 1)
    assert.deepEqual(
      report.problems.map(({ manifest, code }) => [manifest.slice(complete.length + 1), code]),
      [
        ['broken.swarm', 'invalid_manifest'],
        ['deep/bad.bin.swarm', 'conflict'],
        ['deep/missing.bin.swarm', 'not_found']
      ]
    )
    const again = await client.scan()
    assert.deepEqual([again.added, again.known], [[], 1])
    const [task] = await client.tasks()
    assert.deepEqual([task?.kind, task?.state, task?.name], ['seed', 'complete', 'good.bin'])
  })

  test('with --watch a file that is put into a folder is seeded by itself', async () => {
    const seeder = await world.daemon('for-watch')
    const { folder, client } = await world.daemon('watching', { watch: true })
    const path = await world.file('watched.bin', 50_000)
    const { id } = await seeder.client.addTask({ seed: path })
    await writeFile(join(folder, 'complete', 'watched.bin'), await readFile(path))
    await writeFile(join(folder, 'complete', 'watched.bin.swarm'), await seeder.client.manifest(id))
    await eventually(async () => (await client.tasks()).some(task => task.name === 'watched.bin'), 'the watched file is seeded')
  })

  test('a second daemon on the same state folder, or on a port that is taken, is told so and leaves the first alone', async () => {
    await assert.rejects(world.daemon('api'), /another daemon uses the state folder/)
    await assert.rejects(world.daemon('port', { http: `127.0.0.1:${new URL(daemon.url).port}` }), /cannot listen .*EADDRINUSE/)
    assert.equal((await raw(`${daemon.url}/readyz`)).status, 200)
  })

  test('an unwritable folder is a StoreError with its path', {
    skip: process.getuid?.() === 0 ? 'root may write anywhere' : false
  }, async () => {
    const locked = join(world.folder, 'locked')
    await mkdir(locked)
    await chmod(locked, 0o500)
    await assert.rejects(world.daemon('locked', { 'complete-dir': join(locked, 'x') }), { code: 'store_error' })
  })
})
