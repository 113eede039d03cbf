/**
 * Hints that manifests and links carry: where peers were, which HTTP(S) URLs hold the content. They steer,
 * they prove nothing.
 */

import { InvalidManifestError } from '../errors.ts'
import { encodeUtf8 } from '../util/bytes.ts'

/** Most peers in a manifest or link. */
export const MAX_PEER_HINTS = 64
/** Most origins in a manifest or link. */
export const MAX_ORIGINS = 16
/** Longest peer hint, in UTF-8 bytes. */
export const MAX_PEER_HINT_BYTES = 256
/** Longest origin, in UTF-8 bytes; presigned URLs are long. */
export const MAX_ORIGIN_BYTES = 4096

/**
 * A multiaddr in text form that ends in a peer id; whether its protocols can be dialled is for the network to
 * say.
 */
const PEER_HINT = /^(?:\/[\x21-\x2e\x30-\x7e]+)*\/p2p\/[1-9A-Za-z]+$/

/** Throws `InvalidManifestError` unless `hint` looks like `/…/p2p/<peer id>` and is short. */
export function checkPeerHint(hint: string, where: string): void {
  if (hint.length > MAX_PEER_HINT_BYTES) throw new InvalidManifestError(`longer than ${MAX_PEER_HINT_BYTES} bytes`, where)
  if (!PEER_HINT.test(hint)) throw new InvalidManifestError('not a multiaddr that ends in /p2p/<peer id>', where)
}

/** Throws `InvalidManifestError` unless `origin` is an absolute HTTP(S) URL and is not too long. */
export function checkOrigin(origin: string, where: string): void {
  if (origin.length > MAX_ORIGIN_BYTES || encodeUtf8(origin).byteLength > MAX_ORIGIN_BYTES) {
    throw new InvalidManifestError(`longer than ${MAX_ORIGIN_BYTES} bytes`, where)
  }
  const protocol = URL.parse(origin)?.protocol
  if (protocol !== 'http:' && protocol !== 'https:') throw new InvalidManifestError('not an HTTP(S) URL', where)
}
