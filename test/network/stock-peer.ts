/**
 * A peer built from unmodified libp2p modules that speaks the pieces protocol in the simplest way: one send per frame, no queue. What
 * another implementation would be, and a way to misbehave on purpose.
 */

import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import type { Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import {
  decodeMessage,
  encodeMessage,
  encodePieceHeader,
  FRAME_HEADER_BYTES,
  PIECE_FRAME_TYPE,
  PIECE_HEADER_BYTES
} from '../../src/wire/codec.ts'
import { LANE_PROTOCOL, type Message, PIECES_PROTOCOL, WIRE_VERSION } from '../../src/wire/messages.ts'
import { Arrivals } from './support.ts'

export const PIECE_COUNT = 64
const LIMITS = { pieceCount: PIECE_COUNT, maxPieceBytes: 256 * 1024 }

export async function createStockNode(encryption: 'tls' | 'noise' | 'both'): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: encryption === 'tls' ? [tls()] : encryption === 'noise' ? [noise()] : [tls(), noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() }
  })
}

export type Arrived = Message | { type: 'piece'; piece: number; data: Uint8Array }

/** One stream of the pieces protocol, spoken by hand. */
export class StockStream {
  readonly stream: Stream
  readonly arrived = new Arrivals<Arrived>()
  readonly closed = new Arrivals<Error | undefined>()
  #pending = new Uint8Array(0)

  constructor(stream: Stream) {
    this.stream = stream
    stream.addEventListener('message', ({ data }) => {
      const chunk = data.subarray()
      const joined = new Uint8Array(this.#pending.byteLength + chunk.byteLength)
      joined.set(this.#pending)
      joined.set(chunk, this.#pending.byteLength)
      this.#pending = joined
      this.#parse()
    })
    stream.addEventListener('close', event => this.closed.push(event.error))
    stream.addEventListener('remoteCloseWrite', () => {
      stream.close().catch(() => {})
    })
  }

  #parse(): void {
    for (;;) {
      if (this.#pending.byteLength < FRAME_HEADER_BYTES) return
      const length = new DataView(this.#pending.buffer).getUint32(0)
      if (this.#pending.byteLength < 4 + length) return
      const type = this.#pending[4] as number
      const frame = this.#pending.slice(0, 4 + length)
      this.#pending = this.#pending.slice(4 + length)
      if (type === PIECE_FRAME_TYPE) {
        const piece = new DataView(frame.buffer).getUint32(FRAME_HEADER_BYTES)
        this.arrived.push({ type: 'piece', piece, data: frame.slice(PIECE_HEADER_BYTES) })
      } else {
        this.arrived.push(decodeMessage(type, frame.subarray(FRAME_HEADER_BYTES), LIMITS))
      }
    }
  }

  say(message: Message): void {
    this.stream.send(encodeMessage(message))
  }

  hello(root: Uint8Array): void {
    this.say({ type: 'hello', version: WIRE_VERSION, root, pieceCount: PIECE_COUNT, labels: {} })
  }

  piece(piece: number, data: Uint8Array): void {
    this.stream.send(encodePieceHeader(piece, data.byteLength))
    this.stream.send(data)
  }
}

/** Opens the pieces protocol from a stock node to one of our hosts. */
export async function openStock(node: Libp2p, address: string): Promise<StockStream> {
  return new StockStream(await node.dialProtocol(multiaddr(address), PIECES_PROTOCOL))
}

/** Opens a lane, on a connection of its own. */
export async function openStockLane(node: Libp2p, address: string): Promise<StockStream> {
  const connection = await node.dial(multiaddr(address), { force: true })
  return new StockStream(await connection.newStream(LANE_PROTOCOL))
}
