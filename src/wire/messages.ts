/**
 * What two neighbours say to each other on a `/swarm/pieces/2.0.0` stream, one stream per neighbour and root.
 *
 * Pure types and limits; `codec.ts` turns them into bytes and back. docs/PROTOCOL.md is the specification.
 *
 * The uploader chooses (it alone knows its uplink): it *offers* pieces, the leecher answers with `request` or
 * `reject`, and only requested pieces are ever sent. A leecher may also request without an offer (a reader
 * waits, or a simple client).
 */

export const PIECES_PROTOCOL = '/swarm/pieces/2.0.0'
/** A stream on a connection of its own for the pieces of a link, so that messages do not wait behind them. */
export const PIECE_CONNECTION_PROTOCOL = '/swarm/lane/2.0.0'
export const PIECE_LIST_PROTOCOL = '/swarm/piece-list/2.0.0'
export const WIRE_VERSION = 1

/** Most piece numbers in one message that lists pieces. */
export const MAX_PIECES_PER_MESSAGE = 1024

/** The pieces in lists that fit into one message each; usually there is one. */
export function perMessage(pieces: readonly number[]): number[][] {
  const lists: number[][] = []
  for (let start = 0; start < pieces.length; start += MAX_PIECES_PER_MESSAGE)
    lists.push(pieces.slice(start, start + MAX_PIECES_PER_MESSAGE))
  return lists
}
/** Most peers in one `peers` message. */
export const MAX_PEERS_PER_MESSAGE = 64
/** Most addresses of one peer. */
export const MAX_ADDRESSES_PER_PEER = 8
/** Longest label value, reason or address, in UTF-8 bytes. */
export const MAX_TEXT_BYTES = 256
/** Most entries in a `keepers` message. */
export const MAX_KEEPERS_PER_MESSAGE = 8
/** Most labels in a `hello`. */
export const MAX_LABELS = 16

/** Why a request or an offer is turned down. */
export type RejectReason =
  | 'have' /** the leecher has the piece (answer to an offer) */
  | 'expected' /** the leecher expects it from another peer (answer to an offer) */
  | 'full' /** the answerer's queue or pipeline is full; try later */
  | 'missing' /** the uploader does not have the piece (any more) */
  | 'choked' /** the uploader will not serve this peer now (policy, limit, leaving) */

/**
 * First message in both directions, once the root is proven (handshake.ts); where the piece counts differ the
 * stream ends with `goodbye`.
 */
export interface Hello {
  type: 'hello'
  version: number
  pieceCount: number
  /** Where the peer stands (`host`, `rack`, `zone`, `region`), as far as it says. */
  labels: Readonly<Record<string, string>>
}
/** Which pieces the sender has; the second message in both directions, once. */
export interface BitfieldMessage {
  type: 'bitfield'
  bits: Uint8Array
}
/** Pieces that the sender now has, verified. Batched. */
export interface Have {
  type: 'have'
  pieces: number[]
}
/** "I would send you these next." Stands until it is answered or the stream ends. */
export interface Offer {
  type: 'offer'
  pieces: number[]
}
/** "Send me these." `urgent` requests (a reader waits for them) go before all others. Order is preference. */
export interface Request {
  type: 'request'
  pieces: number[]
  urgent: boolean
}
/** The leecher no longer wants these. A piece already on its way may still arrive. */
export interface Cancel {
  type: 'cancel'
  pieces: number[]
}
/** Turns down requests (uploader to leecher) or offers (leecher to uploader). */
export interface Reject {
  type: 'reject'
  pieces: number[]
  reason: RejectReason
}
/** Other members of the swarm that the sender is connected to, those near the receiver first. */
export interface Peers {
  type: 'peers'
  peers: ToldPeer[]
}
export interface ToldPeer extends PeerAddress {
  /** It shares a label (host, rack, zone, region) with the receiver, as the sender sees it. Absent: no. */
  isNear?: boolean
}
export interface PeerAddress {
  /** Peer id, as text. */
  peer: string
  /** Multiaddrs as text, most useful first; a /p2p part at the end is allowed. */
  addresses: string[]
}
/**
 * Members that fetch from the content's origin for everybody, as far as the sender knows; passed on from
 * neighbour to neighbour.
 */
export interface Keepers {
  type: 'keepers'
  keepers: KeeperEntry[]
}
export interface KeeperEntry extends PeerAddress {
  /** Rises while the keeper lives; at most 2^31 - 1. */
  beat: number
}
/**
 * "I am fetching these from the origin", to keepers, or from afar, to those nearer than the sender of the
 * pieces: nobody else need.
 */
export interface Taking {
  type: 'taking'
  pieces: number[]
}
/** "I expect these from others": offers of them would be turned down. Goes with `have`. */
export interface Expecting {
  type: 'expecting'
  pieces: number[]
}
/** The last message before the sender ends the stream, and why. */
export interface Goodbye {
  type: 'goodbye'
  reason: string
}

/** Everything but the payload-bearing `piece`, which travels outside the engine: see {@link PieceHeader}. */
export type Message =
  | Hello
  | BitfieldMessage
  | Have
  | Offer
  | Request
  | Cancel
  | Reject
  | Peers
  | Goodbye
  | Keepers
  | Taking
  | Expecting

/** A piece frame is this header followed by exactly the piece's bytes. */
export interface PieceHeader {
  piece: number
  bytes: number
}
