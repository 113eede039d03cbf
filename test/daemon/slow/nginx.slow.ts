/**
 * The gateway beside nginx: the same requests to both, the same statuses, headers and bytes; and how fast
 * each is.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually, type RawReply, raw, untilComplete, World } from '../fixture.ts'

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(path => existsSync(path))
const MiB = 1024 * 1024
const LENGTH = 5 * MiB + 123

describe('the gateway beside nginx', {
  skip: NGINX === undefined ? 'nginx is not installed (apt-get install nginx-light)' : false
}, () => {
  let world: World
  let nginx: string
  let gateway: string
  let bytes: Buffer

  before(async () => {
    world = await World.open()
    const path = await world.file('thing.bin', LENGTH)
    bytes = await readFile(path)
    nginx = `${await startNginx(world, join(world.folder, 'content'))}/thing.bin`
    const seeder = await world.daemon('seeder')
    const leecher = await world.process('leecher')
    const { link } = await seeder.client.addTask({ seed: path })
    const task = await untilComplete(leecher.client, (await leecher.client.addTask({ source: link ?? '' })).id)
    gateway = leecher.url + task.url
  })
  after(() => world.close())

  type Tags = { etag: string; date: string }
  const requests: [string, string, (tags: Tags) => Record<string, string>][] = [
    ['the whole', 'GET', () => ({})],
    ['its head', 'HEAD', () => ({})],
    ['the first byte', 'GET', () => ({ range: 'bytes=0-0' })],
    ['a piece in the middle, over the border of two', 'GET', () => ({ range: `bytes=${256 * 1024 - 10}-${256 * 1024 + 10}` })],
    ['an open end', 'GET', () => ({ range: `bytes=${LENGTH - 1000}-` })],
    ['a suffix', 'GET', () => ({ range: 'bytes=-777' })],
    ['a suffix longer than the whole', 'GET', () => ({ range: 'bytes=-99999999999' })],
    ['an end behind the end', 'GET', () => ({ range: 'bytes=10-99999999999' })],
    ['a start behind the end', 'GET', () => ({ range: `bytes=${LENGTH}-` })],
    ['no byte at all', 'GET', () => ({ range: 'bytes=-0' })],
    ['an end before the start', 'GET', () => ({ range: 'bytes=9-5' })],
    ['garbage for a range', 'GET', () => ({ range: 'bytes=abc' })],
    ['another unit', 'GET', () => ({ range: 'pages=1-2' })],
    ['two ranges', 'GET', () => ({ range: 'bytes=0-99,1000-1999' })],
    ['three ranges, one of them a suffix, out of order', 'GET', () => ({ range: 'bytes=-5,100-200, 0-0' })],
    ['two ranges of which one is behind the end', 'GET', () => ({ range: 'bytes=0-9,99999999-' })],
    ['ranges that are more than the whole', 'GET', () => ({ range: `bytes=0-${LENGTH - 1},0-${LENGTH - 1}` })],
    ['If-Range with the tag', 'GET', ({ etag }) => ({ range: 'bytes=5-9', 'if-range': etag })],
    ['If-Range with the date', 'GET', ({ date }) => ({ range: 'bytes=5-9', 'if-range': date })],
    ['If-Range with another tag', 'GET', () => ({ range: 'bytes=5-9', 'if-range': '"other"' })],
    ['If-Range with an older date', 'GET', () => ({ range: 'bytes=5-9', 'if-range': 'Sat, 01 Jan 2000 00:00:00 GMT' })],
    ['If-None-Match with the tag', 'GET', ({ etag }) => ({ 'if-none-match': etag })],
    ['If-None-Match with others', 'GET', () => ({ 'if-none-match': '"a", "b"' })],
    ['If-None-Match with a star', 'GET', () => ({ 'if-none-match': '*' })],
    ['If-Modified-Since its date', 'GET', ({ date }) => ({ 'if-modified-since': date })],
    ['If-Modified-Since long ago', 'GET', () => ({ 'if-modified-since': 'Sat, 01 Jan 2000 00:00:00 GMT' })],
    ['If-Unmodified-Since long ago', 'GET', () => ({ 'if-unmodified-since': 'Sat, 01 Jan 2000 00:00:00 GMT' })],
    ['If-Match with the tag', 'GET', ({ etag }) => ({ 'if-match': etag })],
    ['If-Match with another', 'GET', () => ({ 'if-match': '"other"' })],
    ['a range of what has not changed', 'GET', ({ etag }) => ({ range: 'bytes=0-9', 'if-none-match': etag })]
  ]
  for (const [what, method, headersOf] of requests) {
    test(`${what}: as nginx answers`, async () => {
      const [theirs, ours] = await Promise.all(
        [nginx, gateway].map(async url => {
          const { headers } = await raw(url, { method: 'HEAD' })
          return raw(url, {
            method,
            headers: headersOf({ etag: headers.etag as string, date: headers['last-modified'] as string })
          })
        })
      )
      assert.ok(theirs && ours)
      assert.equal(ours.status, theirs.status)
      assert.equal(ours.headers['content-range'], theirs.headers['content-range'])
      if (ours.status === 200 || ours.status === 206) {
        assert.deepEqual(partsOf(ours), partsOf(theirs))
        if (!isMultipart(ours)) assert.equal(ours.headers['content-length'], theirs.headers['content-length'])
        else assert.equal(Number(ours.headers['content-length']), ours.body.byteLength)
      }
      for (const name of ['etag', 'last-modified']) {
        if (theirs.status !== 412 && theirs.status !== 416)
          assert.equal(ours.headers[name] !== undefined, theirs.headers[name] !== undefined, name)
      }
      if (method === 'GET' && ours.status === 200) assert.deepEqual(ours.body, bytes)
    })
  }

  test('Range on HEAD is ignored, as RFC 9110 says and nginx does not', async () => {
    const [theirs, ours] = await Promise.all(
      [nginx, gateway].map(url => raw(url, { method: 'HEAD', headers: { range: 'bytes=0-0' } }))
    )
    assert.equal(theirs?.status, 206)
    assert.equal(ours?.status, 200)
    assert.equal(ours?.headers['content-length'], String(LENGTH))
  })
})

function isMultipart({ headers }: RawReply): boolean {
  return /^multipart\/byteranges; *boundary=/.test(String(headers['content-type']))
}

/** Body, or the content-range and bytes of each part. */
function partsOf(reply: RawReply): unknown {
  if (!isMultipart(reply)) return reply.body
  const boundary = /boundary=(\S+)/.exec(String(reply.headers['content-type']))?.[1]
  const text = reply.body.toString('latin1')
  const parts = text.split(`\r\n--${boundary}`)
  assert.equal(parts.at(-1)?.trim(), '--')
  return parts.slice(1, -1).map(part => {
    const [head = '', ...rest] = part.split('\r\n\r\n')
    return [/content-range: *(.*)/i.exec(head)?.[1]?.trim(), rest.join('\r\n\r\n')]
  })
}

/** nginx in the foreground on a free port, serving one folder; ends with the world. */
async function startNginx(world: World, root: string): Promise<string> {
  const folder = join(world.folder, 'nginx')
  await mkdir(folder)
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  await new Promise(resolve => probe.close(resolve))
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log; ${process.getuid?.() === 0 ? 'user root;' : ''}
     events { worker_connections 256; }
     http { access_log off; sendfile on; tcp_nopush on; client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c;
       uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e; server { listen 127.0.0.1:${port}; root ${root}; } }`
  )
  const child = spawn(NGINX as string, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  const gone = once(child, 'exit')
  world.defer(async () => {
    child.kill('SIGTERM')
    await gone
  })
  const url = `http://127.0.0.1:${port}`
  await eventually(
    () =>
      raw(url).then(
        () => true,
        () => false
      ),
    'nginx answers'
  )
  return url
}
