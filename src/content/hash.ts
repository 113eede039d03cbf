/**
 * What the content code asks of a hash: BLAKE3-256, handed in from outside (store/hasher.ts loads it).
 *
 * Pure: the native module and its fallback are loaded outside, so that manifests, links and lists stay free
 * of I/O.
 */

/** BLAKE3 with 32 bytes of output, unkeyed. The result is a buffer of its own. */
export type HashFunction = (data: Uint8Array) => Uint8Array

/** Bytes in a piece hash and in a root. */
export const HASH_BYTES = 32
