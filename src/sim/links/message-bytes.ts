/** What a small message costs on the wire. */

import type { Message } from '../../wire/messages.ts'

/**
 * A packet's headers with those of TLS, the muxer and the frame; and each piece number, peer or keeper in a
 * message.
 */
const MESSAGE_BYTES = 70
const FRAME_HEADER_BYTES = 5
const PIECE_NUMBER_BYTES = 3
const PEER_BYTES = 60
const KEEPER_BYTES = 120

export function messageBytes(message: Message): number {
  // Said together with `have`, it travels in the same packet.
  const bytes = message.type === 'expecting' ? FRAME_HEADER_BYTES : MESSAGE_BYTES
  if ('pieces' in message) return bytes + PIECE_NUMBER_BYTES * message.pieces.length
  if (message.type === 'bitfield') return bytes + message.bits.byteLength
  if (message.type === 'peers') return bytes + PEER_BYTES * message.peers.length
  if (message.type === 'keepers') return bytes + KEEPER_BYTES * message.keepers.length
  return bytes
}
