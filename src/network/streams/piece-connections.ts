/**
 * Opens lanes and answers those that others open: each on a connection of its own that ends with it, and only for a link that stands. Used by peer-streams.ts.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import type { HandshakeFrame } from '../../wire/handshake.ts'
import { LANE_PROTOCOL } from '../../wire/messages.ts'
import type { UnprovenStreams } from '../limits/unproven-streams.ts'
import { AnsweringHandshake, OpeningHandshake, partiesOf } from './handshake.ts'
import type { StreamLink } from './peer-stream.ts'
import { Lane, type LaneInit } from './piece-connection.ts'

const NO_LINK = 'no link'
const DUPLICATE = 'duplicate link'
const SLOW = 'no handshake in time'

export interface LanesInit {
  readonly self: string
  readonly handshakeTimeoutMs: number
  readonly buffers: BufferPool
  readonly unproven: UnprovenStreams
  log(line: string): void
  /** One more connection to where this one leads. */
  dialAnother(connection: Connection, signal: AbortSignal): Promise<Connection>
  /** The link that stands with this peer for the content with this key digest. */
  linkOf(peer: string, digest: Uint8Array): StreamLink | undefined
}

export class Lanes {
  readonly #init: LanesInit
  /** Connections that end with the lane on them. */
  readonly #connections = new WeakSet<Connection>()

  constructor(init: LanesInit) {
    this.#init = init
  }

  /** Whether this connection is a lane's, and nothing else should begin on it. */
  has(connection: Connection): boolean {
    return this.#connections.has(connection)
  }

  /** Takes a lane that a peer opened. Never throws. */
  handleStream(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const endWait = this.#init.unproven.begin(stream, connection, () => lane.end(new Error(SLOW)))
    if (endWait === undefined) return
    const parties = partiesOf(LANE_PROTOCOL, this.#init.self, stream, connection)
    let handshake: AnsweringHandshake | undefined
    let link: StreamLink | undefined
    const lane: Lane = this.#create(stream, connection, {
      onHandshake: frame => {
        if (frame.type === 'open' && handshake === undefined) {
          link = this.#init.linkOf(peer, frame.digest)
          handshake = AnsweringHandshake.of(frame, link?.rootKey, parties)
          if (handshake === undefined) lane.refuse(NO_LINK)
          else if (link?.hasLaneIn === true) lane.refuse(DUPLICATE)
          else lane.greet(handshake.answer)
        } else if (frame.type === 'confirm' && handshake !== undefined) {
          endWait()
          handshake.handleConfirm(frame)
          if (link === undefined || link.isEnded) lane.refuse(NO_LINK)
          else if (link.hasLaneIn) lane.refuse(DUPLICATE)
          else lane.openIn(link)
        } else {
          throw new ProtocolError(`${frame.type} out of order`)
        }
      },
      onEnd: endWait
    })
  }

  /** Opens one for the pieces that we send on the link; resolves with whether it stands. Never rejects: where it fails our pieces stay with the messages. */
  async open(link: StreamLink): Promise<boolean> {
    const signal = AbortSignal.timeout(this.#init.handshakeTimeoutMs)
    let connection: Connection | undefined
    try {
      connection = await this.#init.dialAnother(link.connection, signal)
      this.#connections.add(connection)
      const stream = await connection.newStream(LANE_PROTOCOL, { signal })
      const opened = Promise.withResolvers<boolean>()
      const handshake = new OpeningHandshake(link.rootKey, partiesOf(LANE_PROTOCOL, this.#init.self, stream, connection))
      const lane: Lane = this.#create(stream, connection, {
        onHandshake: frame => {
          if (frame.type !== 'answer') throw new ProtocolError(`${frame.type} out of order`)
          clearTimeout(timer)
          const confirm = handshake.handleAnswer(frame)
          if (link.isEnded) {
            lane.refuse(NO_LINK)
            return
          }
          lane.greet(confirm)
          lane.openOut(link)
          opened.resolve(true)
        },
        onEnd: () => {
          clearTimeout(timer)
          opened.resolve(false)
        }
      })
      const timer = setTimeout(() => lane.end(new Error(SLOW)), this.#init.handshakeTimeoutMs).unref()
      lane.greet(handshake.open)
      return await opened.promise
    } catch (err) {
      this.#init.log(`lane: none to ${link.peer}: ${(err as Error).message}`)
      connection?.abort(err as Error)
      return false
    }
  }

  #create(
    stream: Stream,
    connection: Connection,
    on: { onHandshake(frame: HandshakeFrame): void; onEnd: LaneInit['onEnd'] }
  ): Lane {
    this.#connections.add(connection)
    stream.addEventListener('close', () => {
      connection.close().catch(err => connection.abort(err as Error))
    })
    return new Lane({ stream, buffers: this.#init.buffers, log: this.#init.log, ...on })
  }
}
