/**
 * Deletes what a download put on disk, and nothing else: staged pieces, resume state and, when it was finished, the content itself.
 *
 * Invariant: in a folder only the files that the manifest names go, and then the folders that are empty; what others put beside them
 * stays. Called by the node for a download that no transfer holds open.
 */

import fs from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { removePath } from './disk.ts'
import { stagingPath, transferFolder } from './file-store.ts'
import { Layout } from './layout.ts'
import { type Only, Selection } from './selection.ts'

export interface RemoveDownloadInit {
  manifest: Manifest
  output: string
  only?: Only
  stateDir: string
  incompleteDir?: string
  hash: HashFunction
  /** Whether it was complete, so that what lies at `output` is ours to delete. */
  finished: boolean
}

/** Idempotent. Throws `StoreError` when something cannot be deleted. */
export async function removeDownload(init: RemoveDownloadInit): Promise<void> {
  const { manifest, output, stateDir, hash, incompleteDir } = init
  const layout = new Layout(manifest)
  const selection = new Selection(layout, init.only)
  if (init.finished) await removeFinished(layout, selection, resolve(output))
  for (const part of new Set([
    stagingPath(output, manifest.root, incompleteDir),
    stagingPath(output, manifest.root, undefined)
  ])) {
    if (await isStagingOf(layout, part)) await removePath(part)
  }
  await removePath(transferFolder(stateDir, manifest, output, selection, hash))
}

async function removeFinished(layout: Layout, selection: Selection, output: string): Promise<void> {
  const folders = new Set<string>()
  for (const index of layout.files.keys()) {
    if (!selection.isWantedFile[index]) continue
    const path = layout.pathOf(index, output)
    await removePath(path)
    if (!layout.isFolder) continue
    for (let folder = dirname(path); folder === output || folder.startsWith(output + sep); folder = dirname(folder))
      folders.add(folder)
  }
  if (layout.isFolder) folders.add(output)
  // Deepest first; one that is not empty holds what is not ours.
  for (const folder of [...folders].sort((a, b) => b.length - a.length)) await fs.promises.rmdir(folder).catch(() => {})
}

/** A single file's staging area is a file, a folder's a folder; anything else is somebody else's. */
async function isStagingOf(layout: Layout, part: string): Promise<boolean> {
  const stats = await fs.promises.lstat(part).catch(() => undefined)
  return stats !== undefined && (layout.isFolder ? stats.isDirectory() : stats.isFile())
}
