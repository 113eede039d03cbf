/**
 * The piece list by root, over a `/swarm/piece-list/1.0.0` stream of its own; the bytes are described in wire/piece-list.ts.
 *
 * Both sides are bounded: in bytes, in time without progress, and the server in how many it answers at once (a list can be long, and a
 * reader slow). Called by the host.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { HASH_BYTES } from '../content/hash.ts'
import { NoPeersError, NotFoundError, ProtocolError } from '../errors.ts'
import { PIECE_LIST_PROTOCOL } from '../wire/messages.ts'
import {
  decodePieceListAnswerHeader,
  decodePieceListRequest,
  encodePieceListAnswerHeader,
  PIECE_LIST_ANSWER_HEADER_BYTES
} from '../wire/piece-list.ts'

/** A side that moves nothing for this long is given up. */
const STALL_TIMEOUT_MS = 15_000
/** Lists being sent; further requests are told 'busy'. */
export const MAX_LISTS_SERVED = 16
const SEND_BYTES = 65_507
const HIGH_WATER_BYTES = 256 * 1024

/** The list, unchecked. Throws `NotFoundError` when the peer does not have it, `NoPeersError` when it is busy, `ProtocolError`. */
export async function fetchPieceList(
  connection: Connection,
  root: Uint8Array,
  maxBytes: number,
  signal: AbortSignal
): Promise<Uint8Array> {
  const stream = await connection.newStream(PIECE_LIST_PROTOCOL, { signal })
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const head = new Uint8Array(PIECE_LIST_ANSWER_HEADER_BYTES)
  let headBytes = 0
  let list: Uint8Array | undefined
  let listBytes = 0
  const stall = new StallTimer(() => reject(new ProtocolError('piece list stalled')))
  const onAbort = () => reject(signal.reason)
  const take = (chunk: Uint8Array) => {
    let offset = 0
    while (headBytes < head.byteLength && offset < chunk.byteLength) head[headBytes++] = chunk[offset++] as number
    if (headBytes < head.byteLength) return
    if (list === undefined) {
      const { status, length } = decodePieceListAnswerHeader(head, maxBytes)
      if (status === 'unknown') throw new NotFoundError('the peer does not have the piece list')
      if (status === 'busy') throw new NoPeersError('the peer is busy')
      list = new Uint8Array(length)
    }
    const rest = chunk.subarray(offset)
    if (listBytes + rest.byteLength > list.byteLength) throw new ProtocolError('bytes behind the piece list')
    list.set(rest, listBytes)
    listBytes += rest.byteLength
    if (listBytes === list.byteLength) resolve(list)
  }
  stream.addEventListener('message', ({ data }) => {
    stall.restart()
    try {
      if (data instanceof Uint8Array) take(data)
      else for (const chunk of data) take(chunk)
    } catch (err) {
      reject(err)
    }
  })
  stream.addEventListener('remoteCloseWrite', () => reject(new ProtocolError('piece list ended early')))
  stream.addEventListener('close', event => reject(event.error ?? new ProtocolError('piece list ended early')))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    stream.send(root)
    // Closing our side is the end of the request; a failure shows in the answer.
    stream.close().catch(() => {})
    const fetched = await promise
    return fetched
  } catch (err) {
    stream.abort(err as Error)
    throw err
  } finally {
    stall.stop()
    signal.removeEventListener('abort', onAbort)
  }
}

/** Answers one request. Never rejects. */
export async function servePieceList(
  stream: Stream,
  pieceList: (root: Uint8Array) => Uint8Array | undefined,
  isBusy: boolean
): Promise<void> {
  try {
    const root = decodePieceListRequest(await readRequest(stream))
    const list = pieceList(root)
    if (list === undefined) stream.send(encodePieceListAnswerHeader('unknown', 0))
    else if (isBusy) stream.send(encodePieceListAnswerHeader('busy', 0))
    else {
      stream.send(encodePieceListAnswerHeader('found', list.byteLength))
      for (let offset = 0; offset < list.byteLength; offset += SEND_BYTES) {
        await waitForRoom(stream)
        stream.send(list.subarray(offset, offset + SEND_BYTES))
      }
    }
    await stream.close({ signal: AbortSignal.timeout(STALL_TIMEOUT_MS) })
  } catch (err) {
    stream.abort(err as Error)
  }
}

function readRequest(stream: Stream): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const request = new Uint8Array(HASH_BYTES)
  let bytes = 0
  const stall = new StallTimer(() => reject(new ProtocolError('no piece list request in time')))
  stream.addEventListener('message', ({ data }) => {
    if (bytes + data.byteLength > request.byteLength) {
      reject(new ProtocolError('piece list request is too long'))
      return
    }
    request.set(data.subarray(), bytes)
    bytes += data.byteLength
    if (bytes === request.byteLength) resolve(request)
  })
  stream.addEventListener('remoteCloseWrite', () => reject(new ProtocolError('truncated piece list request')))
  stream.addEventListener('close', () => reject(new ProtocolError('truncated piece list request')))
  return promise.finally(() => stall.stop())
}

/** Resolves when the stream takes more; rejects when it ended or took nothing for {@link STALL_TIMEOUT_MS}. */
async function waitForRoom(stream: Stream): Promise<void> {
  while (stream.writableNeedsDrain || stream.writeBufferLength > HIGH_WATER_BYTES) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onDrain = () => resolve()
    const onClose = () => reject(new ProtocolError('stream ended'))
    const stall = new StallTimer(() => reject(new ProtocolError('not reading')))
    stream.addEventListener('drain', onDrain)
    stream.addEventListener('close', onClose)
    try {
      if (stream.status !== 'open') throw new ProtocolError('stream ended')
      await promise
    } finally {
      stall.stop()
      stream.removeEventListener('drain', onDrain)
      stream.removeEventListener('close', onClose)
    }
  }
}

class StallTimer {
  readonly #timer: NodeJS.Timeout

  constructor(onStall: () => void) {
    this.#timer = setTimeout(onStall, STALL_TIMEOUT_MS)
  }

  restart(): void {
    this.#timer.refresh()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
