/**
 * What one peer stream carries: a sender and a receiver, two processes on this machine, pieces from memory,
 * each hashed on arrival, nothing on disk. Says MB/s and CPU-seconds per GiB of both ends, by encryption.
 *
 *   node bench/peer-stream.ts [--mib 512] [--runs 3] [--modes tls,noise,tls-stock,noise-stock] [--profile]
 */

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { blake3 } from '@napi-rs/blake-hash'
import { createHost } from '../src/network/host.ts'
import type { PeerStream, SwarmListener } from '../src/network/types.ts'
import { WIRE_VERSION } from '../src/wire/messages.ts'

const PIECE_BYTES = 256 * 1024
const DEPTH = 16
const ROOT = new Uint8Array(32).fill(7)

const { values: flags } = parseArgs({
  options: {
    mib: { type: 'string', default: '512' },
    runs: { type: 'string', default: '3' },
    modes: { type: 'string', default: 'tls,noise,tls-stock,noise-stock' },
    send: { type: 'string' },
    receive: { type: 'string' },
    mode: { type: 'string', default: 'tls' },
    profile: { type: 'boolean', default: false },
    node: { type: 'string', default: '' }
  }
})
const pieceCount = (Number(flags.mib) * 1024 * 1024) / PIECE_BYTES

function listener(onPeerStream: (peerStream: PeerStream) => void): SwarmListener {
  return {
    root: ROOT,
    hello: { type: 'hello', version: WIRE_VERSION, pieceCount, labels: {} },
    maxPieceBytes: PIECE_BYTES,
    accepts: () => true,
    onPeerStream,
    pieceList: () => undefined
  }
}

function hostOf(mode: string) {
  return createHost({
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    dht: false,
    encryption: mode.startsWith('noise') ? 'noise' : 'tls',
    fastPaths: !mode.endsWith('-stock')
  })
}

function cpuSeconds(from: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1e6
}

async function send(mode: string): Promise<void> {
  const host = await hostOf(mode)
  host.listen(
    listener(peerStream => {
      const cpu = process.cpuUsage()
      peerStream.start({
        onMessage: message => {
          if (message.type !== 'request') return
          for (const piece of message.pieces) {
            const data = host.buffers.take(PIECE_BYTES)
            data[0] = piece
            peerStream.sendPiece({ piece, bytes: PIECE_BYTES }, data).then(
              isReleased => isReleased && host.buffers.give(data),
              () => {}
            )
          }
        },
        onPiece: () => {},
        onClose: async () => {
          process.send?.({ cpu: cpuSeconds(cpu), rss: process.resourceUsage().maxRSS / 1024 })
          await host.stop()
        }
      })
    })
  )
  process.send?.({ address: host.addresses()[0] })
}

async function receive(mode: string, address: string): Promise<void> {
  const host = await hostOf(mode)
  const peer = address.split('/p2p/')[1] as string
  const peerStream = await host.connect(
    peer,
    [address],
    listener(() => {})
  )
  const cpu = process.cpuUsage()
  const started = performance.now()
  let next = 0
  let received = 0
  const done = Promise.withResolvers<void>()
  const requestMore = () => {
    const pieces: number[] = []
    while (next < pieceCount && next - received < DEPTH) pieces.push(next++)
    if (pieces.length > 0) peerStream.send({ type: 'request', pieces, urgent: false })
  }
  peerStream.start({
    onMessage: () => {},
    onPiece: (_header, data) => {
      blake3(data)
      host.buffers.give(data)
      received++
      if (received === pieceCount) done.resolve()
      else requestMore()
    },
    onClose: reason => done.reject(new Error(reason))
  })
  requestMore()
  await done.promise
  const seconds = (performance.now() - started) / 1000
  const { encryption } = peerStream
  process.send?.({ seconds, encryption, cpu: cpuSeconds(cpu), rss: process.resourceUsage().maxRSS / 1024 })
  peerStream.close('done')
  await host.stop()
}

interface Report {
  address: string
  seconds: number
  encryption: string
  cpu: number
  rss: number
}

function child(args: string[]) {
  const node = [
    ...(flags.profile ? ['--cpu-prof', '--cpu-prof-dir=/tmp/link-prof'] : []),
    ...(flags.node as string).split(' ').filter(Boolean)
  ]
  const process_ = spawn(process.execPath, [...node, fileURLToPath(import.meta.url), '--mib', String(flags.mib), ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  const exited = new Promise(resolve => process_.once('exit', resolve))
  const report = () => new Promise<Report>(resolve => process_.once('message', message => resolve(message as Report)))
  return { report, exited }
}

async function main(): Promise<void> {
  for (const mode of (flags.modes as string).split(',')) {
    for (let run = 0; run < Number(flags.runs); run++) {
      const sender = child(['--send', '1', '--mode', mode])
      const { address } = await sender.report()
      const receiver = child(['--receive', address, '--mode', mode])
      const sent = sender.report()
      const received = await receiver.report()
      const { cpu, rss } = await sent
      await Promise.all([sender.exited, receiver.exited])
      const gib = Number(flags.mib) / 1024
      const mbps = (Number(flags.mib) * 1.048576) / received.seconds
      console.log(
        `${mode.padEnd(11)} ${received.encryption.padEnd(6)} ${mbps.toFixed(0).padStart(5)} MB/s  CPU-s/GiB send ${(cpu / gib).toFixed(2)} receive ${(received.cpu / gib).toFixed(2)} both ${((cpu + received.cpu) / gib).toFixed(2)}  peak RSS send ${rss.toFixed(0)} receive ${received.rss.toFixed(0)} MiB`
      )
    }
  }
}

if (flags.send !== undefined) await send(flags.mode as string)
else if (flags.receive !== undefined) await receive(flags.mode as string, flags.receive)
else await main()
