/**
 * The piece list by root, over a `/swarm/piece-list/2.0.0` stream of its own: the handshake (handshake.ts),
 * then the bytes that wire/piece-list.ts describes. Only who has proven the root is told anything, also
 * whether there is a list.
 *
 * Both sides are bounded: in bytes, in time without progress, and the server in how many it answers at once
 * (piece-list-desk.ts). Called by the host.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { NoPeersError, NotFoundError, ProtocolError } from '../../errors.ts'
import { checkFrame, decodeMessage, encodeMessage, FRAME_HEADER_BYTES } from '../../wire/codec.ts'
import { decodeHandshake, type HandshakeFrame, handshakeBodyBytes, type RootKey, rootKeyOf } from '../../wire/handshake.ts'
import { PIECE_LIST_PROTOCOL } from '../../wire/messages.ts'
import {
  decodePieceListAnswerHeader,
  encodePieceListAnswerHeader,
  PIECE_LIST_ANSWER_HEADER_BYTES
} from '../../wire/piece-list.ts'
import type { PieceListDesk } from '../limits/piece-list-desk.ts'
import type { SwarmListener } from '../types.ts'
import { AnsweringHandshake, OpeningHandshake, partiesOf } from './handshake.ts'
import { StreamBytes } from './stream-bytes.ts'

/** A side that moves nothing for this long is given up. */
const STALL_TIMEOUT_MS = 15_000
const SEND_BYTES = 65_507
const HIGH_WATER_BYTES = 256 * 1024
const UNKNOWN_ROOT = 'unknown root'
const NO_CONTENT = { pieceCount: 0, maxPieceBytes: 0 }

/**
 * The list, unchecked. Throws `NotFoundError` when the peer does not have it, `NoPeersError` when it is busy,
 * `ProtocolError`.
 */
export async function fetchPieceList(
  connection: Connection,
  self: string,
  root: Uint8Array,
  maxBytes: number,
  signal: AbortSignal,
  onBytes: (bytes: number) => void = () => {}
): Promise<Uint8Array> {
  const stream = await connection.newStream(PIECE_LIST_PROTOCOL, { signal })
  const bytes = new StreamBytes(stream)
  stream.addEventListener('message', ({ data }) => onBytes(data.byteLength))
  const stall = new StallTimer(stream, () => bytes.fail(new ProtocolError('piece list stalled')))
  const onAbort = () => bytes.fail(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    const handshake = new OpeningHandshake(rootKeyOf(root), partiesOf(PIECE_LIST_PROTOCOL, self, stream, connection))
    stream.send(handshake.open)
    const answer = await readHandshake(bytes)
    if (answer.type !== 'answer') throw new ProtocolError(`${answer.type} out of order`)
    stream.send(handshake.handleAnswer(answer))
    // Closing our side is the end of the question; a failure shows in the answer.
    stream.close().catch(() => {})
    const head = new Uint8Array(PIECE_LIST_ANSWER_HEADER_BYTES)
    await bytes.read(head)
    const { status, length } = decodePieceListAnswerHeader(head, maxBytes)
    if (status === 'unknown') throw new NotFoundError('the peer does not have the piece list')
    if (status === 'busy') throw new NoPeersError('the peer is busy')
    const list = new Uint8Array(length)
    await bytes.read(list)
    if (bytes.unreadBytes > 0) throw new ProtocolError('bytes behind the piece list')
    return list
  } catch (err) {
    stream.abort(err as Error)
    throw err
  } finally {
    stall.stop()
    signal.removeEventListener('abort', onAbort)
  }
}

/** What is needed to answer. */
export interface PieceListServer {
  readonly self: string
  readonly desk: PieceListDesk
  listeningTo(digest: Uint8Array): { key: RootKey; listener: SwarmListener } | undefined
}

/** Answers one question. Never rejects. */
export async function servePieceList(stream: Stream, connection: Connection, server: PieceListServer): Promise<void> {
  try {
    const list = await readQuestion(stream, connection, server)
    if (list === UNKNOWN_ROOT) stream.send(encodeMessage({ type: 'goodbye', reason: UNKNOWN_ROOT }))
    else if (list === undefined) stream.send(encodePieceListAnswerHeader('unknown', 0))
    else await sendList(stream, connection, list, server.desk)
    await stream.close({ signal: AbortSignal.timeout(STALL_TIMEOUT_MS) })
  } catch (err) {
    stream.abort(err as Error)
  }
}

async function sendList(stream: Stream, connection: Connection, list: Uint8Array, desk: PieceListDesk): Promise<void> {
  const place = desk.enter(stream, connection)
  if (place === undefined) {
    stream.send(encodePieceListAnswerHeader('busy', 0))
    return
  }
  try {
    stream.send(encodePieceListAnswerHeader('found', list.byteLength))
    for (let offset = 0; offset < list.byteLength; offset += SEND_BYTES) {
      await waitForRoom(stream)
      const part = list.subarray(offset, offset + SEND_BYTES)
      stream.send(part)
      place.handleSent(part.byteLength)
    }
    // What is still ours to send holds the place as well.
    while (stream.writeBufferLength > 0) await waitForRoom(stream, 0)
  } finally {
    place.leave()
  }
}

/** Our list, of whose root the asker has proven that it knows it. */
async function readQuestion(
  stream: Stream,
  connection: Connection,
  { self, listeningTo }: PieceListServer
): Promise<Uint8Array | undefined | typeof UNKNOWN_ROOT> {
  const bytes = new StreamBytes(stream)
  const stall = new StallTimer(stream, () => bytes.fail(new ProtocolError('no piece list request in time')))
  try {
    const open = await readHandshake(bytes)
    if (open.type !== 'open') throw new ProtocolError(`${open.type} out of order`)
    const root = listeningTo(open.digest)
    const handshake = AnsweringHandshake.of(open, root?.key, partiesOf(PIECE_LIST_PROTOCOL, self, stream, connection))
    if (root === undefined || handshake === undefined) return UNKNOWN_ROOT
    stream.send(handshake.answer)
    const confirm = await readHandshake(bytes)
    if (confirm.type !== 'confirm') throw new ProtocolError(`${confirm.type} out of order`)
    handshake.handleConfirm(confirm)
    if (bytes.unreadBytes > 0) throw new ProtocolError('piece list request is too long')
    return root.listener.pieceList()
  } finally {
    stall.stop()
  }
}

/**
 * The next frame of the handshake. Throws `NotFoundError` for a goodbye, which is how a peer says that it
 * knows no such root.
 */
async function readHandshake(bytes: StreamBytes): Promise<HandshakeFrame> {
  const head = new Uint8Array(FRAME_HEADER_BYTES)
  await bytes.read(head)
  const length = new DataView(head.buffer).getUint32(0)
  const type = head[4] as number
  const bodyBytes = handshakeBodyBytes(type)
  if (bodyBytes === undefined) checkFrame(length, type, NO_CONTENT)
  else if (length !== 1 + bodyBytes) throw new ProtocolError(`frame of type ${type} with length ${length}`)
  const body = new Uint8Array(length - 1)
  await bytes.read(body)
  if (bodyBytes !== undefined) return decodeHandshake(type, body)
  const message = decodeMessage(type, body, NO_CONTENT)
  if (message.type === 'goodbye') throw new NotFoundError(`the peer does not have the piece list: ${message.reason}`)
  throw new ProtocolError(`${message.type} before proof`)
}

/**
 * Resolves when the stream takes more; rejects when it ended or took nothing for {@link STALL_TIMEOUT_MS}.
 */
async function waitForRoom(stream: Stream, highWaterBytes = HIGH_WATER_BYTES): Promise<void> {
  while (stream.writableNeedsDrain || stream.writeBufferLength > highWaterBytes) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onDrain = () => resolve()
    const onClose = () => reject(new ProtocolError('stream ended'))
    const timer = setTimeout(() => reject(new ProtocolError('not reading')), STALL_TIMEOUT_MS)
    stream.addEventListener('drain', onDrain)
    stream.addEventListener('close', onClose)
    try {
      if (stream.status !== 'open') throw new ProtocolError('stream ended')
      await promise
    } finally {
      clearTimeout(timer)
      stream.removeEventListener('drain', onDrain)
      stream.removeEventListener('close', onClose)
    }
  }
}

/** Tells once nothing has come on the stream for {@link STALL_TIMEOUT_MS}. */
class StallTimer {
  readonly #timer: NodeJS.Timeout

  constructor(stream: Stream, onStall: () => void) {
    this.#timer = setTimeout(onStall, STALL_TIMEOUT_MS)
    stream.addEventListener('message', () => this.#timer.refresh())
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
