/**
 * Where a root lives in the DHT: CIDv1(raw, sha2-256("swarm:" + root in hex)).
 *
 * SHA-256, because the DHT silently loses keys of any other hash; a hash of the root rather than the root, so
 * that who walks the DHT does not learn what to fetch. Called by the DHT router. Pure: the SHA-256 is plain
 * JavaScript, run once per announcement or look-up.
 */

import { sha256 } from '@noble/hashes/sha2.js'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import { encodeHex, encodeUtf8 } from '../util/bytes.ts'

/** Multicodec of raw bytes, and of SHA-256. */
const RAW = 0x55
const SHA2_256 = 0x12

/** The DHT key of a root (32 bytes). */
export function dhtKey(root: Uint8Array): CID {
  return keyOfDigest(sha256(encodeUtf8(`swarm:${encodeHex(root)}`)))
}

/** The DHT key with that SHA-256 digest. */
export function keyOfDigest(digest: Uint8Array): CID {
  return CID.createV1(RAW, create(SHA2_256, digest))
}
