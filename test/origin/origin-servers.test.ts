/** Origins as people have them: nginx, and a bucket behind presigned URLs. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { createManifestFromUrl, createNode, type SwarmNode } from '../../src/index.ts'
import type { GetOptions, Transfer } from '../../src/node/types.ts'

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(path => existsSync(path))
const content = randomBytes(12 * 1024 * 1024 + 321)
/** Of the first answer to a URL that expires. */
const CUT_AFTER = 4 * 1024 * 1024

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

/**
 * Between clients and a bucket. Lets a URL expire at a moment that is certain: its first answer is cut off,
 * and whatever is asked with it afterwards reaches the bucket with a signature of long ago.
 */
class ExpiryGate implements AsyncDisposable {
  readonly #server: Server
  #expiring: { url: string; expired: string; isAsked: boolean } | undefined

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(target: number): Promise<ExpiryGate> {
    const server = createHttpServer((incoming, response) => gate.#pass(target, incoming, response))
    const gate = new ExpiryGate(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return gate
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  expire(url: string, expired: string): void {
    this.#expiring = { url, expired, isAsked: false }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #pass(port: number, incoming: IncomingMessage, response: ServerResponse): void {
    const { method, headers, url = '' } = incoming
    const expiring = this.endpoint + url === this.#expiring?.url ? this.#expiring : undefined
    const path = expiring?.isAsked === true ? expiring.expired.slice(this.endpoint.length) : url
    let left = expiring?.isAsked === false ? CUT_AFTER : Number.POSITIVE_INFINITY
    if (expiring !== undefined) expiring.isAsked = true
    // The signature covers the host that the client names.
    const onward = request({ host: '127.0.0.1', port, method, headers, path, agent: false }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.on('data', (chunk: Buffer) => {
        left -= chunk.byteLength
        if (left < 0) response.destroy()
      })
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    incoming.pipe(onward)
  }
}

describe('real origins', { timeout: 600_000 }, () => {
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
    const isUp = (): Promise<boolean> =>
      fetch(url, { method: 'HEAD' }).then(
        ({ ok }) => ok,
        () => false
      )
    while (!(await isUp())) {
      assert.equal(nginx.exitCode, null, 'nginx ended')
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
    await using gate = await ExpiryGate.open(port)
    const client = new S3Client({
      endpoint: gate.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }
    })
    await client.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'file.bin', Body: content }))
    const presign = (expiresIn: number, signingDate = new Date()): Promise<string> =>
      getSignedUrl(client, new GetObjectCommand({ Bucket: 'bucket', Key: 'file.bin' }), { expiresIn, signingDate })
    const manifest = await createManifestFromUrl(await presign(3000))
    assert.equal((await createManifestFromUrl(await presign(2000))).root, manifest.root)
    await get(await node(), { ...manifest, origins: [await presign(3000)] })

    const expiring = await presign(1000)
    gate.expire(expiring, await presign(1000, new Date(Date.now() - 2_000_000)))
    const reasons: string[] = []
    const transfer = await get(
      await node(),
      { ...manifest, origins: [expiring] },
      {
        origin: {
          connections: 1,
          freshUrl: async (_url, why) => {
            reasons.push(why)
            return presign(3000)
          }
        }
      }
    )
    assert.equal(reasons.length, 1)
    assert.match(reasons.join(), /403.*expired/i)
    const { bytes = 0 } = transfer.snapshot().origin ?? {}
    assert.ok(bytes >= content.byteLength && bytes <= content.byteLength * 1.1, `${bytes} bytes of ${content.byteLength}`)
    client.destroy()
  })
})
