/**
 * Which inbound connections are let in, by where they come from.
 *
 * Invariants: no address and no prefix has more than the table says, of handshakes under way, of connections
 * and of handshakes in a second; where everybody together has too many, the address that has most gives way,
 * so that others still get in; a connection that brings no byte in time is closed. Connections that carry
 * peer streams are never closed to make room. Used by host.ts as part of libp2p's gater.
 */

import type { Socket } from 'node:net'
import type { MultiaddrConnection } from '@libp2p/interface'
import type { Refusals } from './refusals.ts'
import { type RemoteAddress, remoteAddressOf } from './remote-address.ts'
import type { NetworkLimits } from './table.ts'
import { Tally } from './tally.ts'
import { TokenBuckets } from './token-bucket.ts'

export interface DoorkeeperInit {
  readonly limits: NetworkLimits
  /** Connections in all, in and out. */
  readonly maxConnections: number
  readonly refusals: Refusals
  /** Connections in all at the moment. */
  connectionCount(): number
  /** Whether a connection of this peer carries what we would miss. */
  isNeighbour(peer: string): boolean
}

interface Visitor {
  readonly from: RemoteAddress
  readonly connection: MultiaddrConnection
  timer: NodeJS.Timeout | undefined
  /** Undefined while its handshake is under way. */
  peer: string | undefined
}

export class Doorkeeper {
  readonly #init: DoorkeeperInit
  /** In the order in which they came. */
  readonly #visitors = new Map<MultiaddrConnection, Visitor>()
  readonly #pending: Tally
  readonly #open: Tally
  readonly #handshakes = new TokenBuckets()

  constructor(init: DoorkeeperInit) {
    this.#init = init
    this.#pending = new Tally(init.limits, 'pending')
    this.#open = new Tally(init.limits, 'open')
  }

  /** A connection was accepted by the system: whether its handshake may begin. */
  admit(connection: MultiaddrConnection): boolean {
    const from = remoteAddressOf(connection.remoteAddr)
    const { limits, refusals } = this.#init
    if (!this.#mayShakeHands(from)) {
      refusals.count('connection-rate', from.address)
      return false
    }
    if (!this.#open.hasRoom(from) || !this.#makeRoom(from)) {
      refusals.count('connection-open', from.address)
      return false
    }
    if (!this.#pending.hasRoom(from) && !this.#closeOldestSilent(visitor => visitor.from.prefix === from.prefix)) {
      refusals.count('connection-pending', from.address)
      return false
    }
    if (this.#pending.total >= limits.total.pending) this.#closeBusiest(this.#pending, visitor => visitor.peer === undefined)
    const visitor: Visitor = { from, connection, timer: undefined, peer: undefined }
    visitor.timer = setTimeout(() => this.#checkFirstByte(visitor), limits.firstByteMs).unref()
    this.#visitors.set(connection, visitor)
    this.#pending.add(from)
    this.#open.add(from)
    connection.addEventListener('close', () => this.#forget(visitor))
    return true
  }

  /** The connection's handshake is done. */
  handleUpgraded(connection: MultiaddrConnection, peer: string): void {
    const visitor = this.#visitors.get(connection)
    if (visitor === undefined || visitor.peer !== undefined) return
    clearTimeout(visitor.timer)
    visitor.peer = peer
    this.#pending.add(visitor.from, -1)
  }

  #mayShakeHands({ address, prefix, isPrivate }: RemoteAddress): boolean {
    const { privateAddress, publicAddress, privatePrefix, publicPrefix } = this.#init.limits
    const nowMs = performance.now()
    for (const [key, scope] of [
      [address, isPrivate ? privateAddress : publicAddress],
      [`prefix ${prefix}`, isPrivate ? privatePrefix : publicPrefix]
    ] as const) {
      const rate = { perSecond: scope.handshakesPerSecond, burst: scope.handshakeBurst }
      if (!this.#handshakes.take(key, rate, nowMs)) return false
    }
    return true
  }

  /**
   * Where there are too many connections, one of the busiest address goes, unless this one would have as many
   * then.
   */
  #makeRoom(from: RemoteAddress): boolean {
    if (this.#init.connectionCount() < this.#init.maxConnections) return true
    return this.#closeBusiest(
      this.#open,
      ({ peer, from: other }) => this.#open.of(other.address) > this.#open.of(from.address) + 1 && !this.#isNeighbour(peer)
    )
  }

  #isNeighbour(peer: string | undefined): boolean {
    return peer !== undefined && this.#init.isNeighbour(peer)
  }

  /** The oldest connection of the address that has most; false when there is none. */
  #closeBusiest(tally: Tally, isMeant: (visitor: Visitor) => boolean): boolean {
    let busiest: Visitor | undefined
    for (const visitor of this.#visitors.values()) {
      if (!isMeant(visitor)) continue
      if (busiest === undefined || tally.of(visitor.from.address) > tally.of(busiest.from.address)) busiest = visitor
    }
    if (busiest === undefined) return false
    this.#close(busiest, busiest.peer === undefined ? 'connection-pending' : 'connection-open')
    return true
  }

  #closeOldestSilent(isMeant: (visitor: Visitor) => boolean): boolean {
    for (const visitor of this.#visitors.values()) {
      if (visitor.peer !== undefined || !isMeant(visitor) || !isSilent(visitor.connection)) continue
      this.#close(visitor, 'connection-silent')
      return true
    }
    return false
  }

  #checkFirstByte(visitor: Visitor): void {
    // What came while this process was busy is still to be read.
    setImmediate(() => {
      if (visitor.peer === undefined && isSilent(visitor.connection)) this.#close(visitor, 'connection-silent')
    })
  }

  #close(visitor: Visitor, kind: 'connection-silent' | 'connection-pending' | 'connection-open'): void {
    if (!this.#visitors.has(visitor.connection)) return
    this.#init.refusals.count(kind, visitor.from.address)
    this.#forget(visitor)
    visitor.connection.abort(new Error(`refused: ${kind}`))
  }

  #forget(visitor: Visitor): void {
    if (!this.#visitors.delete(visitor.connection)) return
    clearTimeout(visitor.timer)
    this.#open.add(visitor.from, -1)
    if (visitor.peer === undefined) this.#pending.add(visitor.from, -1)
  }
}

/** Whether it has brought no byte. Where that cannot be seen it has. */
function isSilent(connection: MultiaddrConnection): boolean {
  const { socket } = connection as { socket?: Socket }
  return socket?.bytesRead === 0
}
