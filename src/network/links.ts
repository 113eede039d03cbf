/**
 * Which links exist: opens them, answers those that others open, and sees to it that two peers share at most one link per root.
 *
 * Handshake: the initiator sends its hello; the responder answers with its own for the same root, or says goodbye with the reason.
 *
 * When both sides open at once, the link opened by the peer with the smaller id (compared as text) survives: a side that has sent its
 * hello refuses the other's stream as a duplicate when its own id is the smaller, and takes it otherwise; an attempt refused as a duplicate waits for the winner to
 * arrive. A link that stands for longer than a handshake may take cannot be part of such a race: then the newcomer is a peer that lost its end (a
 * crash, a new address), and replaces it.
 *
 * Lanes are opened the same way, each on a connection of its own that ends with it, and only beside a link that stands. Used by host.ts.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { ProtocolError } from '../errors.ts'
import type { BufferPool } from '../util/buffer-pool.ts'
import { encodeHex } from '../util/bytes.ts'
import { type Hello, LANE_PROTOCOL, PIECES_PROTOCOL } from '../wire/messages.ts'
import { Lane, type LaneInit } from './lane.ts'
import { StreamLink } from './link.ts'
import type { PeerLink, SwarmListener } from './types.ts'

/** Reasons for a goodbye that end a handshake. */
const UNKNOWN_ROOT = 'unknown root'
const REFUSED = 'refused'
const DUPLICATE = 'duplicate link'
const REPLACED = 'replaced by a newer link'
const OTHER_CONTENT = 'root or piece count differs'
const SLOW = 'no hello in time'
const NO_LINK = 'no link'

/** How long an attempt that lost a race waits for the winner to be complete. */
const LOST_RACE_WAIT_MS = 5_000
/** Streams that have not said hello, in all and of one peer; more are refused at once. */
const MAX_SILENT_STREAMS = 512
const MAX_SILENT_STREAMS_PER_PEER = 32
/** Roots that one peer may share with us. */
export const MAX_STREAMS_PER_CONNECTION = 256

export interface LinksInit {
  self: string
  handshakeTimeoutMs: number
  stallTimeoutMs: number
  buffers: BufferPool
  log(line: string): void
  /** One more connection to whom this one leads to. */
  dialAnother(connection: Connection, signal: AbortSignal): Promise<Connection>
  /** The peer has its first link, or none any more. */
  onLinked(peer: string, isLinked: boolean): void
}

/** What we know of one peer and root. */
interface Pairing {
  link: StreamLink | undefined
  /** Our attempt, shared by all who ask for it. */
  opening: Promise<PeerLink> | undefined
  /** Our hello is sent and not answered. */
  helloSent: boolean
  /** Attempts that lost to the other side's stream. */
  readonly waiters: Set<(link: StreamLink) => void>
}

export class Links {
  readonly #init: LinksInit
  readonly #listeners = new Map<string, SwarmListener>()
  readonly #pairings = new Map<string, Pairing>()
  readonly #open = new Set<StreamLink>()
  /** Streams without a hello, by peer. */
  readonly #silent = new Map<string, number>()
  #silentTotal = 0
  /** Connections that end with the lane on them. */
  readonly #lanes = new WeakSet<Connection>()
  #timer: NodeJS.Timeout | undefined

  constructor(init: LinksInit) {
    this.#init = init
  }

  get hasAny(): boolean {
    return this.#open.size > 0
  }

  /** Round trip to a peer that has a link, in milliseconds. */
  rttMs(peer: string): number | undefined {
    for (const link of this.#open) if (link.peer === peer && link.rttMs !== undefined) return link.rttMs
    return undefined
  }

  /** Whether this connection is a lane's, and nothing else should begin on it. */
  isLane(connection: Connection): boolean {
    return this.#lanes.has(connection)
  }

  /**
   * When a link to the connection's peer brought something; Infinity for a lane, whose link is watched. Undefined without any. On whichever
   * connection: two peers that dial each other at once have two, and the one without the link would be asked for ever.
   */
  heardMs(connection: Connection): number | undefined {
    if (this.isLane(connection)) return Number.POSITIVE_INFINITY
    const peer = connection.remotePeer.toString()
    let heardMs: number | undefined
    for (const link of this.#open) if (link.peer === peer) heardMs = Math.max(heardMs ?? 0, link.lastInMs)
    return heardMs
  }

  listener(root: Uint8Array): SwarmListener | undefined {
    return this.#listeners.get(encodeHex(root))
  }

  listen(listener: SwarmListener): () => void {
    const key = encodeHex(listener.hello.root)
    this.#listeners.set(key, listener)
    return () => {
      if (this.#listeners.get(key) === listener) this.#listeners.delete(key)
    }
  }

  closeAll(reason: string): void {
    for (const link of [...this.#open]) link.close(reason)
  }

  closePeer(peer: string, reason: string): void {
    for (const link of [...this.#open]) if (link.peer === peer) link.close(reason)
  }

  // ---- opened by the other side ----

  /** Takes a stream that a peer opened. Never throws. */
  handleStream(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const endSilence = this.#beginSilence(stream, peer, () => link.close(SLOW))
    if (endSilence === undefined) return
    const link: StreamLink = new StreamLink({
      stream,
      connection,
      initiator: false,
      buffers: this.#init.buffers,
      log: this.#init.log,
      onHello: hello => {
        endSilence()
        this.#answer(link, hello)
      },
      onEnd: () => {
        endSilence()
        this.#forget(link)
      },
      openLane: () => this.#openLane(link, connection)
    })
  }

  /** A stream that has to say hello in time. Returns what to call when it has; undefined, and the stream is aborted, when too many are silent. */
  #beginSilence(stream: Stream, peer: string, onTimeout: () => void): (() => void) | undefined {
    const silentOfPeer = this.#silent.get(peer) ?? 0
    if (this.#silentTotal >= MAX_SILENT_STREAMS || silentOfPeer >= MAX_SILENT_STREAMS_PER_PEER) {
      stream.abort(new Error('too many streams without a hello'))
      return undefined
    }
    this.#countSilent(peer, 1)
    let isSilent = true
    const timer = setTimeout(onTimeout, this.#init.handshakeTimeoutMs).unref()
    return () => {
      clearTimeout(timer)
      if (isSilent) this.#countSilent(peer, -1)
      isSilent = false
    }
  }

  #countSilent(peer: string, change: number): void {
    const count = (this.#silent.get(peer) ?? 0) + change
    if (count > 0) this.#silent.set(peer, count)
    else this.#silent.delete(peer)
    this.#silentTotal += change
  }

  #answer(link: StreamLink, hello: Hello): void {
    const listener = this.listener(hello.root)
    const pairing = this.#pairing(link.peer, hello.root)
    const refusal = this.#refusalOf(link.peer, hello, listener, pairing)
    if (listener === undefined || refusal !== undefined) {
      this.#tidy(link.peer, hello.root)
      link.close(refusal ?? UNKNOWN_ROOT)
      return
    }
    this.#install(pairing, link, hello, listener)
    link.send(listener.hello)
    listener.onLink(link)
    for (const settle of [...pairing.waiters]) settle(link)
  }

  #refusalOf(peer: string, hello: Hello, listener: SwarmListener | undefined, pairing: Pairing): string | undefined {
    if (listener === undefined) return UNKNOWN_ROOT
    if (hello.pieceCount !== listener.hello.pieceCount) return OTHER_CONTENT
    if (this.#staysInsteadOf(pairing, peer)) return DUPLICATE
    // Closed before it is asked: the old link must not count against the one that replaces it.
    pairing.link?.close(REPLACED)
    return listener.accepts(peer) ? undefined : REFUSED
  }

  /** Whether what we have, or are about to have, with this peer is the link that survives a stream it opened. */
  #staysInsteadOf(pairing: Pairing, peer: string): boolean {
    if (this.#init.self > peer) return false
    if (pairing.helloSent) return true
    const { link } = pairing
    return link?.initiator === true && performance.now() - link.openedMs < this.#init.handshakeTimeoutMs
  }

  // ---- opened by us ----

  /** The link to this peer for the listener's root: the one that stands, or a new one on `dial`'s connection. */
  async open(
    peer: string,
    listener: SwarmListener,
    dial: (signal: AbortSignal) => Promise<Connection>,
    signal: AbortSignal
  ): Promise<PeerLink> {
    const { root } = listener.hello
    const pairing = this.#pairing(peer, root)
    if (pairing.link !== undefined) return pairing.link
    pairing.opening ??= this.#attempt(pairing, listener, dial, signal).finally(() => {
      pairing.opening = undefined
      pairing.helloSent = false
      this.#tidy(peer, root)
    })
    return pairing.opening
  }

  async #attempt(
    pairing: Pairing,
    listener: SwarmListener,
    dial: (signal: AbortSignal) => Promise<Connection>,
    signal: AbortSignal
  ): Promise<PeerLink> {
    const connection = await dial(signal)
    const stream = await connection.newStream(PIECES_PROTOCOL, { signal, maxOutboundStreams: MAX_STREAMS_PER_CONNECTION })
    // The other side was faster while we dialled.
    if (pairing.link !== undefined) {
      stream.abort(new Error(DUPLICATE))
      return pairing.link
    }
    try {
      return await this.#greet(pairing, listener, stream, connection, signal)
    } catch (err) {
      if (!(err instanceof ProtocolError) || err.reason !== DUPLICATE) throw err
      return pairing.link ?? (await this.#waitForWinner(pairing, err, signal))
    }
  }

  #greet(
    pairing: Pairing,
    listener: SwarmListener,
    stream: Stream,
    connection: Connection,
    signal: AbortSignal
  ): Promise<PeerLink> {
    const { promise, resolve, reject } = Promise.withResolvers<PeerLink>()
    const timer = setTimeout(() => link.close(SLOW), this.#init.handshakeTimeoutMs)
    timer.unref()
    const onAbort = () => link.close('aborted')
    const link: StreamLink = new StreamLink({
      stream,
      connection,
      initiator: true,
      buffers: this.#init.buffers,
      log: this.#init.log,
      onHello: hello => {
        const { root, pieceCount } = listener.hello
        if (encodeHex(hello.root) !== encodeHex(root) || hello.pieceCount !== pieceCount) {
          link.close(OTHER_CONTENT)
          return
        }

        stopWaiting()
        link.helloMs = performance.now() - link.openedMs
        // Both sides agree on this one now; what stood before has lost its other end.
        pairing.link?.close(REPLACED)
        this.#install(pairing, link, hello, listener)
        resolve(link)
      },
      onEnd: reason => {
        stopWaiting()
        this.#forget(link)
        reject(signal.aborted ? signal.reason : new ProtocolError(reason))
      },
      openLane: () => this.#openLane(link, connection)
    })
    const stopWaiting = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      pairing.helloSent = false
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    pairing.helloSent = !link.isEnded
    link.send(listener.hello)
    return promise
  }

  #waitForWinner(pairing: Pairing, err: ProtocolError, signal: AbortSignal): Promise<PeerLink> {
    const { promise, resolve, reject } = Promise.withResolvers<PeerLink>()
    const onTimeout = () => reject(err)
    const timer = setTimeout(onTimeout, LOST_RACE_WAIT_MS)
    timer.unref()
    signal.addEventListener('abort', onTimeout, { once: true })
    pairing.waiters.add(resolve)
    return promise.finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onTimeout)
      pairing.waiters.delete(resolve)
    })
  }

  // ---- lanes ----

  /** Takes a lane that a peer opened. Never throws. */
  handleLane(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const endSilence = this.#beginSilence(stream, peer, () => lane.end(new Error(SLOW)))
    if (endSilence === undefined) return
    const lane: Lane = this.#createLane(stream, connection, {
      onHello: hello => {
        endSilence()
        const link = this.#pairings.get(keyOf(peer, hello.root))?.link
        if (link === undefined) lane.refuse(NO_LINK)
        else if (link.hasLaneIn) lane.refuse(DUPLICATE)
        else {
          lane.greet(hello)
          lane.openIn(link)
        }
      },
      onEnd: endSilence
    })
  }

  /** Never throws: where it fails our pieces stay with the messages. */
  async #openLane(link: StreamLink, beside: Connection): Promise<void> {
    const signal = AbortSignal.timeout(this.#init.handshakeTimeoutMs)
    let connection: Connection | undefined
    try {
      connection = await this.#init.dialAnother(beside, signal)
      this.#lanes.add(connection)
      const stream = await connection.newStream(LANE_PROTOCOL, { signal })
      const lane: Lane = this.#createLane(stream, connection, {
        onHello: hello => {
          clearTimeout(timer)
          if (link.isEnded || encodeHex(hello.root) !== encodeHex(link.hello.root)) lane.refuse(NO_LINK)
          else lane.openOut(link)
        },
        onEnd: () => clearTimeout(timer)
      })
      const timer = setTimeout(() => lane.end(new Error(SLOW)), this.#init.handshakeTimeoutMs).unref()
      lane.greet({ ...link.hello, labels: {} })
    } catch (err) {
      this.#init.log(`lane: none to ${link.peer}: ${(err as Error).message}`)
      connection?.abort(err as Error)
    }
  }

  #createLane(stream: Stream, connection: Connection, on: Pick<LaneInit, 'onHello' | 'onEnd'>): Lane {
    this.#lanes.add(connection)
    stream.addEventListener('close', () => {
      connection.close().catch(err => connection.abort(err as Error))
    })
    return new Lane({ stream, buffers: this.#init.buffers, log: this.#init.log, ...on })
  }

  // ---- bookkeeping ----

  #install(pairing: Pairing, link: StreamLink, hello: Hello, listener: SwarmListener): void {
    link.open(hello, { pieceCount: listener.hello.pieceCount, maxPieceBytes: listener.maxPieceBytes })
    pairing.link = link
    // Ending the link that stood before may have removed the entry.
    this.#pairings.set(keyOf(link.peer, hello.root), pairing)
    if (!this.#hasLink(link.peer)) this.#init.onLinked(link.peer, true)
    this.#open.add(link)
    this.#timer ??= setInterval(() => this.#checkProgress(), Math.min(1_000, this.#init.stallTimeoutMs / 4)).unref()
  }

  #forget(link: StreamLink): void {
    if (!this.#open.delete(link)) return
    const { root } = link.hello
    const pairing = this.#pairings.get(keyOf(link.peer, root))
    if (pairing?.link === link) pairing.link = undefined
    this.#tidy(link.peer, root)
    if (!this.#hasLink(link.peer)) this.#init.onLinked(link.peer, false)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #hasLink(peer: string): boolean {
    for (const link of this.#open) if (link.peer === peer) return true
    return false
  }

  #pairing(peer: string, root: Uint8Array): Pairing {
    const key = keyOf(peer, root)
    let pairing = this.#pairings.get(key)
    if (pairing === undefined) {
      pairing = { link: undefined, opening: undefined, helloSent: false, waiters: new Set() }
      this.#pairings.set(key, pairing)
    }
    return pairing
  }

  #tidy(peer: string, root: Uint8Array): void {
    const key = keyOf(peer, root)
    const pairing = this.#pairings.get(key)
    if (pairing !== undefined && pairing.link === undefined && pairing.opening === undefined) this.#pairings.delete(key)
  }

  #checkProgress(): void {
    const nowMs = performance.now()
    for (const link of [...this.#open]) link.checkProgress(nowMs, this.#init.stallTimeoutMs)
  }
}

function keyOf(peer: string, root: Uint8Array): string {
  return `${peer} ${encodeHex(root)}`
}
