/**
 * Which peer streams exist: opens them, answers those that others open, and sees to it that two peers share
 * at most one peer stream per root.
 *
 * Handshake (handshake.ts): the opener sends its `open`; the answerer, once it has checked it, its `answer`
 * and hello; the opener, once it has checked that, its `confirm` and hello. Then the peer stream stands at
 * both ends. Or one says goodbye with the reason.
 *
 * When both sides open at once, the peer stream opened by the peer with the smaller id (compared as text)
 * survives: a side that has sent its `open` refuses the other's stream as a duplicate when its own id is the
 * smaller, and takes it otherwise; an attempt refused as a duplicate waits for the winner to arrive. A peer
 * stream that stands for longer than a handshake may take cannot be part of such a race: then the newcomer is
 * a peer that lost its end (a crash, a new address), and replaces it.
 *
 * Piece connections are piece-connections.ts. Used by host.ts.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import { encodeHex } from '../../util/bytes.ts'
import { type Open, type RootKey, rootKeyOf } from '../../wire/handshake.ts'
import { type Hello, PIECES_PROTOCOL } from '../../wire/messages.ts'
import type { Refusals } from '../limits/refusals.ts'
import { addressOf } from '../limits/remote-address.ts'
import type { NetworkLimits } from '../limits/table.ts'
import { UnprovenStreams } from '../limits/unproven-streams.ts'
import type { PeerStream, SwarmListener } from '../types.ts'
import { AnsweringHandshake, OpeningHandshake, partiesOf, type StreamParties } from './handshake.ts'
import { type Pairing, Pairings } from './pairings.ts'
import { Libp2pPeerStream, type Libp2pPeerStreamInit } from './peer-stream.ts'
import { PieceConnections } from './piece-connections.ts'

/** Reasons for a goodbye that end a handshake. */
const UNKNOWN_ROOT = 'unknown root'
const REFUSED = 'refused'
const DUPLICATE = 'duplicate link'
const REPLACED = 'replaced by a newer link'
const OTHER_CONTENT = 'piece count differs'
const SLOW = 'no hello in time'

/** How long an attempt that lost a race waits for the winner to be complete. */
const LOST_RACE_WAIT_MS = 5_000
/** Roots that one peer may share with us. */
export const MAX_STREAMS_PER_CONNECTION = 256

export interface PeerStreamsInit {
  self: string
  handshakeTimeoutMs: number
  stallTimeoutMs: number
  buffers: BufferPool
  limits: NetworkLimits
  refusals: Refusals
  log(line: string): void
  /** One more connection to where this one leads. */
  dialAnother(connection: Connection, signal: AbortSignal): Promise<Connection>
  /** The peer has its first peer stream, or none any more. */
  onNeighbour(peer: string, isNeighbour: boolean): void
}

/** A root that we serve. */
export interface ListeningRoot {
  readonly key: RootKey
  readonly listener: SwarmListener
}

export class PeerStreams {
  readonly #init: PeerStreamsInit
  /** By the digest of the key, in hex. */
  readonly #listeners = new Map<string, ListeningRoot>()
  readonly #pairings = new Pairings()
  readonly #open = new Set<Libp2pPeerStream>()
  readonly #unproven: UnprovenStreams
  readonly #pieceConnections: PieceConnections
  #timer: NodeJS.Timeout | undefined

  constructor(init: PeerStreamsInit) {
    this.#init = init
    this.#unproven = new UnprovenStreams(init.handshakeTimeoutMs, init.limits, init.refusals)
    this.#pieceConnections = new PieceConnections({
      ...init,
      unproven: this.#unproven,
      peerStreamOf: (peer, digest) => this.#pairings.find(peer, digest)?.peerStream
    })
  }

  get hasAny(): boolean {
    return this.#open.size > 0
  }

  /** Round trip to a peer that has a peer stream, in milliseconds. */
  rttMs(peer: string): number | undefined {
    for (const peerStream of this.#open) if (peerStream.peer === peer && peerStream.rttMs !== undefined) return peerStream.rttMs
    return undefined
  }

  /** Whether this connection is a piece connection's, and nothing else should begin on it. */
  isPieceConnection(connection: Connection): boolean {
    return this.#pieceConnections.has(connection)
  }

  /**
   * When a peer stream to the connection's peer brought something; Infinity for a piece connection, whose
   * peer stream is watched. Undefined without any. On whichever connection: two peers that dial each other at
   * once have two, and the one without the peer stream would be asked for ever.
   */
  heardMs(connection: Connection): number | undefined {
    if (this.isPieceConnection(connection)) return Number.POSITIVE_INFINITY
    const peer = connection.remotePeer.toString()
    let heardMs: number | undefined
    for (const peerStream of this.#open) if (peerStream.peer === peer) heardMs = Math.max(heardMs ?? 0, peerStream.lastInMs)
    return heardMs
  }

  /** The root whose key has this digest, where we serve it. */
  listeningTo(digest: Uint8Array): ListeningRoot | undefined {
    return this.#listeners.get(encodeHex(digest))
  }

  listen(listener: SwarmListener): () => void {
    const key = rootKeyOf(listener.root)
    const id = encodeHex(key.digest)
    const entry = { key, listener }
    this.#listeners.set(id, entry)
    return () => {
      if (this.#listeners.get(id) === entry) this.#listeners.delete(id)
    }
  }

  closeAll(reason: string): void {
    for (const peerStream of [...this.#open]) peerStream.close(reason)
  }

  closePeer(peer: string, reason: string): void {
    for (const peerStream of [...this.#open]) if (peerStream.peer === peer) peerStream.close(reason)
  }

  // ---- opened by the other side ----

  /** Takes a piece connection that a peer opened. Never throws. */
  handlePieceConnection(stream: Stream, connection: Connection): void {
    this.#pieceConnections.handleStream(stream, connection)
  }

  /** Takes a stream that a peer opened. Never throws. */
  handleStream(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const endWait = this.#unproven.begin(stream, connection, () => peerStream.close(SLOW))
    if (endWait === undefined) return
    const parties = partiesOf(PIECES_PROTOCOL, this.#init.self, stream, connection)
    let answer: { root: ListeningRoot; pairing: Pairing; handshake: AnsweringHandshake } | undefined
    const peerStream: Libp2pPeerStream = this.#createPeerStream(stream, connection, false, {
      onHandshake: frame => {
        if (frame.type === 'open' && answer === undefined) answer = this.#answer(peerStream, frame, parties)
        else if (frame.type === 'confirm' && answer !== undefined) answer.handshake.handleConfirm(frame)
        else throw new ProtocolError(`${frame.type} out of order`)
      },
      onHello: hello => {
        if (answer?.handshake.isProven !== true) throw new ProtocolError('hello before proof')
        endWait()
        if (answer.pairing.answered === peerStream) answer.pairing.answered = undefined
        this.#accept(peerStream, hello, answer.root, answer.pairing)
      },
      onEnd: () => {
        endWait()
        if (answer?.pairing.answered === peerStream) answer.pairing.answered = undefined
        this.#forget(peerStream)
        if (answer !== undefined) this.#pairings.tidy(peer, answer.root.key)
      }
    })
  }

  /** Answers an `open`, or refuses it: then there is nothing to confirm. */
  #answer(peerStream: Libp2pPeerStream, open: Open, parties: StreamParties) {
    const root = this.listeningTo(open.digest)
    const handshake = AnsweringHandshake.of(open, root?.key, parties)
    if (handshake === undefined || root === undefined) {
      if (root !== undefined) this.#init.refusals.count('root-unproven', addressOf(peerStream.connection))
      peerStream.close(UNKNOWN_ROOT)
      return undefined
    }
    const { key, listener } = root
    const pairing = this.#pairings.of(peerStream.peer, key)
    if (this.#staysInsteadOf(pairing, peerStream.peer)) peerStream.close(DUPLICATE)
    // One that has a peer stream is to replace it, and was accepted before.
    else if (pairing.peerStream === undefined && !listener.accepts(peerStream.peer)) peerStream.close(REFUSED)
    else {
      pairing.answered = peerStream
      peerStream.greet(handshake.answer)
      peerStream.send(listener.hello)
      return { root, pairing, handshake }
    }
    this.#pairings.tidy(peerStream.peer, key)
    return undefined
  }

  /** The opener has proven the root and said hello. */
  #accept(peerStream: Libp2pPeerStream, hello: Hello, { key, listener }: ListeningRoot, pairing: Pairing): void {
    const refusal = this.#refusalOf(peerStream.peer, hello, listener, pairing)
    if (refusal !== undefined) {
      peerStream.close(refusal)
      return
    }
    this.#install(pairing, peerStream, hello, listener)
    listener.onPeerStream(peerStream)
    for (const settle of [...pairing.waiters]) settle(peerStream)
    this.#pairings.tidy(peerStream.peer, key)
  }

  #refusalOf(peer: string, hello: Hello, listener: SwarmListener, pairing: Pairing): string | undefined {
    if (hello.pieceCount !== listener.hello.pieceCount) return OTHER_CONTENT
    if (this.#staysInsteadOf(pairing, peer)) return DUPLICATE
    // Closed before it is asked: the old peer stream must not count against the one that replaces it.
    pairing.peerStream?.close(REPLACED)
    return listener.accepts(peer) ? undefined : REFUSED
  }

  /**
   * Whether what we have, or are about to have, with this peer is the peer stream that survives a stream it
   * opened.
   */
  #staysInsteadOf(pairing: Pairing, peer: string): boolean {
    if (this.#init.self > peer) return false
    if (pairing.openSent) return true
    const { peerStream } = pairing
    return peerStream?.initiator === true && performance.now() - peerStream.openedMs < this.#init.handshakeTimeoutMs
  }

  // ---- opened by us ----

  /**
   * The peer stream to this peer for the listener's root: the one that stands, or a new one on `dial`'s
   * connection.
   */
  async open(
    peer: string,
    listener: SwarmListener,
    dial: (signal: AbortSignal) => Promise<Connection>,
    signal: AbortSignal
  ): Promise<PeerStream> {
    const key = rootKeyOf(listener.root)
    const pairing = this.#pairings.of(peer, key)
    if (pairing.peerStream !== undefined) return pairing.peerStream
    pairing.opening ??= this.#attempt(pairing, listener, dial, signal).finally(() => {
      pairing.opening = undefined
      pairing.openSent = false
      this.#pairings.tidy(peer, key)
    })
    return pairing.opening
  }

  async #attempt(
    pairing: Pairing,
    listener: SwarmListener,
    dial: (signal: AbortSignal) => Promise<Connection>,
    signal: AbortSignal
  ): Promise<PeerStream> {
    const connection = await dial(signal)
    const stream = await connection.newStream(PIECES_PROTOCOL, { signal, maxOutboundStreams: MAX_STREAMS_PER_CONNECTION })
    // The other side was faster while we dialled.
    if (pairing.peerStream !== undefined || pairing.answered !== undefined) {
      const err = new ProtocolError(DUPLICATE)
      stream.abort(err)
      return pairing.peerStream ?? (await this.#waitForWinner(pairing, err, signal))
    }
    try {
      return await this.#greet(pairing, listener, stream, connection, signal)
    } catch (err) {
      if (!(err instanceof ProtocolError) || err.reason !== DUPLICATE) throw err
      return pairing.peerStream ?? (await this.#waitForWinner(pairing, err, signal))
    }
  }

  #greet(
    pairing: Pairing,
    listener: SwarmListener,
    stream: Stream,
    connection: Connection,
    signal: AbortSignal
  ): Promise<PeerStream> {
    const { promise, resolve, reject } = Promise.withResolvers<PeerStream>()
    const timer = setTimeout(() => peerStream.close(SLOW), this.#init.handshakeTimeoutMs)
    timer.unref()
    const onAbort = () => peerStream.close('aborted')
    const stopWaiting = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      pairing.openSent = false
    }
    const handshake = new OpeningHandshake(pairing.key, partiesOf(PIECES_PROTOCOL, this.#init.self, stream, connection))
    const peerStream: Libp2pPeerStream = this.#createPeerStream(stream, connection, true, {
      onHandshake: frame => {
        if (frame.type !== 'answer') throw new ProtocolError(`${frame.type} out of order`)
        peerStream.greet(handshake.handleAnswer(frame))
        peerStream.send(listener.hello)
        peerStream.helloMs = performance.now() - peerStream.openedMs
      },
      onHello: hello => {
        if (!handshake.isProven) throw new ProtocolError('hello before proof')
        if (hello.pieceCount !== listener.hello.pieceCount) {
          peerStream.close(OTHER_CONTENT)
          return
        }
        stopWaiting()
        // Both sides agree on this one now; what stood before has lost its other end.
        pairing.peerStream?.close(REPLACED)
        this.#install(pairing, peerStream, hello, listener)
        resolve(peerStream)
      },
      onEnd: reason => {
        stopWaiting()
        this.#forget(peerStream)
        reject(signal.aborted ? signal.reason : new ProtocolError(reason))
      }
    })
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    pairing.openSent = !peerStream.isEnded
    peerStream.greet(handshake.open)
    return promise
  }

  #waitForWinner(pairing: Pairing, err: ProtocolError, signal: AbortSignal): Promise<PeerStream> {
    const { promise, resolve, reject } = Promise.withResolvers<PeerStream>()
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

  #createPeerStream(
    stream: Stream,
    connection: Connection,
    initiator: boolean,
    on: Pick<Libp2pPeerStreamInit, 'onHandshake' | 'onHello' | 'onEnd'>
  ): Libp2pPeerStream {
    const { buffers, log } = this.#init
    const openPieceConnection = () => this.#pieceConnections.open(peerStream)
    const peerStream = new Libp2pPeerStream({ stream, connection, initiator, buffers, log, openPieceConnection, ...on })
    return peerStream
  }

  // ---- bookkeeping ----

  #install(pairing: Pairing, peerStream: Libp2pPeerStream, hello: Hello, listener: SwarmListener): void {
    const { key } = pairing
    peerStream.open(key, hello, { pieceCount: listener.hello.pieceCount, maxPieceBytes: listener.maxPieceBytes })
    pairing.peerStream = peerStream
    // Ending the peer stream that stood before may have removed the entry.
    this.#pairings.keep(peerStream.peer, pairing)
    if (!this.isNeighbour(peerStream.peer)) this.#init.onNeighbour(peerStream.peer, true)
    this.#open.add(peerStream)
    this.#timer ??= setInterval(() => this.#checkProgress(), Math.min(1_000, this.#init.stallTimeoutMs / 4)).unref()
  }

  #forget(peerStream: Libp2pPeerStream): void {
    if (!this.#open.delete(peerStream)) return
    const { rootKey } = peerStream
    const pairing = this.#pairings.find(peerStream.peer, rootKey.digest)
    if (pairing?.peerStream === peerStream) pairing.peerStream = undefined
    this.#pairings.tidy(peerStream.peer, rootKey)
    if (!this.isNeighbour(peerStream.peer)) this.#init.onNeighbour(peerStream.peer, false)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Whether a peer stream to this peer stands. */
  isNeighbour(peer: string): boolean {
    for (const peerStream of this.#open) if (peerStream.peer === peer) return true
    return false
  }

  #checkProgress(): void {
    const nowMs = performance.now()
    for (const peerStream of [...this.#open]) peerStream.checkProgress(nowMs, this.#init.stallTimeoutMs)
  }
}
