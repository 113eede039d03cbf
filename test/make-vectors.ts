/**
 * Writes the test vectors: `node test/make-vectors.ts`. Run it only when the protocol changes on purpose;
 * vectors.test.ts reads what is committed.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { dhtKey } from '../src/content/dht-key.ts'
import { formatLink } from '../src/content/link.ts'
import { formatManifest, type Manifest } from '../src/content/manifest.ts'
import { encodePieceList } from '../src/content/piece-list.ts'
import { Election, rankOf } from '../src/engine/origin/election.ts'
import { topicOf } from '../src/network/discovery/gossip.ts'
import { GossipSeal } from '../src/network/discovery/gossip-seal.ts'
import { decodeHex, encodeHex } from '../src/util/bytes.ts'
import { encodeMessage, encodePieceHeader } from '../src/wire/codec.ts'
import { encodeGossip } from '../src/wire/gossip.ts'
import { encodeHandshake, prove, rootKeyOf, type Transcript } from '../src/wire/handshake.ts'
import { type Message, PIECE_CONNECTION_PROTOCOL, PIECE_LIST_PROTOCOL, PIECES_PROTOCOL } from '../src/wire/messages.ts'
import { encodePieceListAnswerHeader } from '../src/wire/piece-list.ts'
import { fileManifest, folderManifest, PEER_HINT, sampleBytes } from './content/samples.ts'

/** Byte arrays as hex under a telling key, so that the vectors are plain JSON. */
function toJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, field) => (field instanceof Uint8Array ? { hex: encodeHex(field) } : field)))
}

function write(name: string, value: unknown): void {
  writeFileSync(join(import.meta.dirname, 'vectors', name), `${JSON.stringify(toJson(value), undefined, 2)}\n`)
}

const bits = new Uint8Array(38)
bits.set([0x80, 0x01, 0xff])
bits[37] = 0x10

const messages: Message[] = [
  { type: 'hello', version: 1, pieceCount: 300, labels: {} },
  { type: 'hello', version: 1, pieceCount: 1_048_576, labels: { host: 'node-7', zone: 'zürich' } },
  { type: 'bitfield', bits },
  { type: 'have', pieces: [0] },
  { type: 'have', pieces: [299, 127, 128, 1] },
  { type: 'offer', pieces: [5, 200] },
  { type: 'request', pieces: [5], urgent: false },
  { type: 'request', pieces: [200, 6], urgent: true },
  { type: 'cancel', pieces: [5, 200] },
  { type: 'reject', pieces: [5], reason: 'have' },
  { type: 'reject', pieces: [5], reason: 'expected' },
  { type: 'reject', pieces: [5], reason: 'full' },
  { type: 'reject', pieces: [5], reason: 'missing' },
  { type: 'reject', pieces: [5], reason: 'choked' },
  { type: 'peers', peers: [] },
  {
    type: 'peers',
    peers: [{ peer: PEER_HINT.split('/p2p/')[1] as string, addresses: ['/ip4/192.0.2.7/tcp/4001', '/ip6/2001:db8::7/tcp/4001'] }]
  },
  { type: 'goodbye', reason: 'leaving' },
  { type: 'keepers', keepers: [] },
  {
    type: 'keepers',
    keepers: [{ peer: PEER_HINT.split('/p2p/')[1] as string, addresses: ['/ip4/192.0.2.7/tcp/4001'], beat: 300 }]
  },
  { type: 'taking', pieces: [16, 17, 200] },
  { type: 'expecting', pieces: [3, 200] }
]

write('messages.json', {
  limits: { pieceCount: 300, maxPieceBytes: 16_384 },
  frames: messages.map(message => ({ message, frame: encodeMessage(message) })),
  pieceHeaders: [
    { piece: 0, bytes: 1, header: encodePieceHeader(0, 1) },
    { piece: 299, bytes: 16_384, header: encodePieceHeader(299, 16_384) }
  ],
  pieceListAnswers: [
    { status: 'found', length: 100, header: encodePieceListAnswerHeader('found', 100) },
    { status: 'unknown', length: 0, header: encodePieceListAnswerHeader('unknown', 0) },
    { status: 'busy', length: 0, header: encodePieceListAnswerHeader('busy', 0) }
  ],
  refused: [
    { why: 'piece behind the end', frame: { hex: '0000000303ac02' } },
    { why: 'number not in its shortest form', frame: { hex: '00000003038000' } },
    { why: 'no piece', frame: { hex: '0000000103' } },
    { why: 'unknown request flags', frame: { hex: '00000003050201' } },
    { why: 'unknown reject reason', frame: { hex: '00000003070501' } },
    { why: 'bits behind the end', frame: { hex: `0000002702${'00'.repeat(37)}08` } },
    { why: 'bitfield too short', frame: { hex: `0000002602${'00'.repeat(37)}` } },
    { why: 'unknown type', frame: { hex: '000000010a' } },
    { why: 'another version', frame: { hex: `0000000401${'02'}0000` } },
    { why: 'text not UTF-8', frame: { hex: '0000000209ff' } }
  ]
})

const peer = PEER_HINT.split('/p2p/')[1] as string
const runs = new Uint8Array(38).fill(0xff, 0, 20)
const sealedRoot = decodeHex(fileManifest().root) as Uint8Array
const topic = topicOf(sealedRoot)
const nonce = Uint8Array.from({ length: 12 }, (_, i) => i)
const payload = encodeGossip({ peer, addresses: ['/ip4/192.0.2.7/tcp/4001'], pieceCount: 300, bits })
write('gossip.json', {
  sealed: {
    root: sealedRoot,
    topic,
    author: peer,
    nonce,
    payload,
    data: new GossipSeal(sealedRoot, topic).seal(payload, peer, nonce)
  },
  exact: [
    { peer, addresses: ['/ip4/192.0.2.7/tcp/4001'], pieceCount: 300, bits },
    { peer, addresses: [], pieceCount: 300, bits: runs },
    { peer, addresses: [], pieceCount: 16, bits: Uint8Array.of(0x55, 0xaa) },
    { peer, addresses: [], pieceCount: 0, bits: new Uint8Array(0) }
  ].map(gossip => ({ gossip, payload: encodeGossip(gossip) })),
  /** Only to be read: groups of two pieces, the second and fifth (one piece alone) are there. */
  grouped: [
    { gossip: { peer: 'a', addresses: [], pieceCount: 9, bits: Uint8Array.of(0x30, 0x80) }, payload: { hex: '0101610009010048' } }
  ]
})

function describe(manifest: Manifest): unknown {
  return {
    content: { hex: encodeHex(sampleBytes(manifest.length)) },
    manifest,
    text: formatManifest(manifest),
    link: formatLink(manifest),
    pieceList: encodePieceList(manifest),
    root: manifest.root,
    dhtKey: dhtKey(decodeHex(manifest.root) as Uint8Array).toString()
  }
}

write('manifests.json', { file: describe(fileManifest()), folder: describe(folderManifest()), empty: describe(fileManifest(0)) })

/** Who says what, in order, up to the first message or answer. */
function handshakeOf(protocol: string, isBound: boolean): unknown {
  const root = decodeHex(fileManifest().root) as Uint8Array
  const key = rootKeyOf(root)
  const opened: Transcript = {
    protocol,
    opener: peer,
    answerer: '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo',
    openerNonce: Uint8Array.from({ length: 32 }, (_, i) => i)
  }
  const answered = {
    ...opened,
    answererNonce: Uint8Array.from({ length: 32 }, (_, i) => 255 - i),
    binding: isBound ? new Uint8Array(32).fill(0xb1) : undefined
  }
  const { digest } = key
  const hello = encodeMessage({ type: 'hello', version: 1, pieceCount: 3, labels: { rack: 'r7' } })
  return {
    root,
    ...answered,
    ...key,
    opening: encodeHandshake({
      type: 'open',
      digest,
      nonce: opened.openerNonce,
      canBind: isBound,
      proof: prove('open', key, opened)
    }),
    answer: encodeHandshake({
      type: 'answer',
      isBound,
      nonce: answered.answererNonce,
      proof: prove('answer', key, answered)
    }),
    confirmation: encodeHandshake({ type: 'confirm', proof: prove('confirm', key, answered) }),
    /** Behind the answer and behind the confirmation of a stream of pieces. */
    ...(protocol === PIECES_PROTOCOL ? { hello } : {})
  }
}

write('handshakes.json', [
  handshakeOf(PIECES_PROTOCOL, true),
  handshakeOf(PIECES_PROTOCOL, false),
  handshakeOf(PIECE_CONNECTION_PROTOCOL, true),
  handshakeOf(PIECE_LIST_PROTOCOL, false)
])

const KEEPERS = [peer, '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo', 'a', 'b']
const keepers = new Election()
for (const each of KEEPERS) keepers.record({ peer: each, beat: 0 }, 0)
write('keepers.json', {
  ranks: KEEPERS.map(each => ({ peer: each, rank: rankOf(each) })),
  order: keepers.peers,
  owners: Array.from({ length: 24 }, (_, block) => keepers.peers[keepers.ownerOf(block)])
})

/** Paths where the order of bytes differs from that of UTF-16 units or of folders first. */
const PATHS = ['a-b', 'a/b', 'a/c/d', 'a0', 'b', 'Z', '\u{10000}', '\uffee', 'é', 'e']
write(
  'folder-order.json',
  PATHS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
)

/** One whole download of the file of two pieces: what either side writes on its stream, frame by frame. */
const sample = fileManifest()
const sampleContent = sampleBytes(sample.length)
const bytesOf = (piece: number) => sampleContent.subarray(piece * sample.pieceLength, (piece + 1) * sample.pieceLength)
const pieceFrame = (piece: number) => Buffer.concat([encodePieceHeader(piece, bytesOf(piece).length), bytesOf(piece)])
const hello = encodeMessage({ type: 'hello', version: 1, pieceCount: 2, labels: {} })
const greeting = handshakeOf(PIECES_PROTOCOL, false) as Record<'opening' | 'answer' | 'confirmation', Uint8Array>
const says = (from: 'leecher' | 'seeder', what: string, frame: Uint8Array) => ({
  from,
  what,
  frame: Uint8Array.from(frame)
})
write('session.json', {
  root: decodeHex(sample.root),
  frames: [
    says('leecher', 'open', greeting.opening),
    says('seeder', 'answer', greeting.answer),
    says('seeder', 'hello', hello),
    says('leecher', 'confirm', greeting.confirmation),
    says('leecher', 'hello', hello),
    says('leecher', 'bitfield', encodeMessage({ type: 'bitfield', bits: Uint8Array.of(0) })),
    says('seeder', 'bitfield', encodeMessage({ type: 'bitfield', bits: Uint8Array.of(0xc0) })),
    says('leecher', 'request', encodeMessage({ type: 'request', pieces: [0], urgent: false })),
    says('seeder', 'piece', pieceFrame(0)),
    says('leecher', 'have', encodeMessage({ type: 'have', pieces: [0] })),
    says('seeder', 'offer', encodeMessage({ type: 'offer', pieces: [1] })),
    says('leecher', 'request', encodeMessage({ type: 'request', pieces: [1], urgent: false })),
    says('seeder', 'piece', pieceFrame(1)),
    says('leecher', 'have', encodeMessage({ type: 'have', pieces: [1] })),
    says('leecher', 'goodbye', encodeMessage({ type: 'goodbye', reason: 'leaving' }))
  ]
})
