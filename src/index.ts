/**
 * Peer-to-peer distribution of one file or folder to many machines. Only these exports are importable.
 *
 * A node is a running peer. `seed` shares a file where it lies. `get` fetches what a link or manifest names
 * and verifies every piece. Errors are subclasses of {@link SwarmError}, whose `code` says who must act.
 *
 * @example
 * ```ts
 * import { createNode } from 'swarmfile'
 *
 * const node = await createNode()
 * const transfer = await node.get('swarm:6e48d13f…', { output: 'disk.img' })
 * await transfer.completed
 * await node.stop()
 * ```
 *
 * @packageDocumentation
 */

export type { Manifest, ManifestFile, PeerHint } from './content/manifest.ts'
export {
  InvalidManifestError,
  InvalidOptionsError,
  NoPeersError,
  NotFoundError,
  OriginError,
  type OriginFault,
  ProtocolError,
  RangeNotSatisfiableError,
  StalledError,
  StoreError,
  SwarmError,
  type SwarmErrorCode
} from './errors.ts'
export {
  type CreateOptions,
  createManifest,
  createManifestFromUrl,
  readManifest,
  type VerifyReport,
  verifyContent,
  writeManifest
} from './node/manifests.ts'
export { createNode } from './node/node.ts'
export type * from './node/types.ts'
export type { OriginManifestOptions } from './origin/manifest-from-url.ts'
