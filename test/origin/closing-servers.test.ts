/**
 * Servers that close their connection while we are still reading slowly: no fault of theirs may end a
 * process.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createNode } from '../../src/index.ts'
import { createManifest } from '../../src/node/manifests.ts'

const MIB = 1024 * 1024
const content = randomBytes(6 * MIB + 321)

/** Answers as `python3 -m http.server` does: HTTP/1.0, no ranges, everything at once and then the end. */
async function startServer(headOf: (asked: string) => string, end: (socket: Socket) => void): Promise<Server> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', asked => {
      socket.write(headOf(String(asked)))
      socket.write(content)
      end(socket)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

describe('an origin that closes while we read slowly', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'swarm-closing-'))
    await writeFile(join(folder, 'file.bin'), content)
  })
  after(() => rm(folder, { recursive: true }))

  let count = 0
  async function get(server: Server): Promise<Buffer> {
    const manifest = await createManifest(join(folder, 'file.bin'), { stateDir: join(folder, 'state'), pieceLength: 64 * 1024 })
    const stateDir = join(folder, `state-${++count}`)
    const node = await createNode({ stateDir, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, dht: false })
    try {
      const output = join(folder, `got-${count}`)
      const origins = [`http://127.0.0.1:${(server.address() as AddressInfo).port}/file.bin`]
      const transfer = await node.get(manifest, { output, origins, origin: { bytesPerSecond: 4 * MIB } })
      await transfer.completed
      return await readFile(output)
    } finally {
      await node.stop()
      server.close()
    }
  }

  for (const run of [1, 2, 3]) {
    it(`gives the whole content, run ${run}`, async () => {
      const head = `HTTP/1.0 200 OK\r\ncontent-length: ${content.byteLength}\r\n\r\n`
      assert.ok(
        (
          await get(
            await startServer(
              () => head,
              socket => socket.end()
            )
          )
        ).equals(content)
      )
    })
  }

  it('gives the whole content where it says no length', async () => {
    const server = await startServer(
      () => 'HTTP/1.0 200 OK\r\n\r\n',
      socket => socket.end()
    )
    assert.ok((await get(server)).equals(content))
  })

  it('is asked again where it resets the first connections', async () => {
    let resets = 0
    const head = `HTTP/1.1 200 OK\r\ncontent-length: ${content.byteLength}\r\n\r\n`
    const server = await startServer(
      () => head,
      socket => {
        if (resets++ < 2) setTimeout(() => socket.resetAndDestroy(), 50)
        else socket.end()
      }
    )
    assert.ok((await get(server)).equals(content))
  })
})
