/**
 * What is committed in the vectors is the protocol: this reads them in both directions, independently of how
 * they were made.
 */

import assert from 'node:assert/strict'
import { createCipheriv, createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Blake3Hasher } from '@napi-rs/blake-hash'
import { dhtKey } from '../src/content/dht-key.ts'
import { formatLink, parseLink } from '../src/content/link.ts'
import { formatManifest, parseManifest } from '../src/content/manifest.ts'
import { encodePieceList, parsePieceList } from '../src/content/piece-list.ts'
import { Election, rankOf } from '../src/engine/origin/election.ts'
import { ProtocolError } from '../src/errors.ts'
import { topicOf } from '../src/network/discovery/gossip.ts'
import { GossipSeal } from '../src/network/discovery/gossip-seal.ts'
import { scanContent } from '../src/store/scan-content.ts'
import { decodeHex, encodeHex } from '../src/util/bytes.ts'
import {
  decodeMessage,
  decodePieceHeader,
  encodeMessage,
  encodePieceHeader,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  PIECE_FRAME_TYPE
} from '../src/wire/codec.ts'
import { decodeGossip, encodeGossip } from '../src/wire/gossip.ts'
import { HANDSHAKE_FRAME_TYPES } from '../src/wire/handshake.ts'
import { decodePieceListAnswerHeader, encodePieceListAnswerHeader } from '../src/wire/piece-list.ts'
import { hash } from './content/samples.ts'
import { tempFolder } from './store/fixtures.ts'

/** The vectors, `{ hex }` turned into bytes. */
function read(name: string) {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'vectors', name), 'utf8'), (_, value) =>
    typeof value?.hex === 'string' ? decodeHex(value.hex) : value
  )
}

function lengthOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(0)
}

test('every message has the bytes of its vector, in both directions', () => {
  const { limits, frames, refused } = read('messages.json')
  for (const { message, frame } of frames) {
    assert.equal(encodeHex(encodeMessage(message)), encodeHex(frame))
    assert.equal(lengthOf(frame), frame.byteLength - 4)
    assert.deepEqual(decodeMessage(frame[4], frame.subarray(FRAME_HEADER_BYTES), limits), message)
  }
  for (const { why, frame } of refused) {
    assert.equal(lengthOf(frame), frame.byteLength - 4, why)
    assert.throws(() => decodeMessage(frame[4], frame.subarray(FRAME_HEADER_BYTES), limits), ProtocolError, why)
  }
})

test('piece headers and piece-list answers have the bytes of their vectors, in both directions', () => {
  const { limits, pieceHeaders, pieceListAnswers } = read('messages.json')
  for (const { piece, bytes, header } of pieceHeaders) {
    assert.deepEqual(encodePieceHeader(piece, bytes), header)
    assert.deepEqual(decodePieceHeader(lengthOf(header), header.subarray(FRAME_HEADER_BYTES), limits), { piece, bytes })
  }
  for (const { status, length, header } of pieceListAnswers) {
    assert.deepEqual(encodePieceListAnswerHeader(status, length), header)
    assert.deepEqual(decodePieceListAnswerHeader(header, 1000), { status, length })
  }
})

test('gossip has the bytes of its vectors', () => {
  const { exact, grouped, sealed } = read('gossip.json')
  const { root, topic, author, nonce, payload: message, data } = sealed
  const key = Blake3Hasher.deriveKey('swarm 2026-11-30 gossip 1', root)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(`${topic}\n${author}`))
  assert.deepEqual(Buffer.concat([nonce, cipher.update(message), cipher.final(), cipher.getAuthTag()]), Buffer.from(data))
  assert.equal(topic, topicOf(root))
  assert.deepEqual(new GossipSeal(root, topic).open(data, author), message)
  for (const { gossip, payload } of exact) {
    assert.equal(encodeHex(encodeGossip(gossip)), encodeHex(payload))
    assert.deepEqual(decodeGossip(payload), gossip)
  }
  for (const { gossip, payload } of grouped) assert.deepEqual(decodeGossip(payload), gossip)
})

test('every proof of a handshake is BLAKE3 over what the specification says, by another implementation', () => {
  const vectors = read('handshakes.json')
  assert.equal(vectors.length, 4)
  for (const vector of vectors) {
    const { root, digest, proofKey, protocol, opener, answerer, openerNonce, answererNonce, binding } = vector
    assert.deepEqual(
      createHash('sha256')
        .update(`swarm:${encodeHex(root)}`)
        .digest(),
      Buffer.from(digest)
    )
    assert.deepEqual(Blake3Hasher.deriveKey('swarm 2026-11-30 root proof 1', root), Buffer.from(proofKey))
    const text = (value: string) => [Uint8Array.of(value.length), Buffer.from(value)]
    const over = (step: string, ...rest: Uint8Array[]) =>
      Blake3Hasher.newKeyed(Buffer.from(proofKey))
        .update(Buffer.concat([...text(protocol), ...text(step), ...text(opener), ...text(answerer), openerNonce, ...rest]))
        .digestBuffer()
    const rest = binding === undefined ? [answererNonce] : [answererNonce, binding]
    const canBind = Uint8Array.of(binding === undefined ? 0 : 1)
    const frame = (type: number, ...parts: Uint8Array[]) => {
      const body = Buffer.concat([Uint8Array.of(type), ...parts])
      return Buffer.concat([Uint8Array.of(0, 0, 0, body.byteLength), body])
    }
    assert.deepEqual(Buffer.from(vector.opening), frame(13, digest, openerNonce, canBind, over('open')))
    assert.deepEqual(Buffer.from(vector.answer), frame(14, canBind, answererNonce, over('answer', ...rest)))
    assert.deepEqual(Buffer.from(vector.confirmation), frame(15, over('confirm', ...rest)))
  }
})

test('manifests, links, piece lists, roots and DHT keys are those of the vectors', () => {
  const vectors = read('manifests.json')
  assert.deepEqual(Object.keys(vectors), ['file', 'folder', 'empty'])
  for (const { content, manifest, text, link, pieceList, root, dhtKey: key } of Object.values(vectors) as ReturnType<
    typeof read
  >[]) {
    assert.equal(formatManifest(manifest), text)
    assert.deepEqual(parseManifest(text, hash), manifest)
    assert.equal(formatLink(manifest), link)
    assert.equal(parseLink(link).root, root)
    assert.deepEqual(encodePieceList(manifest), pieceList)
    assert.deepEqual(parsePieceList(pieceList).hashes, manifest.hashes)
    assert.equal(encodeHex(hash(pieceList)), root)
    for (let piece = 0; piece * manifest.pieceLength < manifest.length; piece++) {
      const bytes = content.subarray(piece * manifest.pieceLength, (piece + 1) * manifest.pieceLength)
      assert.deepEqual(hash(bytes), manifest.hashes.subarray(piece * 32, piece * 32 + 32))
    }
    const cid = dhtKey(decodeHex(root) as Uint8Array)
    assert.equal(cid.toString(), key)
    assert.equal(encodeHex(cid.multihash.bytes), `1220${createHash('sha256').update(`swarm:${root}`).digest('hex')}`)
  }
})

test('the specification lists every message under its type byte', () => {
  const text = readFileSync(join(import.meta.dirname, '..', 'docs', 'PROTOCOL.md'), 'utf8')
  const rows = [...text.matchAll(/^\| (\d+) \| `(\w+)` \|/gm)].map(row => [row[2], Number(row[1])])
  assert.deepEqual(Object.fromEntries(rows), { ...FRAME_TYPES, ...HANDSHAKE_FRAME_TYPES, piece: PIECE_FRAME_TYPE })
})

test('the vectors have every message and every reason to reject', () => {
  const { frames } = read('messages.json')
  const types = new Set(frames.map((vector: { message: { type: string } }) => vector.message.type))
  assert.deepEqual(types, new Set(Object.keys(FRAME_TYPES)))
  const reasons = frames.flatMap((vector: { message: { reason?: string; type: string } }) =>
    vector.message.type === 'reject' ? [vector.message.reason] : []
  )
  assert.deepEqual(reasons, ['have', 'expected', 'full', 'missing', 'choked'])
})

/** As docs/PROTOCOL.md, "Origins", writes them: 32 bits, unsigned. */
const times = (a: number, b: number) => Number((BigInt(a) * BigInt(b)) & 0xffff_ffffn)
const xor = (a: number, b: number) => (a ^ b) >>> 0
function m(value: number): number {
  let h = times(xor(value, value >>> 16), 0x85ebca6b)
  h = times(xor(h, h >>> 13), 0xc2b2ae35)
  return xor(h, h >>> 16)
}

test('ranks of peers, the order of keepers and the owners of blocks are those of the vectors', () => {
  const { ranks, order, owners } = read('keepers.json')
  const rankBy = new Map<string, number>()
  for (const { peer, rank } of ranks) {
    let h = 0x811c9dc5
    for (const byte of Buffer.from(peer)) h = times(xor(h, byte), 0x01000193)
    assert.equal(m(h), rank)
    assert.equal(rankOf(peer), rank)
    rankBy.set(peer, rank)
  }
  const rank = (peer: string) => rankBy.get(peer) as number
  assert.deepEqual(
    order,
    [...rankBy.keys()].sort((a, b) => rank(a) - rank(b))
  )
  const keepers = new Election()
  for (const peer of rankBy.keys()) keepers.record({ peer, beat: 0 }, 0)
  assert.deepEqual(keepers.peers, order)
  for (const [block, owner] of owners.entries()) {
    const weight = (peer: string) => m(xor(rank(peer), m(block)))
    const smallest: unknown = order.toSorted((a: string, b: string) => weight(a) - weight(b))[0]
    assert.equal(owner, smallest)
    assert.equal(order[keepers.ownerOf(block)], owner)
  }
})

test('a folder is listed in the order of the vectors', async t => {
  const order: string[] = read('folder-order.json')
  const folder = await tempFolder(t)
  for (const path of order.toReversed()) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), path)
  }
  const { files } = await scanContent(folder)
  assert.deepEqual(
    files.map(({ path }) => path),
    order
  )
})

test('a whole session reads by frame lengths alone and brings the bytes of the root', () => {
  const { root, frames } = read('session.json')
  const { file } = read('manifests.json')
  assert.equal(encodeHex(root), file.root)
  const types = { ...FRAME_TYPES, ...HANDSHAKE_FRAME_TYPES, piece: PIECE_FRAME_TYPE } as Record<string, number>
  const got: Buffer[] = []
  for (const { what, frame } of frames) {
    const bytes = Buffer.from(frame)
    assert.equal(bytes.readUInt32BE(0), bytes.length - 4)
    assert.equal(bytes[4], types[what])
    if (what === 'piece') got[bytes.readUInt32BE(5)] = bytes.subarray(9)
  }
  assert.deepEqual(Buffer.concat(got), Buffer.from(file.content))
  for (const [piece, bytes] of got.entries()) {
    assert.deepEqual(Buffer.from(hash(bytes)), Buffer.from(file.manifest.hashes.subarray(piece * 32, piece * 32 + 32)))
  }
})
