/**
 * A peer built from unmodified libp2p modules that speaks the pieces protocol in the simplest way: one send
 * per frame, no queue. What another implementation would be, and a way to misbehave on purpose.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import type { Connection, Stream } from '@libp2p/interface'
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
import {
  type Answer,
  decodeHandshake,
  encodeHandshake,
  handshakeBodyBytes,
  isProven,
  type Open,
  prove,
  rootKeyOf
} from '../../src/wire/handshake.ts'
import { type Message, PIECE_CONNECTION_PROTOCOL, PIECES_PROTOCOL, WIRE_VERSION } from '../../src/wire/messages.ts'
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

/** One stream of the pieces protocol or of a piece connection, spoken by hand. */
export class StockStream {
  readonly stream: Stream
  readonly arrived = new Arrivals<Arrived>()
  /** The other side has proven the root. */
  readonly proven = new Arrivals<'answer' | 'confirm'>()
  /** Every byte that came. */
  bytesIn = 0
  readonly closed = new Arrivals<Error | undefined>()
  readonly #self: string
  readonly #peer: string
  readonly #isOpener: boolean
  #root: Uint8Array | undefined
  /** Nonces of both sides, as far as known. */
  readonly #nonces = { opener: new Uint8Array(randomBytes(32)), answerer: new Uint8Array(randomBytes(32)) }
  #opened: Open | undefined
  #pending = new Uint8Array(0)

  constructor(stream: Stream, { remotePeer }: Connection, self: string, isOpener: boolean) {
    this.stream = stream
    this.#self = self
    this.#peer = remotePeer.toString()
    this.#isOpener = isOpener
    stream.addEventListener('message', ({ data }) => {
      const chunk = data.subarray()
      this.bytesIn += chunk.byteLength
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
      const body = frame.subarray(FRAME_HEADER_BYTES)
      if (handshakeBodyBytes(type) !== undefined) {
        this.#handleHandshake(type, body)
      } else if (type === PIECE_FRAME_TYPE) {
        const piece = new DataView(frame.buffer).getUint32(FRAME_HEADER_BYTES)
        this.arrived.push({ type: 'piece', piece, data: frame.slice(PIECE_HEADER_BYTES) })
      } else {
        this.arrived.push(decodeMessage(type, body, LIMITS))
      }
    }
  }

  say(message: Message): void {
    this.stream.send(encodeMessage(message))
  }

  /** Says hello once the other side has proven this root, and proves it. */
  hello(root: Uint8Array): void {
    this.#root = root
    if (this.#isOpener) this.open(root)
    else if (this.#opened !== undefined) this.#answer(this.#opened)
  }

  /** The first frame; `proof` replaces the right one. */
  open(root: Uint8Array, proof = this.proofOf('open', root)): void {
    const { digest } = rootKeyOf(root)
    this.stream.send(encodeHandshake({ type: 'open', digest, nonce: this.#nonces.opener, canBind: false, proof }))
  }

  proofOf(step: 'open' | 'answer' | 'confirm', root: Uint8Array): Uint8Array {
    const [opener, answerer] = this.#isOpener ? [this.#self, this.#peer] : [this.#peer, this.#self]
    const answererNonce = step === 'open' ? undefined : this.#nonces.answerer
    const { protocol } = this.stream
    return prove(step, rootKeyOf(root), { protocol, opener, answerer, openerNonce: this.#nonces.opener, answererNonce })
  }

  #handleHandshake(type: number, body: Uint8Array): void {
    const frame = decodeHandshake(type, body)
    if (frame.type === 'open') {
      this.#opened = frame
      this.#nonces.opener = new Uint8Array(frame.nonce)
      if (this.#root !== undefined) this.#answer(frame)
    } else {
      if (frame.type === 'answer') this.#nonces.answerer = new Uint8Array((frame satisfies Answer).nonce)
      assert.ok(isProven(frame.proof, this.proofOf(frame.type, this.#root as Uint8Array)), `${frame.type} is proven`)
      if (frame.type === 'answer') this.#confirm()
      this.proven.push(frame.type)
    }
  }

  #answer(open: Open): void {
    const root = this.#root as Uint8Array
    assert.ok(isProven(open.proof, this.proofOf('open', root)), 'open is proven')
    const proof = this.proofOf('answer', root)
    this.stream.send(encodeHandshake({ type: 'answer', isBound: false, nonce: this.#nonces.answerer, proof }))
    this.#greet()
  }

  #confirm(): void {
    this.stream.send(encodeHandshake({ type: 'confirm', proof: this.proofOf('confirm', this.#root as Uint8Array) }))
    if (this.stream.protocol === PIECES_PROTOCOL) this.#greet()
  }

  #greet(): void {
    this.say({ type: 'hello', version: WIRE_VERSION, pieceCount: PIECE_COUNT, labels: {} })
  }

  piece(piece: number, data: Uint8Array): void {
    this.stream.send(encodePieceHeader(piece, data.byteLength))
    this.stream.send(data)
  }
}

/** Opens the pieces protocol from a stock node to one of our hosts. */
export async function openStock(node: Libp2p, address: string): Promise<StockStream> {
  const connection = await node.dial(multiaddr(address))
  return new StockStream(await connection.newStream(PIECES_PROTOCOL), connection, node.peerId.toString(), true)
}

/** Opens a piece connection, on a connection of its own. */
export async function openStockPieceConnection(node: Libp2p, address: string): Promise<StockStream> {
  const connection = await node.dial(multiaddr(address), { force: true })
  return new StockStream(await connection.newStream(PIECE_CONNECTION_PROTOCOL), connection, node.peerId.toString(), true)
}
