/**
 * What one thing that a node does costs in CPU time: a connection, a lookup, a message, a piece. Both ends
 * run in this process, so a figure is the sum over all nodes that take part.
 *
 *   node bench/suite/costs.ts <name>     prints {"firstCpuMs": …, "cpuMs": …} for one time
 *
 * The first ones in a process run code that V8 has not compiled yet, and are most of what a node does that
 * lives for a minute: they are a figure of their own. Run by cost-workloads.ts, one process for each cost.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Bitfield } from '../../src/content/bitfield.ts'
import { createHost } from '../../src/network/host.ts'
import type { Host, HostOptions, PeerStream, PeerStreamHandlers, SwarmListener } from '../../src/network/types.ts'
import { openFileStore } from '../../src/store/download/file-store.ts'
import { hashContent } from '../../src/store/hash-content.ts'
import { loadHasher } from '../../src/store/hasher.ts'
import { WIRE_VERSION } from '../../src/wire/messages.ts'

const PIECE_BYTES = 256 * 1024
const PIECE_COUNT = 1024
/** Nodes of the DHT that is asked, and members of the topic that is gossiped in. */
const DHT_NODES = 16
const MEMBERS = 9
/** What follows a connection (identify, gossip's streams) is over by then; waiting costs no CPU. */
const SETTLE_MS = 100

export interface Cost {
  /** For one time, over all nodes that take part: the first times in a process, and those after. */
  readonly firstCpuMs: number
  readonly cpuMs: number
}

interface Plan {
  /** How often it is done, and how many of these are the first. */
  readonly times: number
  readonly first: number
  run(index: number): Promise<unknown>
}

const hosts: Host[] = []

async function newHost(options: Partial<HostOptions> = {}): Promise<Host> {
  const host = await createHost({ listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, ...options })
  hosts.push(host)
  return host
}

const rootOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
const SILENT: PeerStreamHandlers = { onMessage: () => {}, onPiece: () => {}, onClose: () => {} }

function listenerFor(
  root: Uint8Array,
  onPeerStream: (peerStream: PeerStream) => void = peerStream => peerStream.start(SILENT)
): SwarmListener {
  return {
    root,
    hello: { type: 'hello', version: WIRE_VERSION, pieceCount: PIECE_COUNT, labels: {} },
    maxPieceBytes: PIECE_BYTES,
    accepts: () => true,
    onPeerStream,
    pieceList: () => undefined
  }
}

/**
 * One node that others connect to one by one: dial, handshake, identify of both, the stream and both hellos.
 */
async function connection(): Promise<Plan> {
  const times = 32
  const root = rootOf(1)
  const center = await newHost()
  center.listen(listenerFor(root))
  for (let index = 0; index < times; index++) await newHost()
  return { times, first: 8, run: async index => await openPeerStream(hosts[index + 1] as Host, center, root) }
}

async function openPeerStream(from: Host, to: Host, root: Uint8Array): Promise<PeerStream> {
  const opened = await from.connect(to.peer, to.addresses(), listenerFor(root))
  opened.start(SILENT)
  await sleep(SETTLE_MS)
  return opened
}

/** One more connection for the pieces of a neighbour that stands. */
async function pieceConnection(): Promise<Plan> {
  const times = 16
  const root = rootOf(1)
  const center = await newHost()
  center.listen(listenerFor(root))
  const peerStreams: PeerStream[] = []
  for (let index = 0; index < times; index++) peerStreams.push(await openPeerStream(await newHost(), center, root))
  return {
    times,
    first: 4,
    run: async index => {
      peerStreams[index]?.separatePieces()
      await sleep(SETTLE_MS)
      if (peerStreams[index]?.hasPieceConnection !== true) throw new Error('no lane came')
    }
  }
}

/** Nodes that all know one, and the root that the last one announced. */
async function dht(): Promise<Uint8Array> {
  const first = await newHost()
  const bootstrap = [first.addresses()[0] as string]
  for (let index = 1; index < DHT_NODES; index++) await (await newHost({ bootstrap })).bootstrapped
  // Each asks for its own neighbourhood first.
  await sleep(2000)
  const root = rootOf(1)
  await hosts.at(-1)?.router.announce(root)
  return root
}

async function lookup(): Promise<Plan> {
  const root = await dht()
  return {
    times: 28,
    first: 7,
    run: async index => {
      const found: string[] = []
      for await (const { peer } of (hosts[index % (DHT_NODES - 1)] as Host).router.find(root)) found.push(peer)
      if (found.length === 0) throw new Error('nobody found')
    }
  }
}

async function announcement(): Promise<Plan> {
  await dht()
  return {
    times: 28,
    first: 7,
    run: async index => await hosts[index % DHT_NODES]?.router.announce(rootOf(index + 2))
  }
}

/** One availability of one member, signed, until all others have it. */
async function gossip(): Promise<Plan> {
  const root = rootOf(1)
  const heard = new Set<string>()
  for (let index = 0; index < MEMBERS; index++) {
    const host = await newHost({ dht: false })
    host.listen(listenerFor(root))
    for (const other of hosts.slice(0, -1)) await openPeerStream(host, other, root)
  }
  const topics = await Promise.all(hosts.map((host, at) => host.join(root, ({ bits }) => heard.add(`${at} ${bits.join()}`))))
  await sleep(1000)
  return {
    times: 64,
    first: 16,
    run: async index => {
      const have = new Bitfield(PIECE_COUNT)
      have.set(index)
      const bits = have.toBytes()
      const from = index % MEMBERS
      const { peer } = hosts[from] as Host
      await topics[from]?.publish({ peer, addresses: hosts[from]?.addresses() ?? [], pieceCount: PIECE_COUNT, bits })
      for (let at = 0; at < MEMBERS; at++) while (at !== from && !heard.has(`${at} ${bits.join()}`)) await sleep(1)
    }
  }
}

async function neighbourPair(handlers: PeerStreamHandlers): Promise<PeerStream> {
  const root = rootOf(1)
  const from = await newHost({ dht: false })
  const to = await newHost({ dht: false })
  to.listen(listenerFor(root, other => other.start(handlers)))
  return await openPeerStream(from, to, root)
}

/** `have` of one piece, `gathered` of them in one round of the event loop. */
function haves(gathered: number) {
  return async (): Promise<Plan> => {
    let heard = 0
    let wake = () => {}
    const onMessage = () => {
      if (++heard % gathered === 0) wake()
    }
    const opened = await neighbourPair({ ...SILENT, onMessage })
    return {
      times: 2048 / gathered,
      first: 256 / gathered,
      run: async index => {
        const arrived = new Promise<void>(resolve => {
          wake = resolve
        })
        for (let piece = 0; piece < gathered; piece++) opened.send({ type: 'have', pieces: [(index + piece) % PIECE_COUNT] })
        await arrived
      }
    }
  }
}

/** A piece in memory that is asked for, sent and gathered, some on their way at once. */
async function pieceOverLink(): Promise<Plan> {
  const root = rootOf(1)
  const depth = 8
  const to = await newHost({ dht: false })
  const from = await newHost({ dht: false })
  from.listen(
    listenerFor(root, sender =>
      sender.start({
        ...SILENT,
        onMessage: message => {
          if (message.type !== 'request') return
          for (const piece of message.pieces) {
            const data = from.buffers.take(PIECE_BYTES)
            void sender.sendPiece({ piece, bytes: PIECE_BYTES }, data).then(isReleased => isReleased && from.buffers.give(data))
          }
        }
      })
    )
  )
  let wake = () => {}
  let received = 0
  const receiver = await to.connect(from.peer, from.addresses(), listenerFor(root))
  const onPiece = (_: unknown, data: Uint8Array) => {
    to.buffers.give(data)
    if (++received % depth === 0) wake()
  }
  receiver.start({ ...SILENT, onPiece })
  return {
    times: 512 / depth,
    first: 64 / depth,
    run: async () => {
      const arrived = new Promise<void>(resolve => {
        wake = resolve
      })
      receiver.send({ type: 'request', pieces: Array.from({ length: depth }, (_, piece) => piece), urgent: false })
      await arrived
    }
  }
}

/** Hashed and written to its place, or read from it. */
function pieceOnDisk(way: 'in' | 'out') {
  return async (): Promise<Plan> => {
    const folder = await mkdtemp(join(tmpdir(), 'swarm-cost-'))
    const path = join(folder, 'content')
    const content = Buffer.alloc(256 * PIECE_BYTES)
    for (let at = 0; at < content.length; at += 4096) content.writeUInt32LE(at, at)
    await writeFile(path, content)
    const { hash } = await loadHasher()
    const { manifest } = await hashContent(path, { pieceLength: PIECE_BYTES, hash })
    const store = await openFileStore({ manifest, output: join(folder, 'copy'), stateDir: join(folder, 'state'), hash })
    atEnd.push(async () => {
      await store.close()
      await rm(folder, { recursive: true })
    })
    const piece = (index: number): Uint8Array => content.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)
    if (way === 'in') return { times: 256, first: 32, run: async index => await store.write(index, piece(index)) }
    for (let index = 0; index < 256; index++) await store.write(index, piece(index))
    const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES)
    return { times: 256, first: 32, run: async index => await store.read(index, buffer) }
  }
}

/** For each name: how it is set up, and how many of the thing that is counted one time holds. */
const COSTS: Readonly<Record<string, { each: number; plan(): Promise<Plan> }>> = {
  connection: { each: 1, plan: connection },
  pieceConnection: { each: 1, plan: pieceConnection },
  lookup: { each: 1, plan: lookup },
  announcement: { each: 1, plan: announcement },
  gossip: { each: MEMBERS - 1, plan: gossip },
  have: { each: 1, plan: haves(1) },
  'have-gathered': { each: 16, plan: haves(16) },
  'piece-link': { each: 8, plan: pieceOverLink },
  'piece-in': { each: 1, plan: pieceOnDisk('in') },
  'piece-out': { each: 1, plan: pieceOnDisk('out') }
}

const atEnd: (() => Promise<void>)[] = []

async function measure(name: string): Promise<Cost> {
  const cost = COSTS[name]
  if (cost === undefined) throw new RangeError(`no cost ${name}; there are ${Object.keys(COSTS).join(', ')}`)
  const { times, first, run } = await cost.plan()
  const between = async (from: number, to: number): Promise<number> => {
    const before = process.cpuUsage()
    for (let index = from; index < to; index++) await run(index)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000 / (to - from) / cost.each
  }
  return { firstCpuMs: await between(0, first), cpuMs: await between(first, times) }
}

console.log(JSON.stringify(await measure(process.argv[2] ?? '')))
for (const end of atEnd) await end()
await Promise.all(hosts.map(host => host.stop()))
process.exit()
