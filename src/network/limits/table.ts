/**
 * The one table of what strangers may take of us, by where they come from. Members of one address share its
 * bounds, so they are wide enough for a fleet behind one NAT; one machine or network can still not take
 * everything.
 */

/** Bounds for one address (IPv4 /32, IPv6 /64) or one prefix (IPv4 /24, IPv6 /48). */
export interface ScopeLimits {
  /** Connections whose handshake is under way. Raised: a flood of half-open connections holds more memory. */
  readonly pending: number
  /** Connections in all. */
  readonly open: number
  /** Handshakes in a second, in the long run and at once. Each costs about 5 ms of CPU. */
  readonly handshakesPerSecond: number
  readonly handshakeBurst: number
  /** Streams that have not proven a root yet. */
  readonly unprovenStreams: number
  /** Piece lists being sent. */
  readonly pieceLists: number
}

export interface NetworkLimits {
  readonly publicAddress: ScopeLimits
  readonly publicPrefix: ScopeLimits
  /** Private ranges and loopback: our own network, where whole fleets share an address. */
  readonly privateAddress: ScopeLimits
  readonly privatePrefix: ScopeLimits
  /** All addresses together; when it is reached, the address that has most gives way. */
  readonly total: Pick<ScopeLimits, 'pending' | 'unprovenStreams' | 'pieceLists'>
  /** A connection that has not brought a byte within this is closed, in milliseconds. */
  readonly firstByteMs: number
}

export const NETWORK_LIMITS: NetworkLimits = {
  publicAddress: {
    pending: 32,
    open: 128,
    handshakesPerSecond: 16,
    handshakeBurst: 128,
    unprovenStreams: 64,
    pieceLists: 4
  },
  publicPrefix: {
    pending: 64,
    open: 256,
    handshakesPerSecond: 32,
    handshakeBurst: 256,
    unprovenStreams: 128,
    pieceLists: 8
  },
  privateAddress: {
    pending: 128,
    open: 1024,
    handshakesPerSecond: 256,
    handshakeBurst: 512,
    unprovenStreams: 256,
    pieceLists: 12
  },
  privatePrefix: {
    pending: 192,
    open: 2048,
    handshakesPerSecond: 512,
    handshakeBurst: 1024,
    unprovenStreams: 384,
    pieceLists: 14
  },
  total: { pending: 256, unprovenStreams: 512, pieceLists: 16 },
  firstByteMs: 3_000
}
