/**
 * Hostile bytes for every parser of untrusted input. A case is a valid sample changed a little, spliced with
 * another, or noise. Whatever it is, a parser may only give a value that encodes back to the same meaning, or
 * throw its own error.
 *
 * Deterministic: a seed gives the same cases on every machine. Used by the short run in the suite and by `npm
 * run fuzz`.
 */

import assert from 'node:assert/strict'
import { formatLink, parseLink } from '../../src/content/link.ts'
import { formatManifest, parseManifest } from '../../src/content/manifest.ts'
import { encodePieceList, parsePieceList } from '../../src/content/piece-list.ts'
import { InvalidManifestError, ProtocolError } from '../../src/errors.ts'
import { concatBytes, encodeHex, encodeUtf8 } from '../../src/util/bytes.ts'
import { decodeMessage, decodePieceHeader, encodeMessage, encodePieceHeader, type WireLimits } from '../../src/wire/codec.ts'
import { decodeGossip, encodeGossip } from '../../src/wire/gossip.ts'
import type { Message } from '../../src/wire/messages.ts'
import { decodePieceListAnswerHeader, encodePieceListAnswerHeader } from '../../src/wire/piece-list.ts'
import { fileManifest, folderManifest } from '../content/samples.ts'

interface Target {
  name: string
  samples: Uint8Array[]
  /** Pieces of syntax worth inserting. */
  words: Uint8Array[]
  /**
   * Parses; on success checks that what was read can be written and read again to the same. Throws only
   * `refusal`.
   */
  run(bytes: Uint8Array): void
  refusal: typeof InvalidManifestError | typeof ProtocolError
}

const LIMITS: WireLimits = { pieceCount: 300, maxPieceBytes: 16_384 }
const ROOT = new Uint8Array(32)
/**
 * With a hash that is always the same, changed manifests get past the root and reach the rest of the parser.
 */
const constantHash = () => ROOT

const MESSAGES: Message[] = [
  { type: 'hello', version: 1, pieceCount: 300, labels: { rack: 'r1', zone: 'zürich' } },
  { type: 'bitfield', bits: new Uint8Array(38) },
  { type: 'have', pieces: [0, 127, 128, 299] },
  { type: 'offer', pieces: [1, 2, 3] },
  { type: 'request', pieces: [299], urgent: true },
  { type: 'cancel', pieces: [5] },
  { type: 'reject', pieces: [200], reason: 'full' },
  { type: 'peers', peers: [{ peer: '12D3Koo', addresses: ['/ip4/192.0.2.1/tcp/1', '/ip6/::1/tcp/2'] }] },
  { type: 'goodbye', reason: 'done' }
]

const JSON_WORDS = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\\u0000',
  '\\ud800',
  '../',
  '/',
  '\\',
  'null',
  '-1',
  '1e15',
  '1e999',
  '"__proto__":',
  '0',
  'é'
]
const LINK_WORDS = ['&', '=', '%', '%00', '%2F', '..', '?', 'peer=', 'name=', 'length=', 'origin=', 'http://[', '/p2p/', '+']

const TARGETS: Target[] = [
  {
    name: 'codec',
    // Without the length field, which the reader takes off.
    samples: MESSAGES.map(message => encodeMessage(message).slice(4)),
    words: [Uint8Array.of(0x80), Uint8Array.of(0xff, 0xff, 0xff, 0xff), Uint8Array.of(0)],
    refusal: ProtocolError,
    run(bytes) {
      const type = bytes[0] ?? 0
      const message = decodeMessage(type, bytes.subarray(1), LIMITS)
      assert.deepEqual(encodeMessage(message).subarray(4), bytes)
    }
  },
  {
    name: 'piece header',
    samples: [encodePieceHeader(7, 100), encodePieceHeader(299, 16_384)],
    words: [Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
    refusal: ProtocolError,
    run(bytes) {
      const length = new DataView(concatBytes([bytes, new Uint8Array(4)]).buffer).getUint32(0)
      const { piece, bytes: pieceBytes } = decodePieceHeader(length, bytes.subarray(5, 9), LIMITS)
      assert.deepEqual(encodePieceHeader(piece, pieceBytes).subarray(5), bytes.subarray(5, 9))
    }
  },
  {
    name: 'gossip',
    samples: [new Uint8Array(38), new Uint8Array(38).fill(0xff, 0, 37), new Uint8Array(38).fill(0x55, 0, 37)].map(bits =>
      encodeGossip({ peer: '12D3Koo', addresses: ['/ip4/192.0.2.1/tcp/1'], pieceCount: 300, bits })
    ),
    words: [Uint8Array.of(0x80), Uint8Array.of(0xff, 0xff, 0x3f), Uint8Array.of(0)],
    refusal: ProtocolError,
    run(bytes) {
      const gossip = decodeGossip(bytes)
      const again = decodeGossip(encodeGossip(gossip))
      assert.deepEqual({ ...again, bits: again.bits.byteLength }, { ...gossip, bits: gossip.bits.byteLength })
      if (gossip.bits.byteLength <= 16_384) assert.deepEqual(again.bits, gossip.bits)
    }
  },
  {
    name: 'piece list answer',
    samples: [encodePieceListAnswerHeader('found', 100), encodePieceListAnswerHeader('busy', 0)],
    words: [Uint8Array.of(0xff)],
    refusal: ProtocolError,
    run(bytes) {
      const { status, length } = decodePieceListAnswerHeader(bytes, 1000)
      assert.deepEqual(encodePieceListAnswerHeader(status, length), bytes)
    }
  },
  {
    name: 'piece list',
    samples: [encodePieceList(fileManifest()), encodePieceList(folderManifest()), encodePieceList(folderManifest([]))],
    words: [Uint8Array.of(0xff, 0xff, 0xff, 0xff), Uint8Array.of(0, 0, 0, 0), encodeUtf8('../'), encodeUtf8('/')],
    refusal: InvalidManifestError,
    run(bytes) {
      assert.deepEqual(encodePieceList(parsePieceList(bytes)), bytes)
    }
  },
  {
    name: 'manifest',
    samples: [fileManifest(), folderManifest(), folderManifest([]), fileManifest(0)].map(manifest =>
      encodeUtf8(formatManifest({ ...manifest, root: encodeHex(ROOT) }))
    ),
    words: JSON_WORDS.map(encodeUtf8),
    refusal: InvalidManifestError,
    run(bytes) {
      const manifest = parseManifest(bytes, constantHash)
      assert.deepEqual(parseManifest(formatManifest(manifest), constantHash), manifest)
    }
  },
  {
    name: 'link',
    samples: [formatLink(fileManifest()), formatLink(folderManifest()), formatLink({ root: encodeHex(ROOT) })].map(encodeUtf8),
    words: LINK_WORDS.map(encodeUtf8),
    refusal: InvalidManifestError,
    run(bytes) {
      const link = parseLink(new TextDecoder('utf-8').decode(bytes))
      assert.deepEqual(parseLink(formatLink(link)), link)
    }
  }
]

/** What happened: how often a case was taken or refused, by target. */
export interface FuzzReport {
  cases: number
  accepted: Record<string, number>
  refused: Record<string, number>
}

/** Mulberry32: 32 bits of state, enough to spread mutations. */
function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

type Random = (below: number) => number

function pick<T>(from: readonly T[], random: Random): T {
  return from[random(from.length)] as T
}

/** One small change: a bit, a byte, a word put in, a part cut out, doubled or taken from elsewhere. */
function mutate(bytes: Uint8Array, target: Target, random: Random): Uint8Array {
  const at = random(bytes.byteLength + 1)
  const end = Math.min(bytes.byteLength, at + random(9))
  switch (random(7)) {
    case 0: {
      const changed = bytes.slice()
      if (at < changed.byteLength) changed[at] = (changed[at] as number) ^ (1 << random(8))
      return changed
    }
    case 1: {
      const changed = bytes.slice()
      if (at < changed.byteLength) changed[at] = random(256)
      return changed
    }
    case 2:
      return concatBytes([bytes.subarray(0, at), pick(target.words, random), bytes.subarray(at)])
    case 3:
      return concatBytes([bytes.subarray(0, at), pick(target.words, random), bytes.subarray(end)])
    case 4:
      return concatBytes([bytes.subarray(0, at), bytes.subarray(end)])
    case 5:
      return concatBytes([bytes.subarray(0, end), bytes.subarray(at)])
    default: {
      const other = pick(target.samples, random)
      const from = random(other.byteLength + 1)
      return concatBytes([bytes.subarray(0, at), other.subarray(from)])
    }
  }
}

function makeCase(target: Target, random: Random): Uint8Array {
  if (random(16) === 0) return Uint8Array.from({ length: random(200) }, () => random(256))
  let bytes = pick(target.samples, random)
  for (let changes = random(5); changes >= 0; changes--) bytes = mutate(bytes, target, random)
  return bytes
}

/**
 * Runs cases until `isDone(cases so far)`, which is asked every 256 cases. Throws with seed, target and bytes
 * of the first case that breaks a parser.
 */
export function fuzz(seed: number, isDone: (cases: number) => boolean): FuzzReport {
  const random = createRandom(seed)
  const report: FuzzReport = { cases: 0, accepted: {}, refused: {} }
  for (const { name } of TARGETS) {
    report.accepted[name] = 0
    report.refused[name] = 0
  }
  while (report.cases % 256 !== 0 || !isDone(report.cases)) {
    const target = pick(TARGETS, random)
    const bytes = makeCase(target, random)
    report.cases++
    try {
      target.run(bytes)
      report.accepted[target.name] = (report.accepted[target.name] as number) + 1
    } catch (err) {
      if (!(err instanceof target.refusal)) {
        throw new Error(`${target.name} broke on case ${report.cases} of seed ${seed}: ${encodeHex(bytes)}`, { cause: err })
      }
      report.refused[target.name] = (report.refused[target.name] as number) + 1
    }
  }
  return report
}
