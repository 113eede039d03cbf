/** An HTTP server of one file that can misbehave in the ways that origins do, and counts what it serves. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Misbehaviour {
  /** Answer instead of the file; true when it did. */
  answer?: (request: IncomingMessage, response: ServerResponse, served: number) => boolean
  /** Ignore Range. */
  noRange?: boolean
  etag?: () => string
  /** Bytes per second over all connections. */
  bytesPerSecond?: number
  /** Cut connections after so many bytes of a body. */
  cutAfter?: number
}

export interface OriginServer extends AsyncDisposable {
  readonly url: string
  content: Buffer
  behaviour: Misbehaviour
  /** Body bytes written to sockets. */
  served: number
  requests: { url: string; range: string | undefined }[]
}

export async function startOrigin(content: Buffer, behaviour: Misbehaviour = {}): Promise<OriginServer> {
  let freeMs = performance.now()
  const server = createServer((request, response) => {
    origin.requests.push({ url: request.url ?? '', range: request.headers.range })
    if (origin.behaviour.answer?.(request, response, origin.served) === true) return
    const range = origin.behaviour.noRange === true ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const total = origin.content.byteLength
    const start = range === null ? 0 : Number(range[1])
    const end = range === null || range[2] === '' ? total : Math.min(total, Number(range[2]) + 1)
    const headers: Record<string, string> = {
      etag: origin.behaviour.etag?.() ?? '"one"',
      'content-length': String(Math.max(0, end - start))
    }
    if (range !== null && start >= total) {
      response.writeHead(416, { 'content-range': `bytes */${total}` }).end()
      return
    }
    if (range !== null) headers['content-range'] = `bytes ${start}-${end - 1}/${total}`
    response.writeHead(range === null ? 200 : 206, headers)
    response.setMaxListeners(0)
    void send(origin.content.subarray(start, end), response)
  })
  const send = async (bytes: Buffer, response: ServerResponse): Promise<void> => {
    let sent = 0
    for (let at = 0; at < bytes.byteLength; at += 16_384) {
      const chunk = bytes.subarray(at, at + 16_384)
      const { bytesPerSecond, cutAfter } = origin.behaviour
      if (bytesPerSecond !== undefined) {
        freeMs = Math.max(freeMs, performance.now() - 50) + (chunk.byteLength / bytesPerSecond) * 1000
        const waitMs = freeMs - performance.now()
        if (waitMs > 0) await new Promise(resolve => setTimeout(resolve, waitMs))
      }
      if (response.destroyed) return
      if (cutAfter !== undefined && sent >= cutAfter) {
        response.destroy()
        return
      }
      sent += chunk.byteLength
      origin.served += chunk.byteLength
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]).catch(() => {})
    }
    response.end()
  }
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const origin: OriginServer = {
    url: `http://127.0.0.1:${port}/file.bin`,
    content,
    behaviour,
    served: 0,
    requests: [],
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
  return origin
}
