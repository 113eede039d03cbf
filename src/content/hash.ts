/**
 * What the content code asks of a hash: BLAKE3-256, handed in by whoever can load it (store/hasher.ts).
 *
 * Pure: the native module and its fallback are loaded outside, so that manifests, links and lists stay free of I/O.
 */

/** BLAKE3 with 32 bytes of output, unkeyed. The result is a buffer of its own. */
export type HashFunction = (data: Uint8Array) => Uint8Array

/** Bytes in a piece hash and in a root. */
export const HASH_BYTES = 32
