/** The daemon's HTTPS and its unix socket, and that commands find their way through both. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { DaemonClient, findDaemon } from '../../src/api/client/client.ts'
import { UploadClient } from '../../src/api/client/upload-client.ts'
import { createHttpsCertificate } from '../../src/node/https-certificate.ts'
import { eventually, swarm, World } from '../daemon/fixture.ts'

describe('the daemon beyond plain HTTP', { timeout: 120_000 }, () => {
  let world: World
  before(async () => {
    world = await World.open()
  })
  after(() => world.close())

  const shownBy = async (url: string): Promise<string> => {
    const { hostname, port } = new URL(url)
    const socket: TLSSocket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const { fingerprint256 = '' } = socket.getPeerX509Certificate() ?? {}
    socket.destroy()
    return fingerprint256
  }

  test('with a certificate of its own is known by its fingerprint, to commands of its user without a word', async () => {
    const { daemon, client, url } = await world.daemon('own', { 'tls-self-signed': true, open: false })
    assert.match(url, /^https:/)
    assert.equal(await shownBy(url), daemon.fingerprint)
    const path = await world.file('a.bin', 1000)
    await client.addTask({ seed: path })
    const { stateDir } = daemon.options
    assert.equal((await stat(join(stateDir, 'https-key.pem'))).mode & 0o077, 0)

    const ca = await readFile(join(stateDir, 'https-cert.pem'))
    const byCa = secureRequest(`${url}/healthz`, { ca, agent: false }).end()
    const [reply] = await once(byCa, 'response')
    assert.equal(reply.statusCode, 200)
    reply.resume()

    const secret = (await readFile(join(stateDir, 'token'), 'utf8')).trim()
    const { fingerprint } = daemon
    const other = new DaemonClient({ url, secret, fingerprint })
    assert.equal((await other.tasks()).length, 1)
    assert.equal((await new UploadClient(other).begin({ name: 'x', length: 1 })).state, 'open')
    const env = { SWARM_STATE_DIR: join(world.folder, 'elsewhere'), SWARM_TOKEN: secret }
    const told = await swarm(['status', '--daemon', url, '--fingerprint', fingerprint as string], { env })
    assert.equal(told.code, 0, told.stderr)
    for (const wrong of [undefined, 'AB'.repeat(32)]) {
      const stranger = new DaemonClient({ url, secret, fingerprint: wrong })
      await assert.rejects(stranger.tasks(), { code: 'unavailable' })
    }
  })

  test('takes over a certificate that changed, and keeps the former when the new one does not fit', async () => {
    const [cert, key] = [join(world.folder, 'cert.pem'), join(world.folder, 'key.pem')]
    const write = async (pair: { cert: string; key: string }): Promise<void> => {
      await writeFile(`${cert}.new`, pair.cert)
      await writeFile(key, pair.key)
      await rename(`${cert}.new`, cert)
    }
    const [first, second] = [
      createHttpsCertificate(['localhost']),
      createHttpsCertificate(['localhost', '192.0.2.1', '2001:db8::1'])
    ]
    await write(first)
    const { daemon, url } = await world.daemon('files', { 'tls-cert': cert, 'tls-key': key })
    await write({ cert: second.cert, key: first.key })
    const fingerprintOf = (pem: string): string => new X509Certificate(pem).fingerprint256
    assert.equal(await shownBy(url), fingerprintOf(first.cert))
    await write(second)
    await eventually(async () => (await shownBy(url)) === fingerprintOf(second.cert), 'the new certificate is shown')
    await eventually(
      async () => (await (await findDaemon({ stateDir: daemon.options.stateDir }))?.tasks())?.length === 0,
      'commands know the new certificate'
    )
    assert.match(
      new X509Certificate(second.cert).subjectAltName ?? '',
      /DNS:localhost, IP Address:192\.0\.2\.1, IP Address:2001:DB8/i
    )
    await writeFile(key, 'nothing')
    await assert.rejects(world.daemon('unfit', { 'tls-cert': cert, 'tls-key': key }), /tls-cert, tls-key/)
  })

  test('ends a connection that does not begin TLS within 5 s', async () => {
    const { url } = await world.daemon('slow', { 'tls-self-signed': true })
    const { connect: plain } = await import('node:net')
    const socket = plain(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    const startedMs = performance.now()
    await once(socket.resume(), 'close')
    assert.ok(performance.now() - startedMs < 8000)
  })

  test('on a unix socket answers those who may open it, and takes away what a kill -9 left', async () => {
    const path = join(world.folder, 's.sock')
    const left = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
    ])
    await once(left.stdout, 'data')
    await assert.rejects(world.daemon('taken', { http: `unix:${path}` }), /cannot listen .*EADDRINUSE/)
    left.kill('SIGKILL')
    await once(left, 'exit')
    const { client, url, daemon } = await world.daemon('unix', { http: `unix:${path}`, 'socket-mode': '660' })
    assert.equal(url, `unix:${path}`)
    assert.equal((await stat(path)).mode & 0o777, 0o660)
    const { root } = await client.addTask({ seed: await world.file('u.bin', 50_000) })
    const sent = request({ socketPath: path, path: `/files/${root}`, headers: { host: 'localhost' } }).end()
    const [reply] = await once(sent, 'response')
    let bytes = 0
    for await (const chunk of reply) bytes += (chunk as Buffer).byteLength
    assert.deepEqual([reply.statusCode, bytes], [200, 50_000])
    const told = await swarm(['status', '--daemon', url], { env: { SWARM_STATE_DIR: daemon.options.stateDir } })
    assert.equal(told.code, 0, told.stderr)
    await daemon.stop()
    await assert.rejects(stat(path))
    await writeFile(path, 'a file of somebody')
    await assert.rejects(world.daemon('unix-2', { http: `unix:${path}` }), /cannot listen/)
    assert.equal(await readFile(path, 'utf8'), 'a file of somebody')
  })
})
