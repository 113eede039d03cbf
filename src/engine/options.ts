/**
 * Options of one swarm's engine: defaults that are right on a LAN or in a cluster, merged and checked once.
 */

import { InvalidOptionsError } from '../errors.ts'
import type { Limits } from './contract.ts'

export interface EngineOptions extends Limits {
  /**
   * Most peers connected to at once. More: faster spreading and more choice, but more `have` traffic and
   * memory. Fewer than about 8: the graph may fall apart under churn. 2..1024. @default 30
   */
  readonly maxNeighbours: number
  /** Peers being sent a piece at the same time. 0: as many as the uplink's window asks for. @default 0 */
  readonly maxUploadSlots: number
  /** Payload bytes sent per second by this swarm; 0 is unlimited. @default 0 */
  readonly uploadBytesPerSecond: number
  /** Payload bytes asked for per second by this swarm; 0 is unlimited. @default 0 */
  readonly downloadBytesPerSecond: number
  /**
   * Who is served first when uplinks are scarce. `cooperative`: the neighbour with the fewest pieces.
   * `contributors`: neighbours that send to others before those that never do; what is spare still goes to
   * everybody. @default 'cooperative'
   */
  readonly policy: 'cooperative' | 'contributors'
  /**
   * Which piece is offered or requested first. `rarest`: fewest neighbours hold or expect it. The others are
   * for comparison.
   * @default 'rarest'
   */
  readonly pieceOrder: 'rarest' | 'random' | 'sequential'
  /**
   * Whether the uploader offers pieces. Off: leechers only request, as in BitTorrent; for comparison.
   * @default true
   */
  readonly offers: boolean
  /**
   * Which lacking neighbour is served first: the one with the fewest pieces, any, or those who gave us most.
   * @default 'neediest'
   */
  readonly peerOrder: 'neediest' | 'random' | 'tit-for-tat'
  /**
   * Pieces asked for and not yet received, over all peers. More: survives long round trips on fast links.
   * Bounds memory at the receiver. 1..65536. @default 1024
   */
  readonly maxPendingPieces: number
  /**
   * The same in bytes, so that large pieces keep memory flat; eight pieces are allowed whatever their length,
   * or some slow senders would keep all others waiting. Pieces that wait for a slow disk count, too: they are
   * what fills memory there. @default 32 MiB
   */
  readonly maxPendingBytes: number
  /** Requests waiting here per neighbour; more are rejected as `full`. 1..65536. @default 1024 */
  readonly maxQueuedPerPeer: number
  /**
   * Shortest time between two `have` messages, in milliseconds; pieces in between are batched. 0..1000.
   * @default 4
   */
  readonly haveBatchMs: number
  /**
   * Longest time that a requested piece may take before it is asked of another peer, in milliseconds.
   * @default 300000
   */
  readonly maxRequestTimeoutMs: number
  /** The same before anything is known of the peer. @default 15000 */
  readonly firstRequestTimeoutMs: number
  /**
   * How long a leecher without any expected piece waits for offers before it requests by itself, in
   * milliseconds. @default 3000
   */
  readonly starvedMs: number
  /** How long a peer that sent wrong bytes is refused, in milliseconds. @default 1 hour */
  readonly banMs: number
  /** Peers known but not connected; the least useful are forgotten. @default 512 */
  readonly maxCandidates: number
  /**
   * Share of `maxNeighbours` kept for peers that share no label with us, when we have labels. 0..1. @default
   * 0.35
   */
  readonly farShare: number
  /** Shortest time between two gossiped bitfields, in milliseconds. @default 30000 */
  readonly gossipIntervalMs: number
}

export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  maxNeighbours: 30,
  maxUploadSlots: 0,
  uploadBytesPerSecond: 0,
  downloadBytesPerSecond: 0,
  policy: 'cooperative',
  pieceOrder: 'rarest',
  offers: true,
  peerOrder: 'neediest',
  maxPendingPieces: 1024,
  maxPendingBytes: 32 * 1024 * 1024,
  maxQueuedPerPeer: 1024,
  haveBatchMs: 4,
  maxRequestTimeoutMs: 300_000,
  firstRequestTimeoutMs: 15_000,
  starvedMs: 3000,
  banMs: 3_600_000,
  maxCandidates: 512,
  farShare: 0.35,
  gossipIntervalMs: 30_000
}

const BOUNDS: Partial<Record<keyof EngineOptions, readonly [number, number]>> = {
  maxNeighbours: [1, 1024],
  maxUploadSlots: [0, 65_536],
  uploadBytesPerSecond: [0, Number.MAX_SAFE_INTEGER],
  downloadBytesPerSecond: [0, Number.MAX_SAFE_INTEGER],
  maxPendingPieces: [1, 65_536],
  maxPendingBytes: [1, Number.MAX_SAFE_INTEGER],
  maxQueuedPerPeer: [1, 65_536],
  haveBatchMs: [0, 1000],
  maxRequestTimeoutMs: [100, 3_600_000],
  firstRequestTimeoutMs: [100, 3_600_000],
  starvedMs: [0, 3_600_000],
  banMs: [0, 31_536_000_000],
  maxCandidates: [1, 100_000],
  farShare: [0, 1],
  gossipIntervalMs: [100, 3_600_000]
}

const CHOICES: Partial<Record<keyof EngineOptions, readonly string[]>> = {
  policy: ['cooperative', 'contributors'],
  pieceOrder: ['rarest', 'random', 'sequential'],
  peerOrder: ['neediest', 'random', 'tit-for-tat']
}

/**
 * Options from texts such as `policy=contributors`. Throws {@link InvalidOptionsError} naming what is no
 * option or cannot be its value.
 */
export function parseEngineOptions(texts: readonly string[]): Partial<EngineOptions> {
  const parsed: Record<string, string | number | boolean> = {}
  for (const text of texts) {
    const [name = '', value = ''] = text.split(/=(.*)/s)
    if (!Object.hasOwn(DEFAULT_ENGINE_OPTIONS, name)) {
      const known = Object.keys(DEFAULT_ENGINE_OPTIONS).join(', ')
      throw new InvalidOptionsError(`the engine has no option '${name}'; it has ${known}`, { option: name })
    }
    const standard = DEFAULT_ENGINE_OPTIONS[name as keyof EngineOptions]
    if (typeof standard === 'string') parsed[name] = value
    else if (typeof standard === 'number' && value.trim() !== '') parsed[name] = Number(value)
    else if (value === 'true' || value === 'false') parsed[name] = value === 'true'
    else throw new InvalidOptionsError(`${name} cannot be '${value}'`, { option: name, value })
  }
  checkEngineOptions(parsed as Partial<EngineOptions>)
  return parsed as Partial<EngineOptions>
}

/** Merges with the defaults. Throws {@link InvalidOptionsError} naming the option that is out of bounds. */
export function resolveEngineOptions(options: Partial<EngineOptions> = {}): EngineOptions {
  const resolved: EngineOptions = { ...DEFAULT_ENGINE_OPTIONS, ...options }
  checkEngineOptions(resolved)
  return resolved
}

function checkEngineOptions(resolved: Partial<EngineOptions>): void {
  for (const [name, bounds] of Object.entries(BOUNDS) as [keyof EngineOptions, readonly [number, number]][]) {
    const value = resolved[name]
    if (value === undefined) continue
    if (typeof value !== 'number' || !(value >= bounds[0] && value <= bounds[1])) {
      throw new InvalidOptionsError(`${name} must be from ${bounds[0]} to ${bounds[1]}, not ${value}`, { option: name, value })
    }
  }
  for (const [name, choices] of Object.entries(CHOICES) as [keyof EngineOptions, readonly string[]][]) {
    const value = resolved[name]
    if (value === undefined || choices.includes(value as string)) continue
    throw new InvalidOptionsError(`${name} must be one of ${choices.join(', ')}, not ${value}`, { option: name, value })
  }
}
