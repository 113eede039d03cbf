/**
 * The engine's contract: what it is told (inputs, past tense) and what it wants done (outputs, imperative).
 *
 * Pure types. One {@link Swarm} (swarm.ts) is all peers sharing one content as one peer sees them. The real
 * node and the simulator drive the same class. Peers are opaque keys. Payload bytes never enter: the driver
 * keeps a received piece while it hands in `pieceReceived` and acts on the outputs of that call.
 */

import type { Bitfield } from '../content/bitfield.ts'
import type { Message } from '../wire/messages.ts'

export type PeerKey = string

/** Where the driver heard of a peer. Higher trust first when the engine chooses whom to dial. */
export type PeerSource = 'given' | 'hint' | 'neighbour' | 'gossip' | 'dht' | 'mdns'

export type Input =
  /** The deadline passed (or any other reason to look at the clock). */
  | { type: 'tick' }
  /** A stream to the peer is open, hello exchanged and checked. `initiator`: we dialled. */
  | { type: 'peerJoined'; peer: PeerKey; initiator: boolean; labels: Readonly<Record<string, string>>; rttMs?: number }
  | { type: 'peerLeft'; peer: PeerKey; reason: string }
  /** Any message but hello and goodbye, which the driver handles. */
  | { type: 'messageReceived'; peer: PeerKey; message: Message }
  /** A whole piece frame arrived. Outputs of this very call say `acceptPiece` or `dropPiece`. */
  | { type: 'pieceReceived'; peer: PeerKey; piece: number; bytes: number }
  /** The accepted piece matched its hash and is readable from the store. */
  | { type: 'pieceVerified'; piece: number; peer?: PeerKey }
  /**
   * The accepted piece did not match its hash and was thrown away. Without a peer: it came from the origin.
   */
  | { type: 'pieceCorrupt'; piece: number; peer?: PeerKey }
  /** The store could not keep the piece (disk full); the content is on hold until `storeRecovered`. */
  | { type: 'storeFailed'; piece: number; peer?: PeerKey; reason: string }
  | { type: 'storeRecovered' }
  /** A piece that we had turned out damaged or gone on disk: we have it no longer. */
  | { type: 'pieceLost'; piece: number }
  /**
   * The transport took the last byte of a served piece (it may still be in socket buffers). `bytes` 0 when it
   * failed.
   */
  | { type: 'pieceServed'; peer: PeerKey; piece: number; bytes: number }
  | { type: 'peerDiscovered'; peer: PeerKey; source: PeerSource; seeder?: boolean }
  | { type: 'dialFailed'; peer: PeerKey; reason: string }
  /** A gossip message told what a (possibly unconnected) peer has. */
  | { type: 'availabilityGossiped'; peer: PeerKey; have: Bitfield }
  | { type: 'rttMeasured'; peer: PeerKey; rttMs: number }
  /** Pieces that we want at all (`--only`); by default every one. Undefined: every one. */
  | { type: 'wantedChanged'; wanted: Bitfield | undefined }
  /**
   * A reader needs pieces [first, last] in order; `deadlineMs` for the first one. The same id moves the
   * window.
   */
  | { type: 'readerMoved'; reader: string; first: number; last: number; deadlineMs: number }
  | { type: 'readerLeft'; reader: string }
  | { type: 'limitsChanged'; limits: Partial<Limits> }
  | { type: 'paused' }
  | { type: 'resumed' }
  /**
   * The content's origin can be asked for ranges (or, `isSequential`, only be read from start to end), or it
   * can no longer. `self`: our own key, as others know us. `windowBytes`: the most worth asking for ahead.
   */
  | { type: 'originChanged'; state: 'open'; self: PeerKey; windowBytes: number; isSequential: boolean }
  | { type: 'originChanged'; state: 'closed' }
  /**
   * A whole piece came from the origin. Outputs of this very call say `acceptOriginPiece`, or it is not
   * needed.
   */
  | { type: 'originReceived'; piece: number }
  /**
   * The origin will not give these now; they may come from elsewhere, or be asked for again after `retryMs`.
   */
  | { type: 'originFailed'; pieces: readonly number[]; retryMs: number }
  /**
   * A search (`findPeers`) ended. `couldAsk`: there was somebody to ask. `mayTurnUp`: peers may come by
   * themselves, without being found (mDNS).
   */
  | { type: 'searchEnded'; couldAsk: boolean; mayTurnUp: boolean }
  /**
   * A node that knows others has answered for the first time, or none is configured: a search can find what
   * there is to find.
   */
  | { type: 'bootstrapAnswered' }
  /** Our record was written where others find it, or nobody could be told. */
  | { type: 'announced' }
  /** The connection that `openPieceConnection` asked for could not be had. */
  | { type: 'pieceConnectionFailed'; peer: PeerKey }
  /** We leave: no more requests or offers; what is being served may finish. */
  | { type: 'leaving' }

export type Output =
  | { type: 'send'; peer: PeerKey; message: Message }
  /**
   * To every neighbour. One output for all of them: what we have is said to all, and is most of what is ever
   * said.
   */
  | { type: 'broadcast'; message: Message }
  /**
   * Read the piece from the store and send it, an urgent one before those that have not begun. Answer with
   * `pieceServed`.
   */
  | { type: 'servePiece'; peer: PeerKey; piece: number; isUrgent: boolean }
  /** Do not start sending this piece if it has not begun; then answer `pieceServed` with 0 bytes. */
  | { type: 'cancelServe'; peer: PeerKey; piece: number }
  /** Verify and store the piece just received, then hand in pieceVerified, pieceCorrupt or storeFailed. */
  | { type: 'acceptPiece'; peer: PeerKey; piece: number }
  | { type: 'dropPiece'; peer: PeerKey; piece: number; reason: string }
  /**
   * Ask the origin for these, in runs as long as they are. Answer each with `originReceived` or
   * `originFailed`, unless cancelled.
   */
  | { type: 'fetchFromOrigin'; pieces: readonly number[] }
  | { type: 'cancelFromOrigin'; pieces: readonly number[] }
  /**
   * Verify and store the piece that just came from the origin, then hand in pieceVerified, pieceCorrupt or
   * storeFailed without a peer.
   */
  | { type: 'acceptOriginPiece'; piece: number }
  /** `banMs` > 0: refuse the peer for that long. */
  | { type: 'disconnect'; peer: PeerKey; reason: string; banMs: number }
  | { type: 'dial'; peer: PeerKey }
  /**
   * Look for more peers: those that the user gave, then one DHT lookup. Answer with `peerDiscovered` for
   * each, then `searchEnded`.
   */
  | { type: 'findPeers' }
  /** Write our record into the DHT and keep it until `withdraw`. Answer with `announced` once. */
  | { type: 'announce' }
  /** Take our record back and leave the topic; we are leaving. */
  | { type: 'withdraw' }
  /** Join the content's topic; hand in `availabilityGossiped`. */
  | { type: 'listenToGossip' }
  /** Tell the topic what we have. Only after `listenToGossip`. */
  | { type: 'publishAvailability' }
  /**
   * Open one more connection to this neighbour for the pieces that we send it. Where it fails hand in
   * `pieceConnectionFailed`.
   */
  | { type: 'openPieceConnection'; peer: PeerKey }
  /** Every wanted piece is verified. */
  | { type: 'completed' }

/** Rates are bytes per second; 0 means unlimited. */
export interface Limits {
  readonly uploadBytesPerSecond: number
  readonly downloadBytesPerSecond: number
  readonly maxNeighbours: number
  readonly maxUploadSlots: number
}
