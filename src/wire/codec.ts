/**
 * Messages to bytes and back, for a `/swarm/pieces/2.0.0` stream.
 *
 *   frame = u32 length (big-endian; type and body) | u8 type | body
 *
 * Numbers in bodies are unsigned LEB128 in shortest form; texts are a length and UTF-8; lists of pieces run
 * to the end of the body. There is exactly one encoding per message but for the order of labels, and the
 * decoder takes no other: everything malformed is a `ProtocolError` whose reason says what. A reader hands
 * the first five bytes to {@link checkFrame} before it keeps a byte of the body. Called by the peer link.
 */

import { MAX_PIECE_COUNT } from '../content/geometry.ts'
import { ProtocolError } from '../errors.ts'
import { encodeUtf8 } from '../util/bytes.ts'
import { BytesReader, decodeText } from './bytes-reader.ts'
import { BytesWriter } from './bytes-writer.ts'
import {
  type Hello,
  type KeeperEntry,
  MAX_ADDRESSES_PER_PEER,
  MAX_KEEPERS_PER_MESSAGE,
  MAX_LABELS,
  MAX_PEERS_PER_MESSAGE,
  MAX_PIECES_PER_MESSAGE,
  MAX_TEXT_BYTES,
  type Message,
  type PieceHeader,
  type RejectReason,
  type ToldPeer,
  WIRE_VERSION
} from './messages.ts'
import { decodePeerAddress, encodePeerAddress } from './peer-address.ts'

/** What the content allows on its streams. */
export interface WireLimits {
  pieceCount: number
  /** Longest piece, in bytes. */
  maxPieceBytes: number
}

/** The type byte of each message. */
export const FRAME_TYPES = {
  hello: 1,
  bitfield: 2,
  have: 3,
  offer: 4,
  request: 5,
  cancel: 6,
  reject: 7,
  peers: 8,
  goodbye: 9,
  keepers: 10,
  taking: 11,
  expecting: 12
} as const satisfies Record<Message['type'], number>
/** The type byte of a piece, which carries payload and is no {@link Message}. */
export const PIECE_FRAME_TYPE = 16

/** The u32 length and the type byte. */
export const FRAME_HEADER_BYTES = 5
/** Piece number, at the start of a piece frame's body. */
export const PIECE_NUMBER_BYTES = 4
/** What goes before a piece's bytes: frame header and piece number. */
export const PIECE_HEADER_BYTES = FRAME_HEADER_BYTES + PIECE_NUMBER_BYTES

/** Place in the list is the byte on the wire. */
const REJECT_REASONS: readonly RejectReason[] = ['have', 'expected', 'full', 'missing', 'choked']
const URGENT = 1
/** Names of labels: short and plain, so that they are safe as keys everywhere. */
const LABEL_NAME = /^[a-z][a-z0-9._-]{0,31}$/

/** Bytes of the longest varint below 2^21, which holds every piece number and count. */
const PIECE_VARINT_BYTES = 3
const TEXT_FIELD_BYTES = 2 + MAX_TEXT_BYTES
const MAX_HELLO_BYTES = 1 + PIECE_VARINT_BYTES + 1 + MAX_LABELS * 2 * TEXT_FIELD_BYTES
const MAX_PIECES_BYTES = MAX_PIECES_PER_MESSAGE * PIECE_VARINT_BYTES
const PEER_ADDRESS_BYTES = TEXT_FIELD_BYTES + 1 + MAX_ADDRESSES_PER_PEER * TEXT_FIELD_BYTES
const MAX_PEERS_BYTES = 2 + MAX_PEERS_PER_MESSAGE * PEER_ADDRESS_BYTES
const MAX_BEAT = 0x7fff_ffff
const MAX_KEEPERS_BYTES = 1 + MAX_KEEPERS_PER_MESSAGE * (PEER_ADDRESS_BYTES + 5)

/** Longest body of this type, in bytes. Throws `ProtocolError` for a type that does not exist. */
function maxBodyBytes(type: number, limits: WireLimits): number {
  switch (type) {
    case FRAME_TYPES.hello:
      return MAX_HELLO_BYTES
    case FRAME_TYPES.bitfield:
      return Math.ceil(limits.pieceCount / 8)
    case FRAME_TYPES.have:
    case FRAME_TYPES.offer:
    case FRAME_TYPES.cancel:
    case FRAME_TYPES.taking:
    case FRAME_TYPES.expecting:
      return MAX_PIECES_BYTES
    case FRAME_TYPES.request:
    case FRAME_TYPES.reject:
      return 1 + MAX_PIECES_BYTES
    case FRAME_TYPES.peers:
      return MAX_PEERS_BYTES
    case FRAME_TYPES.goodbye:
      return MAX_TEXT_BYTES
    case FRAME_TYPES.keepers:
      return MAX_KEEPERS_BYTES
    case PIECE_FRAME_TYPE:
      return PIECE_NUMBER_BYTES + limits.maxPieceBytes
    default:
      throw new ProtocolError(`unknown frame type ${type}`)
  }
}

/**
 * Refuses a frame by its first five bytes, before its body is kept: throws `ProtocolError` when the length
 * cannot be.
 */
export function checkFrame(length: number, type: number, limits: WireLimits): void {
  if (length < 1) throw new ProtocolError('frame without a type')
  const most = 1 + maxBodyBytes(type, limits)
  if (length > most) throw new ProtocolError(`frame of type ${type} with length ${length}, at most ${most}`)
}

/** Longest frame of any type, length field included, in bytes. Bounds what a reader must be able to hold. */
export function maxFrameBytes(limits: WireLimits): number {
  let most = 0
  for (const type of [...Object.values(FRAME_TYPES), PIECE_FRAME_TYPE]) most = Math.max(most, maxBodyBytes(type, limits))
  return FRAME_HEADER_BYTES + most
}

/**
 * The whole frame. Throws `RangeError` for what no peer may send (too many pieces, a text too long): a bug of
 * the caller.
 */
export function encodeMessage(message: Message): Uint8Array {
  const writer = new BytesWriter(capacityFor(message))
  writer.u32(0)
  writer.u8(FRAME_TYPES[message.type])
  encodeBody(message, writer)
  writer.patchU32(0, writer.length - 4)
  return writer.finish()
}

function capacityFor(message: Message): number {
  if ('pieces' in message) return FRAME_HEADER_BYTES + 1 + message.pieces.length * PIECE_VARINT_BYTES + 2
  if (message.type === 'bitfield') return FRAME_HEADER_BYTES + message.bits.byteLength
  return 128
}

function encodeBody(message: Message, writer: BytesWriter): void {
  switch (message.type) {
    case 'hello':
      encodeHello(message, writer)
      break
    case 'bitfield':
      writer.put(message.bits)
      break
    case 'request':
      writer.u8(message.urgent ? URGENT : 0)
      encodePieces(message.pieces, writer)
      break
    case 'reject':
      writer.u8(REJECT_REASONS.indexOf(message.reason))
      encodePieces(message.pieces, writer)
      break
    case 'peers':
      encodePeers(message.peers, writer)
      break
    case 'goodbye':
      writer.put(clipText(message.reason))
      break
    case 'keepers':
      encodeKeepers(message.keepers, writer)
      break
    default:
      encodePieces(message.pieces, writer)
  }
}

function encodeHello(hello: Hello, writer: BytesWriter): void {
  const labels = Object.entries(hello.labels)
  if (labels.length > MAX_LABELS) throw new RangeError(`${labels.length} labels, at most ${MAX_LABELS}`)
  writer.u8(hello.version)
  writer.varint(hello.pieceCount)
  writer.u8(labels.length)
  for (const [name, value] of labels) {
    if (!LABEL_NAME.test(name)) throw new RangeError(`label name ${JSON.stringify(name)}`)
    writer.text(name, MAX_TEXT_BYTES)
    writer.text(value, MAX_TEXT_BYTES)
  }
}

function encodePieces(pieces: readonly number[], writer: BytesWriter): void {
  if (pieces.length === 0 || pieces.length > MAX_PIECES_PER_MESSAGE) {
    throw new RangeError(`${pieces.length} pieces in a message, 1 to ${MAX_PIECES_PER_MESSAGE}`)
  }
  for (const piece of pieces) writer.varint(piece)
}

function encodePeers(peers: readonly ToldPeer[], writer: BytesWriter): void {
  if (peers.length > MAX_PEERS_PER_MESSAGE) throw new RangeError(`${peers.length} peers, at most ${MAX_PEERS_PER_MESSAGE}`)
  writer.u8(peers.length)
  let near = 0
  for (const [index, peer] of peers.entries()) {
    if (peer.isNear === true && near++ < index) throw new RangeError('near peers go first')
    encodePeerAddress(peer, writer)
  }
  if (near > 0) writer.u8(near)
}

function encodeKeepers(keepers: readonly KeeperEntry[], writer: BytesWriter): void {
  if (keepers.length > MAX_KEEPERS_PER_MESSAGE) {
    throw new RangeError(`${keepers.length} keepers, at most ${MAX_KEEPERS_PER_MESSAGE}`)
  }
  writer.u8(keepers.length)
  for (const keeper of keepers) {
    encodePeerAddress(keeper, writer)
    writer.varint(keeper.beat)
  }
}

/**
 * UTF-8 of at most {@link MAX_TEXT_BYTES}, cut between characters: a reason may quote an error of any length.
 */
function clipText(text: string): Uint8Array {
  const bytes = encodeUtf8(text)
  if (bytes.byteLength <= MAX_TEXT_BYTES) return bytes
  let end = MAX_TEXT_BYTES
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.subarray(0, end)
}

/**
 * The message in a body (frame without length and type). `bits` is a copy; nothing refers to `body`
 * afterwards. Throws `ProtocolError` for everything that {@link encodeMessage} would not have written for a
 * content of these limits.
 */
export function decodeMessage(type: number, body: Uint8Array, limits: WireLimits): Message {
  checkFrame(body.byteLength + 1, type, limits)
  const reader = new BytesReader(body)
  switch (type) {
    case FRAME_TYPES.hello:
      return decodeHello(reader)
    case FRAME_TYPES.bitfield:
      return { type: 'bitfield', bits: decodeBits(body, limits.pieceCount) }
    case FRAME_TYPES.have:
      return { type: 'have', pieces: decodePieces(reader, limits) }
    case FRAME_TYPES.offer:
      return { type: 'offer', pieces: decodePieces(reader, limits) }
    case FRAME_TYPES.cancel:
      return { type: 'cancel', pieces: decodePieces(reader, limits) }
    case FRAME_TYPES.request: {
      const flags = reader.u8('request flags')
      if ((flags & ~URGENT) !== 0) throw new ProtocolError(`unknown request flags ${flags}`)
      return { type: 'request', pieces: decodePieces(reader, limits), urgent: flags === URGENT }
    }
    case FRAME_TYPES.reject: {
      const code = reader.u8('reject reason')
      const reason = REJECT_REASONS[code]
      if (reason === undefined) throw new ProtocolError(`unknown reject reason ${code}`)
      return { type: 'reject', pieces: decodePieces(reader, limits), reason }
    }
    case FRAME_TYPES.peers:
      return { type: 'peers', peers: decodePeers(reader) }
    case FRAME_TYPES.taking:
      return { type: 'taking', pieces: decodePieces(reader, limits) }
    case FRAME_TYPES.expecting:
      return { type: 'expecting', pieces: decodePieces(reader, limits) }
    case FRAME_TYPES.keepers:
      return { type: 'keepers', keepers: decodeKeepers(reader) }
    case FRAME_TYPES.goodbye:
      return { type: 'goodbye', reason: decodeText(body, 'goodbye reason') }
    default:
      throw new ProtocolError(`frame type ${type} is no message`)
  }
}

function decodeHello(reader: BytesReader): Hello {
  const version = reader.u8('version')
  if (version !== WIRE_VERSION) throw new ProtocolError(`version ${version} is not ${WIRE_VERSION}`)
  const pieceCount = reader.varint(MAX_PIECE_COUNT, 'piece count')
  const count = reader.u8('label count')
  if (count > MAX_LABELS) throw new ProtocolError(`${count} labels are more than ${MAX_LABELS}`)
  const labels: Record<string, string> = {}
  for (let i = 0; i < count; i++) {
    const name = reader.text(MAX_TEXT_BYTES, 'label name')
    if (!LABEL_NAME.test(name)) throw new ProtocolError('label name is not a plain lower-case word')
    if (Object.hasOwn(labels, name)) throw new ProtocolError(`label ${name} is given twice`)
    labels[name] = reader.text(MAX_TEXT_BYTES, 'label value')
  }
  reader.end('hello')
  return { type: 'hello', version, pieceCount, labels }
}

function decodeBits(body: Uint8Array, pieceCount: number): Uint8Array {
  const expected = Math.ceil(pieceCount / 8)
  if (body.byteLength !== expected) throw new ProtocolError(`bitfield of ${body.byteLength} bytes, expected ${expected}`)
  const spare = expected * 8 - pieceCount
  if (spare > 0 && ((body[expected - 1] as number) & ((1 << spare) - 1)) !== 0)
    throw new ProtocolError('bitfield has bits behind its end')
  return body.slice()
}

function decodePieces(reader: BytesReader, limits: WireLimits): number[] {
  const pieces: number[] = []
  do {
    if (pieces.length === MAX_PIECES_PER_MESSAGE) throw new ProtocolError(`more than ${MAX_PIECES_PER_MESSAGE} pieces`)
    pieces.push(decodePieceNumber(reader.varint(MAX_PIECE_COUNT, 'piece'), limits))
  } while (!reader.atEnd)
  return pieces
}

function decodePieceNumber(piece: number, limits: WireLimits): number {
  if (piece >= limits.pieceCount) throw new ProtocolError(`piece ${piece} of ${limits.pieceCount}`)
  return piece
}

function decodePeers(reader: BytesReader): ToldPeer[] {
  const count = reader.u8('peer count')
  if (count > MAX_PEERS_PER_MESSAGE) throw new ProtocolError(`${count} peers are more than ${MAX_PEERS_PER_MESSAGE}`)
  const peers: ToldPeer[] = []
  for (let i = 0; i < count; i++) peers.push(decodePeerAddress(reader))
  if (reader.atEnd) return peers
  const near = reader.u8('near peers')
  if (near === 0 || near > count) throw new ProtocolError(`${near} near peers of ${count}`)
  for (const peer of peers.slice(0, near)) peer.isNear = true
  reader.end('peers')
  return peers
}

function decodeKeepers(reader: BytesReader): KeeperEntry[] {
  const count = reader.u8('keeper count')
  if (count > MAX_KEEPERS_PER_MESSAGE) throw new ProtocolError(`${count} keepers are more than ${MAX_KEEPERS_PER_MESSAGE}`)
  const keepers: KeeperEntry[] = []
  for (let i = 0; i < count; i++) keepers.push({ ...decodePeerAddress(reader), beat: reader.varint(MAX_BEAT, 'beat') })
  reader.end('keepers')
  return keepers
}

/** What goes on the stream right before the piece's bytes: {@link PIECE_HEADER_BYTES} bytes. */
export function encodePieceHeader(piece: number, bytes: number): Uint8Array {
  const header = new Uint8Array(PIECE_HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, 1 + PIECE_NUMBER_BYTES + bytes)
  view.setUint8(4, PIECE_FRAME_TYPE)
  view.setUint32(5, piece)
  return header
}

/**
 * The header of a piece frame from its length field and the first four bytes of its body; the piece's bytes
 * are the rest of the body. Throws `ProtocolError` when piece or size cannot be.
 */
export function decodePieceHeader(length: number, bodyStart: Uint8Array, limits: WireLimits): PieceHeader {
  checkFrame(length, PIECE_FRAME_TYPE, limits)
  const bytes = length - 1 - PIECE_NUMBER_BYTES
  if (bytes < 1) throw new ProtocolError('piece without bytes')
  return { piece: decodePieceNumber(new BytesReader(bodyStart).u32('piece number'), limits), bytes }
}
