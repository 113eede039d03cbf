/**
 * What hostile peers do, by name. Each is as small as the harm allows; hostile-peer.ts does the connecting.
 */

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { base58btc } from 'multiformats/bases/base58'
import type { PeerStream } from '../../../src/network/types.ts'
import {
  type KeeperEntry,
  MAX_KEEPERS_PER_MESSAGE,
  MAX_PIECES_PER_MESSAGE,
  type Message,
  type RejectReason
} from '../../../src/wire/messages.ts'
import type { Behaviour, HostilePeer } from './hostile-peer.ts'

/** Of the dribbler, so that each piece comes just before patience may end. */
const DRIBBLE_MS = 5_000
/** So many that some rank before every honest peer. */
const INVENTED_KEEPERS = 64
/** The head of an Ed25519 peer id: identity multihash of 36 bytes, and the protobuf around the key. */
const ED25519_ID_HEAD = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

type ListOfPieces = Extract<Message, { pieces: number[] }>

/** Says it in as many messages as it takes. */
function sayOfAll(link: PeerStream, peer: HostilePeer, message: (pieces: number[]) => ListOfPieces): void {
  for (let from = 0; from < peer.everyPiece.length; from += MAX_PIECES_PER_MESSAGE) {
    link.send(message(peer.everyPiece.slice(from, from + MAX_PIECES_PER_MESSAGE)))
  }
}

const askUrgently = (pieces: number[]): ListOfPieces => ({ type: 'request', pieces, urgent: true })
const offer = (pieces: number[]): ListOfPieces => ({ type: 'offer', pieces })
const taking = (pieces: number[]): ListOfPieces => ({ type: 'taking', pieces })

function reject(link: PeerStream, pieces: number[], reason: RejectReason): void {
  link.send({ type: 'reject', pieces, reason })
}

/** Takes what is offered and never says that it has it. */
const takesAndKeepsSilent: Behaviour = {
  onMessage: (link, message) => {
    if (message.type === 'offer') link.send({ type: 'request', pieces: message.pieces, urgent: false })
  }
}

async function dribble(link: PeerStream, pieces: readonly number[], peer: HostilePeer): Promise<void> {
  for (const piece of pieces) {
    await sleep(DRIBBLE_MS)
    const data = await peer.bytesOf(piece)
    await link.sendPiece({ piece, bytes: data.byteLength }, data)
  }
}

const invented = Array.from({ length: INVENTED_KEEPERS }, () =>
  base58btc.baseEncode(Uint8Array.from([...ED25519_ID_HEAD, ...randomBytes(32)]))
)

/** A few of the invented keepers, another few in each round; their beats always rise. */
function someKeepers(round: number): KeeperEntry[] {
  return Array.from({ length: MAX_KEEPERS_PER_MESSAGE }, (_, index) => ({
    peer: invented[(round * MAX_KEEPERS_PER_MESSAGE + index) % invented.length] as string,
    addresses: ['/ip4/127.0.0.1/tcp/9'],
    beat: round + 1
  }))
}

export const BEHAVIOURS = {
  /** A bitfield, empty, and nothing more. */
  mute: {},
  'never-have': takesAndKeepsSilent,
  /** Asks for every piece as urgent, acknowledges each that comes, and asks for it again. */
  urgent: {
    onOpen: (link, peer) => sayOfAll(link, peer, askUrgently),
    onMessage: (link, message) => {
      if (message.type === 'offer') link.send(askUrgently(message.pieces))
    },
    onPiece: (link, piece) => {
      link.send({ type: 'have', pieces: [piece] })
      link.send(askUrgently([piece]))
    },
    onTick: (link, peer) => sayOfAll(link, peer, askUrgently)
  },
  /** Claims every piece, offers all, and never sends one. */
  claims: {
    claimsAll: true,
    onOpen: (link, peer) => sayOfAll(link, peer, offer),
    onTick: (link, peer, round) => {
      if (round % 4 === 0) sayOfAll(link, peer, offer)
    }
  },
  /** Claims every piece, and is always full. */
  full: {
    claimsAll: true,
    onMessage: (link, message) => {
      if (message.type === 'request' || message.type === 'offer') reject(link, message.pieces, 'full')
    }
  },
  /** Says that it fetches all from afar for everybody near. Start it with the labels of the others. */
  taking: {
    onOpen: (link, peer) => sayOfAll(link, peer, taking),
    onTick: (link, peer) => sayOfAll(link, peer, taking)
  },
  /** Tells of members that fetch everything from the origin. They do not exist. */
  keepers: {
    onOpen: link => link.send({ type: 'keepers', keepers: someKeepers(0) }),
    onTick: (link, _peer, round) => link.send({ type: 'keepers', keepers: someKeepers(round) })
  },
  /** Claims and offers every piece, and sends the right bytes, a piece every few seconds. */
  dribble: {
    claimsAll: true,
    onOpen: (link, peer) => sayOfAll(link, peer, offer),
    onMessage: (link, message, peer) => {
      // The other side may be gone before the next piece is due.
      if (message.type === 'request') dribble(link, message.pieces, peer).catch(() => {})
    }
  },
  /** Takes and keeps silent, and comes back under a new identity once it is dropped or given nothing more. */
  reconnect: { ...takesAndKeepsSilent, comesBack: true }
} as const satisfies Record<string, Behaviour>

export type BehaviourName = keyof typeof BEHAVIOURS
