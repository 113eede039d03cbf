/**
 * Opens piece connections and answers those that others open: each on a connection of its own that ends with
 * it, and only for a peer stream that stands. Used by peer-streams.ts.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { ProtocolError } from '../../errors.ts'
import type { BufferPool } from '../../util/buffer-pool.ts'
import type { HandshakeFrame } from '../../wire/handshake.ts'
import { PIECE_CONNECTION_PROTOCOL } from '../../wire/messages.ts'
import type { UnprovenStreams } from '../limits/unproven-streams.ts'
import { AnsweringHandshake, OpeningHandshake, partiesOf } from './handshake.ts'
import type { Libp2pPeerStream } from './peer-stream.ts'
import { PieceConnection, type PieceConnectionInit } from './piece-connection.ts'

const NO_PEER_STREAM = 'no link'
const DUPLICATE = 'duplicate link'
const SLOW = 'no handshake in time'

export interface PieceConnectionsInit {
  readonly self: string
  readonly handshakeTimeoutMs: number
  readonly buffers: BufferPool
  readonly unproven: UnprovenStreams
  log(line: string): void
  /** One more connection to where this one leads. */
  dialAnother(connection: Connection, signal: AbortSignal): Promise<Connection>
  /** The peer stream that stands with this peer for the content with this key digest. */
  peerStreamOf(peer: string, digest: Uint8Array): Libp2pPeerStream | undefined
}

export class PieceConnections {
  readonly #init: PieceConnectionsInit
  /** Connections that end with the piece connection on them. */
  readonly #connections = new WeakSet<Connection>()

  constructor(init: PieceConnectionsInit) {
    this.#init = init
  }

  /** Whether this connection is a piece connection's, and nothing else should begin on it. */
  has(connection: Connection): boolean {
    return this.#connections.has(connection)
  }

  /** Takes a piece connection that a peer opened. Never throws. */
  handleStream(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const endWait = this.#init.unproven.begin(stream, connection, () => pieceConnection.end(new Error(SLOW)))
    if (endWait === undefined) return
    const parties = partiesOf(PIECE_CONNECTION_PROTOCOL, this.#init.self, stream, connection)
    let handshake: AnsweringHandshake | undefined
    let peerStream: Libp2pPeerStream | undefined
    const pieceConnection: PieceConnection = this.#create(stream, connection, {
      onHandshake: frame => {
        if (frame.type === 'open' && handshake === undefined) {
          peerStream = this.#init.peerStreamOf(peer, frame.digest)
          handshake = AnsweringHandshake.of(frame, peerStream?.rootKey, parties)
          if (handshake === undefined) pieceConnection.refuse(NO_PEER_STREAM)
          else if (peerStream?.hasPieceConnectionIn === true) pieceConnection.refuse(DUPLICATE)
          else pieceConnection.greet(handshake.answer)
        } else if (frame.type === 'confirm' && handshake !== undefined) {
          endWait()
          handshake.handleConfirm(frame)
          if (peerStream === undefined || peerStream.isEnded) pieceConnection.refuse(NO_PEER_STREAM)
          else if (peerStream.hasPieceConnectionIn) pieceConnection.refuse(DUPLICATE)
          else pieceConnection.openIn(peerStream)
        } else {
          throw new ProtocolError(`${frame.type} out of order`)
        }
      },
      onEnd: endWait
    })
  }

  /**
   * Opens one for the pieces that we send on the peer stream; resolves with whether it stands. Never rejects:
   * where it fails our pieces stay with the messages.
   */
  async open(peerStream: Libp2pPeerStream): Promise<boolean> {
    const signal = AbortSignal.timeout(this.#init.handshakeTimeoutMs)
    let connection: Connection | undefined
    try {
      connection = await this.#init.dialAnother(peerStream.connection, signal)
      this.#connections.add(connection)
      const stream = await connection.newStream(PIECE_CONNECTION_PROTOCOL, { signal })
      const opened = Promise.withResolvers<boolean>()
      const handshake = new OpeningHandshake(
        peerStream.rootKey,
        partiesOf(PIECE_CONNECTION_PROTOCOL, this.#init.self, stream, connection)
      )
      const pieceConnection: PieceConnection = this.#create(stream, connection, {
        onHandshake: frame => {
          if (frame.type !== 'answer') throw new ProtocolError(`${frame.type} out of order`)
          clearTimeout(timer)
          const confirm = handshake.handleAnswer(frame)
          if (peerStream.isEnded) {
            pieceConnection.refuse(NO_PEER_STREAM)
            return
          }
          pieceConnection.greet(confirm)
          pieceConnection.openOut(peerStream)
          opened.resolve(true)
        },
        onEnd: () => {
          clearTimeout(timer)
          opened.resolve(false)
        }
      })
      const timer = setTimeout(() => pieceConnection.end(new Error(SLOW)), this.#init.handshakeTimeoutMs).unref()
      pieceConnection.greet(handshake.open)
      return await opened.promise
    } catch (err) {
      this.#init.log(`piece connection: none to ${peerStream.peer}: ${(err as Error).message}`)
      connection?.abort(err as Error)
      return false
    }
  }

  #create(
    stream: Stream,
    connection: Connection,
    on: { onHandshake(frame: HandshakeFrame): void; onEnd: PieceConnectionInit['onEnd'] }
  ): PieceConnection {
    this.#connections.add(connection)
    stream.addEventListener('close', () => {
      connection.close().catch(err => connection.abort(err as Error))
    })
    return new PieceConnection({ stream, buffers: this.#init.buffers, log: this.#init.log, ...on })
  }
}
