/**
 * The public shape of a running node: what the CLI, the daemon and programs use. Re-exported by
 * `src/index.ts`.
 */

import type { Manifest, PeerHint } from '../content/manifest.ts'
import type { OriginSettings } from '../origin/settings.ts'

export type { OriginSettings }

export interface NodeOptions {
  /** Folder for identity, hash cache and resume state. @default $XDG_STATE_HOME/swarm */
  stateDir: string
  /** Multiaddrs to listen on. @default ['/ip4/0.0.0.0/tcp/0'] */
  listen: string[]
  /** Extra multiaddrs to tell others (behind NAT, a public name). @default [] */
  announce: string[]
  /** Multiaddrs with /p2p of nodes to join the DHT through. @default [] */
  bootstrap: string[]
  /** Find peers on the local network. @default true */
  mdns: boolean
  /** Use the DHT. @default true */
  dht: boolean
  /**
   * Answer other nodes' queries of the DHT from the start; false, for a node that gets something and leaves:
   * after ten minutes. @default true
   */
  servesDht: boolean
  /** 'tls' prefers TLS and accepts noise; 'noise' offers noise only. @default 'tls' */
  encryption: 'tls' | 'noise'
  /** Bytes per second over all swarms; 0 is unlimited. @default 0 */
  uploadBytesPerSecond: number
  downloadBytesPerSecond: number
  /** Neighbours per swarm. @default 30 */
  maxNeighbours: number
  /**
   * Whom to serve when uplinks are scarce: the neediest, or those that pass on what they get first. @default
   * 'cooperative'
   */
  policy: 'cooperative' | 'contributors'
  /** Where this node stands: host, rack, zone, region. @default {} */
  labels: Record<string, string>
  /** Defaults for the origins of every content. */
  origin: Partial<OriginSettings>
  /**
   * Hears what an operator should know of the network: who was refused and why, a clock that is off. Some
   * lines a minute at most. @default nobody
   */
  warn: (line: string) => void
}

export interface SeedOptions {
  signal?: AbortSignal
  /** Bytes hashed so far of the total. */
  onHashed?: (hashed: number, total: number) => void
  /** Name in the manifest. @default the file's name */
  name?: string
  pieceLength?: number
  /** HTTP(S) URLs that hold the same content, for manifest and link. */
  origins?: string[]
  /** Hash again even if the cache knows this unchanged file. @default false */
  rehash?: boolean
  /**
   * The caller made this file for the node: {@link SwarmNode.remove} may delete it while it is unchanged.
   * @default false
   */
  isOurs?: boolean
  /**
   * What a folder holds that cannot be shared and was left out (symbolic links, special files, empty
   * folders).
   */
  onSkipped?: (entries: readonly { path: string; reason: string }[]) => void
}

export interface GetOptions {
  signal?: AbortSignal
  /** Target file, or a folder (existing, or ending in '/') to put it into. @default the current folder */
  output?: string
  /** For a folder: only files matching one of these globs. */
  only?: string[]
  /** Peers to connect to, as multiaddrs with /p2p. */
  peers?: string[]
  /** HTTP(S) URLs that hold the content, beside those that manifest or link name. */
  origins?: string[]
  /** How its origins are used; over the node's defaults. */
  origin?: Partial<OriginSettings>
  /** Overwrite an existing, different output. @default false */
  force?: boolean
  /**
   * Take back what an earlier download of this node put at the output, damaged or not, and fetch what is
   * wrong with it. Only files that it made; one that was replaced since is in the way as ever. @default false
   */
  repair?: boolean
  /** Folder for unfinished content; may be on another file system. @default beside the output */
  incompleteDir?: string
  /** Give up after this long without a new piece, in milliseconds. 0: never. @default 0 */
  timeoutMs?: number
  /**
   * What happens before there is a transfer: looking for somebody who has the piece list, checking what is on
   * disk.
   */
  onStatus?: (status: GetStatus) => void
}

export interface GetStatus {
  state: 'finding' | 'fetching-list' | 'checking'
  /** In words a user understands. */
  text: string
  /** While checking: bytes done and in all. */
  done?: number
  total?: number
}

/**
 * What `snapshot()` of a transfer says; plain data. Rates are bytes per second, smoothed over some seconds.
 */
export interface TransferSnapshot {
  root: string
  name: string
  state: 'finding' | 'fetching-list' | 'checking' | 'downloading' | 'seeding' | 'paused' | 'failed' | 'closed'
  bytesTotal: number
  bytesDone: number
  pieceCount: number
  piecesDone: number
  downloadRate: number
  uploadRate: number
  etaMs: number | undefined
  neighbours: number
  /** Payload bytes received from, and sent to, each peer. */
  peers: PeerSnapshot[]
  /** Payload bytes received that were thrown away (corrupt or not needed). */
  bytesWasted: number
  bytesDownloaded: number
  bytesUploaded: number
  /** The content's origins; undefined when it has none. */
  origin: OriginSnapshot | undefined
  /** Why nothing moves, in words; undefined while pieces arrive. */
  waitingFor: string | undefined
}

export interface OriginSnapshot {
  /** Payload bytes taken from there, and bytes per second now. */
  bytes: number
  rate: number
  /** Whether this node is one of the few that fetch for everybody; how many of them it knows. */
  isKeeper: boolean
  keepers: number
  /** Without what signs them; `fault`: why one is no longer asked. */
  urls: { url: string; fault: string | undefined }[]
}

export interface PeerSnapshot {
  peer: string
  address: string
  encryption: string
  piecesHeld: number
  bytesDownloaded: number
  bytesUploaded: number
  downloadRate: number
  uploadRate: number
  rttMs: number | undefined
  connected: boolean
}

export interface TransferEvents {
  /** At most ten times a second while something changes. */
  progress: TransferSnapshot
  /** A piece was verified; `peer` undefined when it was already on disk. */
  piece: { piece: number; peer: string | undefined }
  peer: { peer: string; event: 'joined' | 'left' | 'banned'; reason?: string }
  /** Every wanted piece is verified and the file is in place. */
  complete: TransferSnapshot
  /** Something a person should know (a changed file, a corrupting peer, disk full). */
  warning: { code: string; message: string }
}

/** Bytes per second; 0 is unlimited. */
export interface TransferLimits {
  uploadBytesPerSecond: number
  downloadBytesPerSecond: number
}

/** Limits over all transfers of a node. */
export interface NodeLimits extends TransferLimits {
  /** Pieces being sent at once; 0: no bound. */
  maxUploads: number
}

/** What {@link SwarmNode.remove} deletes: the same options as the `get` had. */
export interface RemoveOptions {
  /** Path of the content itself. */
  output: string
  only?: string[]
  incompleteDir?: string
  /** Whether it was complete, so that what lies at `output` goes too. */
  finished: boolean
  /** Delete nothing of a finished content when some file of it is no longer what we wrote. @default false */
  unlessChanged?: boolean
}

/** What {@link SwarmNode.remove} left, each with the reason in words. */
export interface RemoveReport {
  /**
   * What lies where the download's files were, and is not what it wrote: changed, replaced, or there before
   * it.
   */
  changed: { path: string; reason: string }[]
  /** What others put among its files; the first hundred. */
  beside: { path: string; reason: string }[]
}

export interface FinishedDownload {
  root: string
  name: string
  pieceLength: number
  /** Where it was put. */
  output: string
  /** The globs that chose its files; undefined for all of them. */
  only: readonly string[] | undefined
}

/** One swarm that this node takes part in, leeching or seeding. */
export interface Transfer {
  readonly root: string
  readonly manifest: Manifest
  /** Final path of the content. */
  readonly path: string
  /** Link with current addresses. */
  link(): string
  /** Addresses of this node as hints. */
  hints(): PeerHint[]
  /** Resolves when the file is in place; rejects with a SwarmError. */
  readonly completed: Promise<void>
  snapshot(): TransferSnapshot
  on<K extends keyof TransferEvents>(event: K, listener: (value: TransferEvents[K]) => void): () => void
  pause(): void
  resume(): void
  /**
   * Other URLs of the content, which replace those before: fresh ones when a presigned one expired. Throws
   * `InvalidOptionsError`.
   */
  setOrigins(urls: readonly string[]): void
  /** Changes this transfer's own limits; node-wide limits hold besides. */
  setLimits(limits: Partial<TransferLimits>): void
  /**
   * The bytes [start, end) of the content in order, in chunks, as they become available; asks the swarm for
   * them first. Leaving the loop (or aborting) ends the demand. Throws `StalledError` when the transfer ends
   * before. With `buffers`, of 1 MiB and a piece at least, a chunk lies in one of them and is valid only
   * until the next one is asked for, which makes long reads several times cheaper; they are the caller's
   * again when the loop is left.
   */
  read(range: {
    start: number
    end: number
    signal?: AbortSignal
    buffers?: readonly [Uint8Array, Uint8Array]
  }): AsyncIterable<Uint8Array>
  /** Verified pieces and how many neighbours hold each, for a piece map. */
  availability(): { have: Uint8Array; holders: number[] }
  /** Resolves once nobody has drawn on us for `idleMs`, or after `maxMs`. */
  linger(options: { idleMs: number; maxMs: number; signal?: AbortSignal }): Promise<void>
  /** Leaves the swarm; verified pieces stay on disk. Idempotent. */
  close(): Promise<void>
}

export interface SwarmNode {
  readonly peer: string
  /**
   * The process that has the state folder's identity, in words; then this node is a peer of its own, for as
   * long as it runs.
   */
  readonly identityTakenBy: string | undefined
  addresses(): string[]
  seed(path: string, options?: SeedOptions): Promise<Transfer>
  get(source: string | Manifest, options?: GetOptions): Promise<Transfer>
  transfers(): Transfer[]
  /** Pieces being sent now, and the most at once since the start, over all transfers. */
  uploads(): { active: number; most: number }
  /** What the network refused since the start, by kind: floods, strangers, banned peers. */
  refusals(): ReadonlyMap<string, number>
  /** Limits over all transfers, from now on. Each transfer's own hold besides. */
  setLimits(limits: Partial<NodeLimits>): void
  /**
   * Deletes what a download put on disk, closing its transfer first: file by file, each only while it is what
   * we wrote, and never through a link. All else stays, and is in the report. Throws `StoreError`.
   */
  remove(manifest: Manifest, options: RemoveOptions): Promise<RemoveReport>
  /**
   * Finished downloads that this node's state folder remembers, whether or not they are there any more. Never
   * throws.
   */
  downloads(): AsyncIterable<FinishedDownload>
  stop(): Promise<void>
}
