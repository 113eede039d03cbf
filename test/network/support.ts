/**
 * What the network's tests share: hosts on loopback, a listener that records, and waiting by event with a
 * deadline.
 */

import { createHost } from '../../src/network/host.ts'
import type { Host, HostOptions, PeerStream, PeerStreamHandlers, SwarmListener } from '../../src/network/types.ts'
import { type Message, type PieceHeader, WIRE_VERSION } from '../../src/wire/messages.ts'

/** Far beyond what anything takes; a test that reaches it has failed. */
const DEADLINE_MS = 120_000

export const LOOPBACK: Partial<HostOptions> = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false }

/** Hosts that the test ends with. */
export class Hosts {
  readonly #hosts: Host[] = []

  async create(options: Partial<HostOptions> = {}): Promise<Host> {
    const host = await createHost({ ...LOOPBACK, ...options })
    this.#hosts.push(host)
    return host
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.splice(0).map(host => host.stop()))
  }
}

export function rootOf(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill)
}

/** A value that a test waits for, and a queue of those that came. */
export class Arrivals<T> {
  readonly all: T[] = []
  readonly #waiters = new Set<() => void>()

  push(value: T): void {
    this.all.push(value)
    for (const waiter of [...this.#waiters]) waiter()
  }

  /** Resolves once at least `count` have arrived; rejects at the deadline. */
  async until(count: number, what: string): Promise<T[]> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const check = () => {
      if (this.all.length >= count) resolve()
    }
    const timer = setTimeout(() => reject(new Error(`waited for ${count} x ${what}, got ${this.all.length}`)), DEADLINE_MS)
    this.#waiters.add(check)
    check()
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#waiters.delete(check)
    }
    return this.all
  }
}

/** Records everything that one peer stream says; gives the first message, piece or reason to who waits. */
export class RecordedPeerStream {
  readonly peerStream: PeerStream
  readonly messages = new Arrivals<Message>()
  readonly pieces = new Arrivals<{ header: PieceHeader; data: Uint8Array }>()
  readonly closed = new Arrivals<string>()

  constructor(peerStream: PeerStream, handlers: Partial<PeerStreamHandlers> = {}) {
    this.peerStream = peerStream
    peerStream.start({
      onMessage: message => {
        this.messages.push(message)
        handlers.onMessage?.(message)
      },
      onPiece: (header, data) => {
        this.pieces.push({ header, data })
        handlers.onPiece?.(header, data)
      },
      onClose: reason => {
        this.closed.push(reason)
        handlers.onClose?.(reason)
      }
    })
  }
}

export interface RecordedListener extends SwarmListener {
  readonly peerStreams: Arrivals<RecordedPeerStream>
}

export function listenerFor(root: Uint8Array, overrides: Partial<SwarmListener> = {}): RecordedListener {
  const peerStreams = new Arrivals<RecordedPeerStream>()
  return {
    root,
    hello: { type: 'hello', version: WIRE_VERSION, pieceCount: 64, labels: {} },
    maxPieceBytes: 256 * 1024,
    accepts: () => true,
    onPeerStream: peerStream => peerStreams.push(new RecordedPeerStream(peerStream)),
    pieceList: () => undefined,
    ...overrides,
    peerStreams
  }
}

/**
 * Resolves when `condition` holds, asked again after each event loop turn; for state that has no event of its
 * own.
 */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
