/**
 * What a download is opened with, and what it is to its callers. Made by file-store.ts.
 */

import type { HashFunction } from '../../content/hash.ts'
import type { Manifest } from '../../content/manifest.ts'
import type { PieceStore } from '../piece-store.ts'
import type { Only } from '../selection.ts'

export interface FileStoreInit {
  manifest: Manifest
  /** Final path of the file or folder. Missing parent folders are made. */
  output: string
  /** For a folder: the files wanted. @default all */
  only?: Only
  /**
   * Where unfinished content waits, a folder that may be on another file system. @default beside the output
   */
  incompleteDir?: string
  /** Folder for resume state. */
  stateDir: string
  hash: HashFunction
  /** Stops the verification of what is there already. */
  signal?: AbortSignal
  /** Bytes looked at of the total, while opening over what an earlier run left. */
  onChecked?: (bytes: number, total: number) => void
  /** Most files open at once. More: fewer reopenings in folders of many files. @default 256 */
  maxOpenFiles?: number
  /**
   * Bytes written after which a flush to disk begins in the background. More: longer last flush. @default 64
   * MiB
   */
  flushBytes?: number
  /**
   * Quiet time after which written pieces are flushed and the state is saved, in milliseconds. @default 2000
   */
  flushMs?: number
}

export interface FileStore extends PieceStore {
  readonly path: string
  /** Bytes of the wanted files. */
  readonly wantedBytes: number
  /** In place under its final name. */
  readonly isFinished: boolean
  /** Forces written pieces to disk and saves the state. Throws `StoreError`. */
  flush(): Promise<void>
}
