/**
 * What a front may ask of a daemon: contents to read. The narrow side of the tasks, which fronts know nothing
 * of.
 */

import type { Manifest } from '../content/manifest.ts'
import type { Transfer } from '../node/types.ts'

/** A content that readers can be given. */
export interface OpenContent {
  readonly manifest: Manifest
  /** Other names of a content that is one file. */
  readonly aliases: readonly string[]
  readonly lastModifiedMs: number
  /**
   * The bytes of a range in order, as they are verified; asks the swarm for them first. See `Transfer.read`.
   */
  readonly read: Transfer['read']
}

export interface ContentService {
  /**
   * Throws `NotFoundError` for a root that nobody asked for, `RequestRefusedError` ('unavailable') while it
   * is not open, with the reason.
   */
  open(root: string): OpenContent
  /**
   * A reader came; returns what to call when it leaves. While there are readers the content is not evicted.
   */
  readerCame(root: string): () => void
}
