/**
 * Who may be connected: bounds in all and per address, and a few connections beyond them on which only health
 * is answered.
 *
 * Invariants: never more than `max` connections and `RESERVE` more; when all are taken the busiest address
 * gives way first, with the connection that has gone longest without a request, or whose reader has gone
 * longest without taking a byte; so a place, and health, can be taken from nobody by somebody else's
 * idleness. Called by http/ and the files front.
 */

import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Refusals } from '../daemon/refusals.ts'
import { isPublicAddress } from '../origin/public-address.ts'
import { addressGroup, LOCAL_GROUP } from './address-group.ts'

interface ConnectionsInit {
  max: number
  refusals: Refusals
  nowMs?: () => number
}

interface Entry {
  readonly socket: Socket
  readonly group: string
  readonly address: string
  /** Requests that are being answered. */
  requests: number
  /** When a request came or ended, or a reader took a byte. */
  lastMovedMs: number
  isReading: boolean
  /** Beyond the bound: only health is answered. */
  isReserve: boolean
}

/** Connections on which health is answered when all others are taken. */
const RESERVE = 32
/** Of the places, what one public address may have. Private ones may be a proxy, and loopback is. */
const PUBLIC_SHARE = 0.25
/** A reader that took no byte for this long may give way. */
const STALLED_MS = 2000

export class Connections {
  readonly #init: ConnectionsInit
  readonly #entries = new Map<string | Socket, Entry>()

  constructor(init: ConnectionsInit) {
    this.#init = init
  }

  attach(server: Server): void {
    server.maxConnections = this.#init.max + RESERVE + 1
    server.prependListener('connection', (socket: Socket) => this.#came(socket))
    server.prependListener('request', (request: IncomingMessage, response) => {
      const entry = this.#entries.get(keyOf(request.socket))
      if (entry === undefined) return
      entry.requests++
      entry.lastMovedMs = this.#nowMs()
      response.once('close', () => {
        entry.requests--
        entry.isReading = false
        entry.lastMovedMs = this.#nowMs()
      })
    })
    server.on('clientError', (err: NodeJS.ErrnoException, socket: Socket) => {
      if (err.code === 'ERR_HTTP_REQUEST_TIMEOUT')
        this.#init.refusals.record('first_byte_late', socket.remoteAddress ?? LOCAL_GROUP)
    })
  }

  /** Whether only health is to be answered on this connection. */
  isReserve(request: IncomingMessage): boolean {
    const entry = this.#entries.get(keyOf(request.socket))
    if (entry?.isReserve !== true) return false
    // Others have gone since.
    if (this.#count(each => !each.isReserve) < this.#init.max) entry.isReserve = false
    return entry.isReserve
  }

  /** A reader of the gateway began, or took bytes. */
  readerMoved(socket: Socket): void {
    const entry = this.#entries.get(keyOf(socket))
    if (entry === undefined) return
    entry.isReading = true
    entry.lastMovedMs = this.#nowMs()
  }

  #came(socket: Socket): void {
    const key = keyOf(socket)
    const address = socket.remoteAddress ?? LOCAL_GROUP
    const group = addressGroup(socket.remoteAddress)
    const entry = { socket, group, address, requests: 0, lastMovedMs: this.#nowMs(), isReading: false, isReserve: false }
    socket.once('close', () => {
      if (this.#entries.get(key)?.socket === socket) this.#entries.delete(key)
    })
    const { max, refusals } = this.#init
    const mine = this.#count(each => each.group === group)
    if (isPublicAddress(address) && mine >= Math.max(1, max * PUBLIC_SHARE) && !this.#giveWay(group)) {
      refusals.record('connection_refused', address)
      socket.destroy()
      return
    }
    if (this.#count(each => !each.isReserve) >= max && !this.#giveWay(this.#busiest())) {
      entry.isReserve = true
      const reserve = [...this.#entries.values()].filter(each => each.isReserve)
      // In the order in which they came.
      if (reserve.length >= RESERVE) this.#end(reserve[0] as Entry)
    }
    this.#entries.set(key, entry)
  }

  /** Ends the connection of the group that nobody misses most; false when all of them are at work. */
  #giveWay(group: string): boolean {
    let victim: Entry | undefined
    for (const entry of this.#entries.values()) {
      if (entry.group !== group || entry.isReserve || !this.#isIdle(entry)) continue
      if (victim === undefined || entry.lastMovedMs < victim.lastMovedMs) victim = entry
    }
    if (victim === undefined) return false
    this.#end(victim)
    return true
  }

  #isIdle({ requests, isReading, lastMovedMs }: Entry): boolean {
    return requests === 0 || (isReading && this.#nowMs() - lastMovedMs >= STALLED_MS)
  }

  #end(entry: Entry): void {
    this.#init.refusals.record('connection_displaced', entry.address)
    this.#entries.delete(keyOf(entry.socket))
    entry.socket.destroy()
  }

  #busiest(): string {
    const counts = new Map<string, number>()
    for (const { group } of this.#entries.values()) counts.set(group, (counts.get(group) ?? 0) + 1)
    return [...counts].reduce((most, each) => (each[1] > most[1] ? each : most), ['', 0])[0]
  }

  #count(matches: (entry: Entry) => boolean): number {
    let count = 0
    for (const entry of this.#entries.values()) if (matches(entry)) count++
    return count
  }

  #nowMs(): number {
    return this.#init.nowMs?.() ?? performance.now()
  }
}

/** With TLS a request has another socket than the connection, with the same remote end. */
function keyOf(socket: Socket): string | Socket {
  return socket.remoteAddress === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`
}
