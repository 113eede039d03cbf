/**
 * What libp2p's stream interface does not say: how bytes pass between TLS socket, multiplexer and peer stream
 * without being allocated again, and which of them are urgent.
 *
 * In, bytes that are taken at once come as views of one buffer that is read into again and again; the one
 * copy is the one into the piece. Without a taker everything goes the usual way, as 'message' events that own
 * their bytes. Out, the sender learns when its buffer is free. Implemented by TlsConnection and YamuxStream,
 * used by YamuxMuxer and Libp2pPeerStream; any other stream or connection does without.
 */

export interface VolatileSource {
  /** Takes bytes that are valid during the call only. */
  takeVolatile: ((chunk: Uint8Array) => void) | undefined
}

/** Something that knows when what was sent is not kept any more: it has been encrypted, or copied. */
export interface ReleasingSink {
  /**
   * Calls back, perhaps at once, when nothing that was sent before is referred to any more; never when the
   * connection ends first. False: cannot tell, and will not call.
   */
  whenReleased(callback: () => void): boolean
}

/** Something whose packets are marked (socket-priority.ts), until it carries what is large. */
export interface DelaySensitive {
  /** Whether what the whole connection carries from now on is small and waited for. */
  preferLowDelay(isPreferred: boolean): void
}

/** Something whose encryption exports keying material, which no other connection shares. */
export interface ChannelBound {
  /** Undefined where it does not. */
  channelBinding(): Uint8Array | undefined
}

export function isChannelBound(stream: object): stream is ChannelBound {
  return 'channelBinding' in stream
}

export function isDelaySensitive(stream: object): stream is DelaySensitive {
  return 'preferLowDelay' in stream
}

export function isReleasingSink(sink: object): sink is ReleasingSink {
  return 'whenReleased' in sink
}

export function isVolatileSource(source: object): source is VolatileSource {
  return 'takeVolatile' in source
}
