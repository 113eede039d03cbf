/**
 * Reading manifests without any network, for programs beside a node (the daemon). Must not load libp2p.
 */

import { type Manifest, parseManifest } from '../content/manifest.ts'
import { loadHasher } from '../store/hasher.ts'

/**
 * A synchronous parser with this machine's fastest hash. It throws `InvalidManifestError` and nothing else.
 */
export async function loadManifestParser(): Promise<(source: string | Uint8Array) => Manifest> {
  const { hash } = await loadHasher()
  return source => parseManifest(source, hash)
}
