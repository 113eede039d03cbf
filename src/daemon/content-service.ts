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

/** Room that is taken for bytes of an upload as they come. */
export interface Debit {
  /** Before each chunk. Throws `RequestRefusedError` ('too_large') or `StoreError` (ENOSPC). */
  take(bytes: number): void
  /**
   * At the end: what of it is kept, and how much that was there has gone for it; without, nothing came of it.
   */
  settle(kept?: { bytes: number; replaced: number }): void
}

/** An upload whose bytes a front writes to one file that grows. */
export interface GrowingUpload {
  readonly id: string
  /** Bytes announced; undefined when not known yet. */
  readonly length: number | undefined
  /** What the content must turn out to be, or turned out to be. */
  readonly root: string | undefined
  readonly metadata: Readonly<Record<string, string | null>>
  /** Whether it is to be joined with others. */
  readonly isPartial: boolean
  /** It became a task; its bytes are among the complete contents. */
  readonly isComplete: boolean
  /** Deleted if no byte comes before, in ms since 1970. */
  readonly expiresMs: number
}

export type NewGrowingUpload = Pick<GrowingUpload, 'length' | 'root' | 'metadata' | 'isPartial'> & { readonly name: string }

/** What a finished upload became. */
export interface UploadedContent {
  readonly id: string
  readonly root: string
}

export interface UploadService {
  /** The bytes of an upload go to `<folder>/<id>/data`. */
  readonly folder: string
  find(id: string): GrowingUpload | undefined
  /** All that are not complete. */
  list(): GrowingUpload[]
  /**
   * Throws `InvalidOptionsError` for a name, `RequestRefusedError` and `StoreError` where there is no room.
   */
  begin(id: string, upload: NewGrowingUpload): Promise<void>
  /** The length became known. Throws `RequestRefusedError` and `StoreError` where there is no room. */
  announce(id: string, length: number | undefined): void
  /** Throws `RequestRefusedError` and `StoreError` where there is no room for so much. */
  checkRoom(bytes: number): void
  /** `announced`: how much the request says that it brings. */
  debit(id: string, announced: number): Debit
  /** All bytes are there: hashes them, puts them in place and seeds them. */
  finish(id: string): Promise<UploadedContent>
  /** Makes one upload of others that are whole, in this order; these are gone afterwards. */
  join(id: string, upload: NewGrowingUpload, parts: readonly string[]): Promise<UploadedContent>
  /** Forgets the upload and its bytes. */
  remove(id: string): Promise<void>
}
