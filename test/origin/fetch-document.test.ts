/** Documents that a client named by a URL: what is refused, and that nothing lasts longer than its bounds. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { NotFoundError, RequestRefusedError } from '../../src/errors.ts'
import { fetchDocument } from '../../src/origin/fetch-document.ts'

const BOUNDS = { allowPrivate: true, maxBytes: 1000, timeoutMs: 10_000 }

async function serve(listener: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
}

describe('a document of a URL', () => {
  it('comes whole, over redirects', async () => {
    await using server = await serve((asked, reply) => {
      if (asked.url === '/here') reply.end('document')
      else reply.writeHead(302, { location: '/here' }).end()
    })
    assert.equal(Buffer.from(await fetchDocument(server.url, BOUNDS)).toString(), 'document')
  })

  it('is refused beyond the bytes allowed, whatever length it says', async () => {
    await using server = await serve((_, reply) => void reply.end(Buffer.alloc(1001)))
    await assert.rejects(fetchDocument(server.url, BOUNDS), RequestRefusedError)
  })

  it('is given up when it takes too long, before the answer and within it', async () => {
    await using server = await serve((asked, reply) => {
      if (asked.url === '/body') reply.write('some')
    })
    const hasty = { ...BOUNDS, timeoutMs: 200 }
    await assert.rejects(fetchDocument(server.url, hasty), NotFoundError)
    await assert.rejects(fetchDocument(`${server.url}/body`, hasty), NotFoundError)
  })

  it('is not asked of private addresses unless allowed, by number or by name', async () => {
    let asked = 0
    await using server = await serve((_, reply) => {
      asked++
      reply.end()
    })
    const port = new URL(server.url).port
    for (const url of [server.url, `http://localhost:${port}`, `http://[::1]:${port}`]) {
      await assert.rejects(fetchDocument(url, { ...BOUNDS, allowPrivate: false }), RequestRefusedError)
    }
    assert.equal(asked, 0)
  })

  it('that turns in circles, is missing or breaks off is an error that says so', async () => {
    await using server = await serve((asked, reply) => {
      if (asked.url === '/circle') reply.writeHead(302, { location: '/circle' }).end()
      else if (asked.url === '/broken') reply.writeHead(200, { 'content-length': '100' }).write('x', () => reply.destroy())
      else reply.writeHead(404).end()
    })
    await assert.rejects(fetchDocument(`${server.url}/circle`, BOUNDS), /redirects more than/)
    await assert.rejects(fetchDocument(`${server.url}/missing`, BOUNDS), /answered 404/)
    await assert.rejects(fetchDocument(`${server.url}/broken`, BOUNDS), NotFoundError)
  })
})
