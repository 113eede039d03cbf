/** One node and an HTTP origin that behaves, or does not. */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createNode, OriginError, type SwarmNode } from '../../src/index.ts'
import { createManifest, createManifestFromUrl } from '../../src/node/manifests.ts'
import type { GetOptions, Transfer } from '../../src/node/types.ts'
import { startOrigin } from './origin-server.ts'

const PIECE = 64 * 1024
const content = randomBytes(40 * PIECE + 777)

// Side by side: most of these wait, for a stall, for a later try, or for peers that might have what the
// origin refuses.
describe('an origin', { concurrency: true }, () => {
  let folder: string
  let manifest: Awaited<ReturnType<typeof createManifest>>
  const nodes: SwarmNode[] = []

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-origin-'))
    await writeFile(join(folder, 'file.bin'), content)
    manifest = await createManifest(join(folder, 'file.bin'), { stateDir: join(folder, 'state'), pieceLength: PIECE })
  })
  after(async () => {
    for (const node of nodes) await node.stop()
    await rm(folder, { recursive: true })
  })

  let count = 0
  async function get(
    origins: string[],
    options: GetOptions = {}
  ): Promise<{ transfer: Transfer; notes: string[]; path: string; node: SwarmNode }> {
    const path = join(folder, `got-${++count}`)
    const node = await createNode({
      stateDir: join(folder, `state-${count}`),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      dht: false
    })
    nodes.push(node)
    const transfer = await node.get(manifest, { output: path, origins, ...options })
    const notes: string[] = []
    transfer.on('warning', ({ message }) => notes.push(message))
    return { transfer, notes, path, node }
  }
  async function fails(origins: string[], options: GetOptions, fault: string, message: RegExp): Promise<string[]> {
    const { transfer, notes } = await get(origins, options)
    await assert.rejects(transfer.completed, err => {
      assert.ok(err instanceof OriginError, String(err))
      assert.equal(err.fault, fault)
      assert.match(err.message, message)
      return true
    })
    return notes
  }
  const isWhole = async (path: string): Promise<void> => assert.ok((await readFile(path)).equals(content))

  it('gives the whole content once, in ranges of many pieces', async () => {
    await using origin = await startOrigin(content)
    const { transfer, path } = await get([origin.url])
    await transfer.completed
    await isWhole(path)
    assert.equal(origin.served, content.byteLength)
    assert.ok(origin.requests.length < manifest.hashes.byteLength / 32, `${origin.requests.length} requests`)
    const { origin: seen, bytesDownloaded } = transfer.snapshot()
    assert.equal(seen?.bytes, content.byteLength)
    assert.equal(bytesDownloaded, content.byteLength)
  })

  it('that ignores Range is read from start to end, once', async () => {
    await using origin = await startOrigin(content, { noRange: true })
    const { transfer, path } = await get([origin.url])
    await transfer.completed
    await isWhole(path)
    assert.equal(origin.requests.filter(({ range }) => range === undefined).length, 1)
  })

  it('that cuts connections is asked for the rest', async () => {
    await using origin = await startOrigin(content, { cutAfter: 5 * PIECE })
    const { transfer, path } = await get([origin.url])
    await transfer.completed
    await isWhole(path)
  })

  it('that stalls half way is asked again for the rest, and given up when it gives nothing', async () => {
    await using origin = await startOrigin(content)
    let isStalled = false
    origin.behaviour.answer = (request, response) => {
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1])
      // Not at the end, where a piece may be all that was asked for.
      if (isStalled || start > 30 * PIECE) return false
      isStalled = true
      const headers = { 'content-length': content.byteLength - start, etag: '"one"' }
      response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${content.byteLength - 1}/${content.byteLength}` })
      response.write(content.subarray(start, start + PIECE + 100))
      return true
    }
    const hasty = { stallTimeoutMs: 1000 }
    const { transfer, path, notes } = await get([origin.url], { origin: hasty as object })
    await transfer.completed
    await isWhole(path)
    assert.match(notes.join(), /stumbles/)
    await using silent = await startOrigin(content, { answer: () => true })
    await fails(
      [silent.url],
      { origin: { ...hasty, giveUpMs: 1000 } as object },
      'unreachable',
      /gave nothing for \d+ s.*give another URL/
    )
  })

  it('that answers 503 is asked again, and redirects are followed', async () => {
    let refusals = 0
    await using origin = await startOrigin(content, {
      answer: (request, response) => {
        if (request.url === '/file.bin') {
          response.writeHead(302, { location: '/elsewhere' }).end()
          return true
        }
        if (refusals++ < 2) response.writeHead(503).end()
        return refusals <= 2
      }
    })
    const { transfer, path, notes } = await get([origin.url])
    await transfer.completed
    await isWhole(path)
    assert.match(notes.join(), /stumbles.*503/)
  })

  it('whose URL expires half way is replaced by a fresh one, and only what is missing is fetched', async () => {
    // Cut connections make sure that it is asked again.
    await using origin = await startOrigin(content, {
      cutAfter: 10 * PIECE,
      answer: (request, response, served) => {
        if (request.url?.includes('sig=new') === true || served < 10 * PIECE) return false
        response.writeHead(403).end('<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>')
        return true
      }
    })
    const asked: string[] = []
    const { transfer, path } = await get([`${origin.url}?sig=old`], {
      origin: {
        connections: 1,
        freshUrl: async (url, why) => {
          asked.push(`${url} ${why}`)
          delete origin.behaviour.cutAfter
          return `${origin.url}?sig=new`
        }
      }
    })
    await transfer.completed
    await isWhole(path)
    // A part of a piece, and what was on its way, went with the connection.
    assert.ok(origin.served <= content.byteLength + 5 * PIECE, `${origin.served} bytes were sent`)
    assert.ok(asked.length > 0)
    for (const each of asked) assert.match(each, /sig=old .*403 \(Request has expired\)/)
  })

  it('that refuses ends in words that hold no signature', async () => {
    await using origin = await startOrigin(content, {
      answer: (_request, response) => {
        response.writeHead(403).end()
        return true
      }
    })
    const notes = await fails([`${origin.url}?X-Amz-Signature=secret`], {}, 'refused', /answers 403; give a URL that works/)
    assert.ok(!notes.join().includes('secret'))
  })

  it('of another length ends with what is wrong', async () => {
    await using origin = await startOrigin(content.subarray(0, 100_000))
    await fails([origin.url], {}, 'changed', /is 100000 bytes long, the manifest says/)
  })

  it('with other bytes ends with the piece that did not match', async () => {
    await using origin = await startOrigin(randomBytes(content.byteLength))
    await fails([origin.url], {}, 'changed', /piece \d+ does not match its hash/)
  })

  it('that changes its ETag half way ends with both', async () => {
    await using origin = await startOrigin(content, { bytesPerSecond: 20_000_000 })
    origin.behaviour.etag = () => (origin.requests.length < 2 ? '"one"' : '"two"')
    await fails([origin.url], { origin: { connections: 2 } }, 'changed', /ETag was "one" and is "two"/)
  })

  it('given up leaves its place to the next', async () => {
    await using bad = await startOrigin(content.subarray(1))
    await using good = await startOrigin(content)
    const { transfer, path, notes } = await get([bad.url, good.url])
    await transfer.completed
    await isWhole(path)
    assert.match(notes.join(), /the next origin is asked/)
  })

  it('at a private address is not asked where that is not allowed, redirects included', async () => {
    await using origin = await startOrigin(content)
    await fails([origin.url], { origin: { allowPrivate: false } }, 'not_allowed', /127\.0\.0\.1 is not a public address/)
    await fails(
      [origin.url.replace('127.0.0.1', 'localhost')],
      { origin: { allowPrivate: false } },
      'not_allowed',
      /localhost is not a public/
    )
    assert.equal(origin.requests.length, 0)
  })

  it('keeps to its rate', async () => {
    await using origin = await startOrigin(content)
    const startedMs = performance.now()
    const { transfer } = await get([origin.url], { origin: { bytesPerSecond: 1_500_000 } })
    await transfer.completed
    assert.ok(performance.now() - startedMs > (content.byteLength / 1_500_000) * 900)
  })

  it('can be exchanged while the transfer waits', async () => {
    await using good = await startOrigin(content)
    await using bad = await startOrigin(content, {
      answer: (_request, response) => {
        response.writeHead(404).end()
        return true
      }
    })
    const { transfer, path } = await get([bad.url])
    await new Promise<void>(resolve => {
      transfer.on('warning', ({ code }) => {
        if (code === 'origin_failed') resolve()
      })
    })
    transfer.setOrigins([good.url])
    await transfer.completed
    await isWhole(path)
  })

  it('that failed leaves the content to who asks for it again at once', async () => {
    await using good = await startOrigin(content)
    await using bad = await startOrigin(content.subarray(1))
    const { transfer, path, node } = await get([bad.url])
    await assert.rejects(transfer.completed, { code: 'origin_failed' })
    const again = await node.get(manifest, { output: path, origins: [good.url] })
    await again.completed
    await isWhole(path)
  })

  it('gives the manifest that the file gives, streamed, also over broken connections', async () => {
    await using origin = await startOrigin(content, { cutAfter: 30 * PIECE })
    const made = await createManifestFromUrl(origin.url, { pieceLength: PIECE, keep: join(folder, 'kept') })
    assert.equal(made.root, manifest.root)
    assert.equal(made.name, 'file.bin')
    assert.deepEqual(made.origins, [origin.url])
    await isWhole(join(folder, 'kept'))
  })

  it('that changes while its manifest is made is told', async () => {
    await using origin = await startOrigin(content, { cutAfter: 30 * PIECE })
    origin.behaviour.etag = () => `"${origin.requests.length}"`
    await assert.rejects(createManifestFromUrl(origin.url), /changed while it was read/)
  })
})
