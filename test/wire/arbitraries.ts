/** Messages and gossip of every kind, for property tests and vectors. */

import fc from 'fast-check'
import type { AvailabilityGossip } from '../../src/wire/gossip.ts'
import {
  MAX_ADDRESSES_PER_PEER,
  MAX_KEEPERS_PER_MESSAGE,
  MAX_LABELS,
  MAX_PEERS_PER_MESSAGE,
  type Message,
  type RejectReason
} from '../../src/wire/messages.ts'

/** Records with the prototype that decoded values have, so that they compare strictly. */
function plain<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
}

/** At most 240 UTF-8 bytes. */
const text = fc.string({ unit: 'grapheme', maxLength: 10 }).filter(value => new TextEncoder().encode(value).byteLength <= 240)
const labelName = fc.stringMatching(/^[a-z][a-z0-9._-]{0,31}$/)
const labels = fc.dictionary(labelName, text, { maxKeys: MAX_LABELS, noNullPrototype: true })
const addresses = fc.array(text, { maxLength: MAX_ADDRESSES_PER_PEER })
const rejectReason = fc.constantFrom<RejectReason>('have', 'expected', 'full', 'missing', 'choked')

/** A bitfield in wire form for so many pieces. */
export function bitsOf(pieceCount: number): fc.Arbitrary<Uint8Array> {
  const length = Math.ceil(pieceCount / 8)
  return fc.uint8Array({ minLength: length, maxLength: length }).map(bits => {
    const spare = length * 8 - pieceCount
    if (spare > 0) bits[length - 1] = (bits[length - 1] as number) & (0xff << spare)
    return bits
  })
}

/** Any message that a peer may send about a content of so many pieces (at least one). */
export function messageFor(pieceCount: number): fc.Arbitrary<Message> {
  const pieces = fc.array(fc.nat(pieceCount - 1), { minLength: 1, maxLength: 40 })
  return fc.oneof(
    plain({
      type: fc.constant('hello' as const),
      version: fc.constant(1),
      pieceCount: fc.nat(1 << 20),
      labels
    }),
    plain({ type: fc.constant('bitfield' as const), bits: bitsOf(pieceCount) }),
    plain({
      type: fc.constantFrom('have' as const, 'offer' as const, 'cancel' as const, 'taking' as const, 'expecting' as const),
      pieces
    }),
    plain({ type: fc.constant('request' as const), pieces, urgent: fc.boolean() }),
    plain({ type: fc.constant('reject' as const), pieces, reason: rejectReason }),
    plain({
      type: fc.constant('peers' as const),
      peers: fc.array(plain({ peer: text, addresses }), { maxLength: MAX_PEERS_PER_MESSAGE })
    }),
    plain({
      type: fc.constant('keepers' as const),
      keepers: fc.array(plain({ peer: text, addresses, beat: fc.nat() }), { maxLength: MAX_KEEPERS_PER_MESSAGE })
    }),
    plain({ type: fc.constant('goodbye' as const), reason: text })
  )
}

export const gossip: fc.Arbitrary<AvailabilityGossip> = fc
  .nat(5000)
  .chain(pieceCount => plain({ peer: text, addresses, pieceCount: fc.constant(pieceCount), bits: bitsOf(pieceCount) }))
