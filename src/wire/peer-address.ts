/**
 * A peer and where it can be reached, as `peers` messages and gossip carry it: peer (text) | u8 address count
 * | addresses (texts).
 */

import { ProtocolError } from '../errors.ts'
import { encodeUtf8 } from '../util/bytes.ts'
import type { BytesReader } from './bytes-reader.ts'
import type { BytesWriter } from './bytes-writer.ts'
import { MAX_ADDRESSES_PER_PEER, MAX_TEXT_BYTES, type PeerAddress } from './messages.ts'

/**
 * Writes a peer. Addresses are hints, most useful first: those that are too long or too many are left out (a
 * machine can have dozens of interfaces). Throws `RangeError` for a peer id that is too long.
 */
export function encodePeerAddress({ peer, addresses }: PeerAddress, writer: BytesWriter): void {
  const kept = addresses.filter(address => encodeUtf8(address).byteLength <= MAX_TEXT_BYTES).slice(0, MAX_ADDRESSES_PER_PEER)
  writer.text(peer, MAX_TEXT_BYTES)
  writer.u8(kept.length)
  for (const address of kept) writer.text(address, MAX_TEXT_BYTES)
}

/** Throws `ProtocolError`. */
export function decodePeerAddress(reader: BytesReader): PeerAddress {
  const peer = reader.text(MAX_TEXT_BYTES, 'peer')
  const count = reader.u8('address count')
  if (count > MAX_ADDRESSES_PER_PEER) throw new ProtocolError(`${count} addresses are more than ${MAX_ADDRESSES_PER_PEER}`)
  const addresses: string[] = []
  for (let i = 0; i < count; i++) addresses.push(reader.text(MAX_TEXT_BYTES, 'address'))
  return { peer, addresses }
}
