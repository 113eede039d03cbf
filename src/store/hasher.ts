/**
 * Loads BLAKE3: the prebuilt native module where there is one for this platform (3,800 MB/s per core), else
 * the pure one (400 to 700 MB/s). Both give the same hashes, hence the same manifests.
 *
 * Called once per process by the code that composes stores and nodes; the function is then handed down.
 */

import type { HashFunction } from '../content/hash.ts'

export interface Hasher {
  readonly implementation: 'native' | 'pure'
  readonly hash: HashFunction
}

/**
 * The native implementation, or the pure one where it cannot be loaded. `prefer` 'pure' never tries the
 * native one; 'native' (default) falls back silently, since nothing but speed changes.
 */
export async function loadHasher(prefer: 'native' | 'pure' = 'native'): Promise<Hasher> {
  if (prefer === 'native') {
    try {
      const { blake3 } = await import('@napi-rs/blake-hash')
      // Copied out of Node's Buffer, so that callers hold plain bytes whichever implementation ran.
      return { implementation: 'native', hash: data => new Uint8Array(blake3(data)) }
    } catch {
      // No prebuilt binary for this platform, or it was not installed.
    }
  }
  const { hash, warmupSimd } = await import('blake3-jit')
  warmupSimd()
  return { implementation: 'pure', hash: data => hash(data) }
}
