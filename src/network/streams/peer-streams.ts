/**
 * Which links exist: opens them, answers those that others open, and sees to it that two peers share at most one link per root.
 *
 * Handshake (handshake.ts): the opener sends its `open`; the answerer, once it has checked it, its `answer` and hello; the opener, once it has checked
 * that, its `confirm` and hello. Then the link stands at both ends. Or one says goodbye with the reason.
 *
 * When both sides open at once, the link opened by the peer with the smaller id (compared as text) survives: a side that has sent its
 * `open` refuses the other's stream as a duplicate when its own id is the smaller, and takes it otherwise; an attempt refused as a duplicate waits for the
 * winner to arrive. A link that stands for longer than a handshake may take cannot be part of such a race: then the newcomer is a peer that lost its end
 * (a crash, a new address), and replaces it.
 *
 * Lanes are piece-connections.ts. Used by host.ts.
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
import type { PeerLink, SwarmListener } from '../types.ts'
import { AnsweringHandshake, OpeningHandshake, partiesOf, type StreamParties } from './handshake.ts'
import { type Pairing, Pairings } from './pairings.ts'
import { StreamLink, type StreamLinkInit } from './peer-stream.ts'
import { Lanes } from './piece-connections.ts'

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

export interface LinksInit {
  self: string
  handshakeTimeoutMs: number
  stallTimeoutMs: number
  buffers: BufferPool
  limits: NetworkLimits
  refusals: Refusals
  log(line: string): void
  /** One more connection to where this one leads. */
  dialAnother(connection: Connection, signal: AbortSignal): Promise<Connection>
  /** The peer has its first link, or none any more. */
  onLinked(peer: string, isLinked: boolean): void
}

/** A root that we serve. */
export interface ListeningRoot {
  readonly key: RootKey
  readonly listener: SwarmListener
}

export class Links {
  readonly #init: LinksInit
  /** By the digest of the key, in hex. */
  readonly #listeners = new Map<string, ListeningRoot>()
  readonly #pairings = new Pairings()
  readonly #open = new Set<StreamLink>()
  readonly #unproven: UnprovenStreams
  readonly #lanes: Lanes
  #timer: NodeJS.Timeout | undefined

  constructor(init: LinksInit) {
    this.#init = init
    this.#unproven = new UnprovenStreams(init.handshakeTimeoutMs, init.limits, init.refusals)
    this.#lanes = new Lanes({
      ...init,
      unproven: this.#unproven,
      linkOf: (peer, digest) => this.#pairings.find(peer, digest)?.link
    })
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
    for (const link of [...this.#open]) link.close(reason)
  }

  closePeer(peer: string, reason: string): void {
    for (const link of [...this.#open]) if (link.peer === peer) link.close(reason)
  }

  // ---- opened by the other side ----

  /** Takes a lane that a peer opened. Never throws. */
  handleLane(stream: Stream, connection: Connection): void {
    this.#lanes.handleStream(stream, connection)
  }

  /** Takes a stream that a peer opened. Never throws. */
  handleStream(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const endWait = this.#unproven.begin(stream, connection, () => link.close(SLOW))
    if (endWait === undefined) return
    const parties = partiesOf(PIECES_PROTOCOL, this.#init.self, stream, connection)
    let answer: { root: ListeningRoot; pairing: Pairing; handshake: AnsweringHandshake } | undefined
    const link: StreamLink = this.#createLink(stream, connection, false, {
      onHandshake: frame => {
        if (frame.type === 'open' && answer === undefined) answer = this.#answer(link, frame, parties)
        else if (frame.type === 'confirm' && answer !== undefined) answer.handshake.handleConfirm(frame)
        else throw new ProtocolError(`${frame.type} out of order`)
      },
      onHello: hello => {
        if (answer?.handshake.isProven !== true) throw new ProtocolError('hello before proof')
        endWait()
        if (answer.pairing.answered === link) answer.pairing.answered = undefined
        this.#accept(link, hello, answer.root, answer.pairing)
      },
      onEnd: () => {
        endWait()
        if (answer?.pairing.answered === link) answer.pairing.answered = undefined
        this.#forget(link)
        if (answer !== undefined) this.#pairings.tidy(peer, answer.root.key)
      }
    })
  }

  /** Answers an `open`, or refuses it: then there is nothing to confirm. */
  #answer(link: StreamLink, open: Open, parties: StreamParties) {
    const root = this.listeningTo(open.digest)
    const handshake = AnsweringHandshake.of(open, root?.key, parties)
    if (handshake === undefined || root === undefined) {
      if (root !== undefined) this.#init.refusals.count('root-unproven', addressOf(link.connection))
      link.close(UNKNOWN_ROOT)
      return undefined
    }
    const { key, listener } = root
    const pairing = this.#pairings.of(link.peer, key)
    if (this.#staysInsteadOf(pairing, link.peer)) link.close(DUPLICATE)
    // One that has a link is to replace it, and was accepted before.
    else if (pairing.link === undefined && !listener.accepts(link.peer)) link.close(REFUSED)
    else {
      pairing.answered = link
      link.greet(handshake.answer)
      link.send(listener.hello)
      return { root, pairing, handshake }
    }
    this.#pairings.tidy(link.peer, key)
    return undefined
  }

  /** The opener has proven the root and said hello. */
  #accept(link: StreamLink, hello: Hello, { key, listener }: ListeningRoot, pairing: Pairing): void {
    const refusal = this.#refusalOf(link.peer, hello, listener, pairing)
    if (refusal !== undefined) {
      link.close(refusal)
      return
    }
    this.#install(pairing, link, hello, listener)
    listener.onLink(link)
    for (const settle of [...pairing.waiters]) settle(link)
    this.#pairings.tidy(link.peer, key)
  }

  #refusalOf(peer: string, hello: Hello, listener: SwarmListener, pairing: Pairing): string | undefined {
    if (hello.pieceCount !== listener.hello.pieceCount) return OTHER_CONTENT
    if (this.#staysInsteadOf(pairing, peer)) return DUPLICATE
    // Closed before it is asked: the old link must not count against the one that replaces it.
    pairing.link?.close(REPLACED)
    return listener.accepts(peer) ? undefined : REFUSED
  }

  /** Whether what we have, or are about to have, with this peer is the link that survives a stream it opened. */
  #staysInsteadOf(pairing: Pairing, peer: string): boolean {
    if (this.#init.self > peer) return false
    if (pairing.openSent) return true
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
    const key = rootKeyOf(listener.root)
    const pairing = this.#pairings.of(peer, key)
    if (pairing.link !== undefined) return pairing.link
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
  ): Promise<PeerLink> {
    const connection = await dial(signal)
    const stream = await connection.newStream(PIECES_PROTOCOL, { signal, maxOutboundStreams: MAX_STREAMS_PER_CONNECTION })
    // The other side was faster while we dialled.
    if (pairing.link !== undefined || pairing.answered !== undefined) {
      const err = new ProtocolError(DUPLICATE)
      stream.abort(err)
      return pairing.link ?? (await this.#waitForWinner(pairing, err, signal))
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
    const stopWaiting = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      pairing.openSent = false
    }
    const handshake = new OpeningHandshake(pairing.key, partiesOf(PIECES_PROTOCOL, this.#init.self, stream, connection))
    const link: StreamLink = this.#createLink(stream, connection, true, {
      onHandshake: frame => {
        if (frame.type !== 'answer') throw new ProtocolError(`${frame.type} out of order`)
        link.greet(handshake.handleAnswer(frame))
        link.send(listener.hello)
        link.helloMs = performance.now() - link.openedMs
      },
      onHello: hello => {
        if (!handshake.isProven) throw new ProtocolError('hello before proof')
        if (hello.pieceCount !== listener.hello.pieceCount) {
          link.close(OTHER_CONTENT)
          return
        }
        stopWaiting()
        // Both sides agree on this one now; what stood before has lost its other end.
        pairing.link?.close(REPLACED)
        this.#install(pairing, link, hello, listener)
        resolve(link)
      },
      onEnd: reason => {
        stopWaiting()
        this.#forget(link)
        reject(signal.aborted ? signal.reason : new ProtocolError(reason))
      }
    })
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    pairing.openSent = !link.isEnded
    link.greet(handshake.open)
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

  #createLink(
    stream: Stream,
    connection: Connection,
    initiator: boolean,
    on: Pick<StreamLinkInit, 'onHandshake' | 'onHello' | 'onEnd'>
  ): StreamLink {
    const { buffers, log } = this.#init
    const openLane = () => this.#lanes.open(link)
    const link = new StreamLink({ stream, connection, initiator, buffers, log, openLane, ...on })
    return link
  }

  // ---- bookkeeping ----

  #install(pairing: Pairing, link: StreamLink, hello: Hello, listener: SwarmListener): void {
    const { key } = pairing
    link.open(key, hello, { pieceCount: listener.hello.pieceCount, maxPieceBytes: listener.maxPieceBytes })
    pairing.link = link
    // Ending the link that stood before may have removed the entry.
    this.#pairings.keep(link.peer, pairing)
    if (!this.isLinked(link.peer)) this.#init.onLinked(link.peer, true)
    this.#open.add(link)
    this.#timer ??= setInterval(() => this.#checkProgress(), Math.min(1_000, this.#init.stallTimeoutMs / 4)).unref()
  }

  #forget(link: StreamLink): void {
    if (!this.#open.delete(link)) return
    const { rootKey } = link
    const pairing = this.#pairings.find(link.peer, rootKey.digest)
    if (pairing?.link === link) pairing.link = undefined
    this.#pairings.tidy(link.peer, rootKey)
    if (!this.isLinked(link.peer)) this.#init.onLinked(link.peer, false)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Whether a link to this peer stands. */
  isLinked(peer: string): boolean {
    for (const link of this.#open) if (link.peer === peer) return true
    return false
  }

  #checkProgress(): void {
    const nowMs = performance.now()
    for (const link of [...this.#open]) link.checkProgress(nowMs, this.#init.stallTimeoutMs)
  }
}
