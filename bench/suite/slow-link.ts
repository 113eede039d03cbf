/**
 * A link with a rate and a round trip, in user space: a TCP proxy that hands on what it reads as late as such
 * a link would.
 *
 * Each direction sends at most `bytesPerSecond` and takes half of the round trip; what is under way and a
 * buffer of a router wait in memory, more is not read. Used by workloads.ts.
 */

import { connect, createServer, type Socket } from 'node:net'

export interface SlowLinkOptions {
  readonly roundTripMs: number
  readonly bytesPerSecond: number
}

/** What a router would hold in front of the link. */
const ROUTER_BYTES = 4 * 1024 * 1024

export class SlowLink {
  readonly port: number
  readonly #close: () => void

  private constructor(port: number, close: () => void) {
    this.port = port
    this.#close = close
  }

  /** Listens on a port of its own and passes on to `targetPort`, both on this machine. */
  static async open(targetPort: number, options: SlowLinkOptions): Promise<SlowLink> {
    const sockets = new Set<Socket>()
    const server = createServer({ noDelay: true }, near => {
      const far = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => sockets.delete(socket))
      }
      pass(near, far, options)
      pass(far, near, options)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return new SlowLink((server.address() as { port: number }).port, () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
  }

  [Symbol.dispose](): void {
    this.#close()
  }
}

function pass(from: Socket, to: Socket, { roundTripMs, bytesPerSecond }: SlowLinkOptions): void {
  const delayMs = roundTripMs / 2
  const maxBytes = (bytesPerSecond * delayMs) / 1000 + ROUTER_BYTES
  const underWay: { chunk: Buffer; dueMs: number }[] = []
  let bytes = 0
  let sentMs = 0
  let isWaiting = false
  const wait = (ms: number): void => {
    if (isWaiting) return
    isWaiting = true
    setTimeout(deliver, ms)
  }
  const deliver = (): void => {
    isWaiting = false
    const nowMs = performance.now()
    for (let next = underWay[0]; next !== undefined && next.dueMs <= nowMs; next = underWay[0]) {
      underWay.shift()
      bytes -= next.chunk.byteLength
      to.write(next.chunk)
    }
    if (bytes < maxBytes) from.resume()
    if (from.closed && underWay.length === 0) to.destroySoon()
    const next = underWay[0]
    if (next !== undefined) wait(next.dueMs - nowMs)
  }
  from.on('data', chunk => {
    sentMs = Math.max(sentMs, performance.now()) + (chunk.byteLength / bytesPerSecond) * 1000
    underWay.push({ chunk, dueMs: sentMs + delayMs })
    bytes += chunk.byteLength
    if (bytes >= maxBytes) from.pause()
    wait(0)
  })
  from.on('close', () => wait(0))
}
