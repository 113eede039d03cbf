/**
 * The public API; nothing else is importable from outside.
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
  readManifest,
  type VerifyReport,
  verifyContent,
  writeManifest
} from './node/manifests.ts'
export { createNode } from './node/node.ts'
export { createManifestFromUrl, type OriginManifestOptions } from './node/origin-manifest.ts'
export type * from './node/types.ts'
