/**
 * What a peer tells everybody interested in a root, on the root's gossip topic: who it is, where, what it
 * has.
 *
 *   payload = u8 version 1 | peer (text) | u8 address count | addresses (texts) | varint piece count | u8
 *   shift | u8 form | bits
 *
 * Bits are per group of 2^shift pieces; a group's bit is set when *all* its pieces are there, so what is read
 * never claims too much. Form 0 is the packed bits; form 1 is runs: varints, clear bits first, then set,
 * alternating up to the end. The sender takes the smaller form, and raises the shift until it fits {@link
 * MAX_GOSSIP_BITS_BYTES}: a million pieces fit whatever is there. That `peer` is the author is for the
 * network to check. Called by the network's gossip.
 */

import { Bitfield } from '../content/bitfield.ts'
import { MAX_PIECE_COUNT } from '../content/geometry.ts'
import { ProtocolError } from '../errors.ts'
import { BytesReader } from './bytes-reader.ts'
import { BytesWriter } from './bytes-writer.ts'
import { MAX_ADDRESSES_PER_PEER, MAX_TEXT_BYTES } from './messages.ts'
import { decodePeerAddress, encodePeerAddress } from './peer-address.ts'

export interface AvailabilityGossip {
  peer: string
  /** Multiaddrs as text, most useful first; a /p2p part at the end is allowed. */
  addresses: string[]
  pieceCount: number
  /**
   * Bitfield in wire form. After decoding it may lack pieces that the peer has, never the other way round.
   */
  bits: Uint8Array
}

/**
 * Longest bits in a payload, in bytes. 8 addresses of 256 bytes and these stay well within one 64 KiB gossip
 * RPC.
 */
export const MAX_GOSSIP_BITS_BYTES = 16 * 1024
/** Longest payload, in bytes; refuse a longer one before decoding. */
export const MAX_GOSSIP_BYTES = MAX_GOSSIP_BITS_BYTES + (MAX_ADDRESSES_PER_PEER + 1) * (MAX_TEXT_BYTES + 2) + 16

const GOSSIP_VERSION = 1
const FORM_PACKED = 0
const FORM_RUNS = 1
/** A shift of 20 makes one group of the largest content. */
const MAX_SHIFT = 20

/** The payload; at most {@link MAX_GOSSIP_BYTES}. Throws `RangeError` for a peer id that no peer can have. */
export function encodeGossip(gossip: AvailabilityGossip): Uint8Array {
  const writer = new BytesWriter(256)
  writer.u8(GOSSIP_VERSION)
  encodePeerAddress(gossip, writer)
  writer.varint(gossip.pieceCount)
  let field = Bitfield.fromBytes(gossip.bits, gossip.pieceCount)
  for (let shift = 0; ; shift++, field = pairUp(field)) {
    const packedBytes = Math.ceil(field.size / 8)
    const runs = encodeRuns(field, Math.min(packedBytes, MAX_GOSSIP_BITS_BYTES))
    if (runs === undefined && packedBytes > MAX_GOSSIP_BITS_BYTES) continue
    writer.u8(shift)
    writer.u8(runs === undefined ? FORM_PACKED : FORM_RUNS)
    writer.put(runs ?? field.toBytes())
    return writer.finish()
  }
}

/** Half as many bits: each set when both of the pair are (the last may stand alone). */
function pairUp(field: Bitfield): Bitfield {
  const halved = new Bitfield(Math.ceil(field.size / 2))
  for (let i = 0; i < halved.size; i++) {
    if (field.get(2 * i) && (2 * i + 1 >= field.size || field.get(2 * i + 1))) halved.set(i)
  }
  return halved
}

/** Runs, clear first, or undefined when they take more than `most` bytes. */
function encodeRuns(field: Bitfield, most: number): Uint8Array | undefined {
  const writer = new BytesWriter(64)
  let value = false
  let start = 0
  for (let i = 0; i <= field.size; i++) {
    if (i < field.size && field.get(i) === value) continue
    writer.varint(i - start)
    if (writer.length > most) return undefined
    start = i
    value = !value
  }
  return writer.finish()
}

/**
 * Reads a payload that somebody else wrote; `pieceCount` when it is known. Throws `ProtocolError` and nothing
 * else. Allocates at most a bitfield of {@link MAX_PIECE_COUNT}.
 */
export function decodeGossip(payload: Uint8Array, pieceCount?: number): AvailabilityGossip {
  if (payload.byteLength > MAX_GOSSIP_BYTES)
    throw new ProtocolError(`gossip of ${payload.byteLength} bytes, at most ${MAX_GOSSIP_BYTES}`)
  const reader = new BytesReader(payload)
  const version = reader.u8('gossip version')
  if (version !== GOSSIP_VERSION) throw new ProtocolError(`gossip version ${version} is not ${GOSSIP_VERSION}`)
  const { peer, addresses } = decodePeerAddress(reader)
  const count = reader.varint(MAX_PIECE_COUNT, 'piece count')
  if (pieceCount !== undefined && count !== pieceCount) throw new ProtocolError(`${count} pieces, expected ${pieceCount}`)
  const shift = reader.u8('shift')
  if (shift > MAX_SHIFT) throw new ProtocolError(`shift ${shift} is more than ${MAX_SHIFT}`)
  const form = reader.u8('form')
  const groups = Math.ceil(count / 2 ** shift)
  const bits = new Uint8Array(Math.ceil(count / 8))
  const setGroups = (first: number, end: number) => setBits(bits, first * 2 ** shift, Math.min(count, end * 2 ** shift))
  if (form === FORM_PACKED) decodePacked(reader, groups, setGroups)
  else if (form === FORM_RUNS) decodeRuns(reader, groups, setGroups)
  else throw new ProtocolError(`unknown form ${form}`)
  reader.end('gossip')
  return { peer, addresses, pieceCount: count, bits }
}

function decodePacked(reader: BytesReader, groups: number, setGroups: (first: number, end: number) => void): void {
  const packed = reader.take(Math.ceil(groups / 8), 'bits')
  let field: Bitfield
  try {
    field = Bitfield.fromBytes(packed, groups)
  } catch (err) {
    throw new ProtocolError('bits behind the end', err)
  }
  for (const group of field.ones()) setGroups(group, group + 1)
}

function decodeRuns(reader: BytesReader, groups: number, setGroups: (first: number, end: number) => void): void {
  let start = 0
  let isSet = false
  do {
    const length = reader.varint(groups - start, 'run')
    // Only the very first run may be empty (when the first group is set), so that every step but one moves
    // on.
    if (length === 0 && (isSet || start > 0)) throw new ProtocolError('empty run')
    if (isSet) setGroups(start, start + length)
    start += length
    isSet = !isSet
  } while (start < groups)
}

/** Sets bits [first, end), whole bytes at a time: a dozen bytes of gossip can claim a million pieces. */
function setBits(bits: Uint8Array, first: number, end: number): void {
  let piece = first
  for (; piece < end && piece % 8 !== 0; piece++) setBit(bits, piece)
  const wholeBytes = Math.floor((end - piece) / 8)
  if (wholeBytes > 0) {
    bits.fill(0xff, piece / 8, piece / 8 + wholeBytes)
    piece += wholeBytes * 8
  }
  for (; piece < end; piece++) setBit(bits, piece)
}

function setBit(bits: Uint8Array, piece: number): void {
  bits[piece >> 3] = (bits[piece >> 3] as number) | (0x80 >> (piece & 7))
}
