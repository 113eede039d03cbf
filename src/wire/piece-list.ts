/**
 * What answers a question for a piece list, on a `/swarm/piece-list/2.0.0` stream after its handshake
 * (handshake.ts):
 *
 *   u8 status (0 found, 1 unknown, 2 busy) | u32 length (big-endian; 0 unless found) | the encoded list
 *
 * Called by the network. Who fetched compares the list with the root.
 */

import { ProtocolError } from '../errors.ts'
import { BytesReader } from './bytes-reader.ts'

export type PieceListStatus = 'found' | 'unknown' | 'busy'

/** Place in the list is the byte on the wire. */
const STATUSES: readonly PieceListStatus[] = ['found', 'unknown', 'busy']

/** Bytes before the list itself. */
export const PIECE_LIST_ANSWER_HEADER_BYTES = 5

export function encodePieceListAnswerHeader(status: PieceListStatus, length: number): Uint8Array {
  const header = new Uint8Array(PIECE_LIST_ANSWER_HEADER_BYTES)
  header[0] = STATUSES.indexOf(status)
  new DataView(header.buffer).setUint32(1, length)
  return header
}

/**
 * Status and length of the list that follows, from the first {@link PIECE_LIST_ANSWER_HEADER_BYTES} bytes.
 * Throws `ProtocolError`.
 */
export function decodePieceListAnswerHeader(bytes: Uint8Array, maxBytes: number): { status: PieceListStatus; length: number } {
  const reader = new BytesReader(bytes)
  const code = reader.u8('piece list status')
  const status = STATUSES[code]
  if (status === undefined) throw new ProtocolError(`unknown piece list status ${code}`)
  const length = reader.u32('piece list length')
  reader.end('piece list header')
  if (length > maxBytes) throw new ProtocolError(`piece list of ${length} bytes, at most ${maxBytes}`)
  if (status !== 'found' && length !== 0) throw new ProtocolError(`piece list status ${status} with ${length} bytes`)
  return { status, length }
}
