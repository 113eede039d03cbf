/** Origins as people have them: nginx, and a bucket behind presigned URLs. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { createNode, type SwarmNode } from '../../src/index.ts'
import { createManifestFromUrl } from '../../src/node/origin-manifest.ts'
import type { GetOptions, Transfer } from '../../src/node/types.ts'

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(path => existsSync(path))
const content = randomBytes(12 * 1024 * 1024 + 321)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

describe('real origins', { timeout: 120_000 }, () => {
  let folder: string
  const ends: (() => Promise<unknown>)[] = []
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-origins-'))
  })
  after(async () => {
    for (const end of ends.reverse()) await end()
    await rm(folder, { recursive: true, force: true })
  })

  let count = 0
  async function node(bootstrap: string[] = []): Promise<SwarmNode> {
    const options = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, dht: bootstrap.length > 0, bootstrap }
    const created = await createNode({ stateDir: join(folder, `state-${++count}`), ...options })
    ends.push(() => created.stop())
    return created
  }
  async function get(from: SwarmNode, manifest: Parameters<SwarmNode['get']>[0], options: GetOptions = {}): Promise<Transfer> {
    const transfer = await from.get(manifest, { output: join(folder, `got-${++count}`), ...options })
    await transfer.completed
    assert.ok((await readFile(transfer.path)).equals(content))
    return transfer
  }

  it('nginx: a manifest by streaming, then the content, which a second node gets from the first', {
    skip: NGINX === undefined
  }, async () => {
    const port = await freePort()
    await mkdir(join(folder, 'www'))
    await writeFile(join(folder, 'www', 'file.bin'), content)
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map(kind => `${kind}_temp_path ${folder}/nginx-${kind};`)
      .join(' ')
    await writeFile(
      join(folder, 'nginx.conf'),
      `${process.getuid?.() === 0 ? 'user root; ' : ''}daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr; events {}
       http { access_log off; ${temporary} server { listen 127.0.0.1:${port}; root ${folder}/www; } }`
    )
    const nginx = spawn(NGINX as string, ['-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
    ends.push(async () => {
      nginx.kill('SIGQUIT')
      await once(nginx, 'exit')
    })
    const url = `http://127.0.0.1:${port}/file.bin`
    const endMs = performance.now() + 10_000
    while (performance.now() < endMs) {
      const isUp = await fetch(url, { method: 'HEAD' }).then(
        ({ ok }) => ok,
        () => false
      )
      if (isUp) break
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    const manifest = await createManifestFromUrl(url)
    const first = await node()
    const fetched = await get(first, manifest)
    assert.equal(fetched.snapshot().origin?.bytes, content.byteLength)
    const second = await get(await node(), { ...manifest, origins: [], peers: fetched.hints() })
    assert.equal(second.snapshot().origin, undefined)
  })

  it('a bucket: presigned URLs, one that expired in the middle, and a root that no signature changes', async () => {
    // It has no types of its own.
    const S3rver = createRequire(import.meta.url)('@20minutes/s3rver')
    const server = new S3rver({
      port: 0,
      address: '127.0.0.1',
      silent: true,
      directory: join(folder, 's3'),
      configureBuckets: [{ name: 'bucket' }]
    })
    const { port } = (await server.run()) as { port: number }
    ends.push(() => server.close())
    const client = new S3Client({
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }
    })
    await client.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'file.bin', Body: content }))
    const presign = (expiresIn: number): Promise<string> =>
      getSignedUrl(client, new GetObjectCommand({ Bucket: 'bucket', Key: 'file.bin' }), { expiresIn })
    const manifest = await createManifestFromUrl(await presign(300))
    assert.equal((await createManifestFromUrl(await presign(200))).root, manifest.root)
    await get(await node(), { ...manifest, origins: [await presign(300)] })

    // Slow enough that the URL expires before the last range is asked for.
    const reasons: string[] = []
    const transfer = await get(
      await node(),
      { ...manifest, origins: [await presign(2)] },
      {
        origin: {
          bytesPerSecond: 3_000_000,
          connections: 1,
          freshUrl: async (_url, why) => {
            reasons.push(why)
            return presign(300)
          }
        }
      }
    )
    assert.ok(reasons.length > 0)
    assert.match(reasons.join(), /403|expired/i)
    assert.ok((transfer.snapshot().origin?.bytes ?? 0) <= content.byteLength * 1.1)
    client.destroy()
  })
})
