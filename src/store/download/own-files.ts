/**
 * Deleting what is ours, one file at a time: never a folder with what is in it, and never through a link.
 */

import { forEachWide, isMissing, storeError } from '../disk.ts'
import type { Staging } from './staging.ts'
import type { Names, Tree } from './tree.ts'

/** What was not deleted, and why. */
export interface LeftFile {
  path: string
  reason: string
}

/** Files removed at once. */
const REMOVE_WIDTH = 4

/**
 * Removes the files of a staging area that is ours, and the folders that are empty then. Gives what it left:
 * files that no manifest names, links, folders where files should be. Throws `StoreError` when something of
 * ours cannot be deleted.
 */
export async function removeStaged(staging: Staging): Promise<LeftFile[]> {
  const { tree, names } = staging
  const base = await tree.look(names)
  if (base === undefined) return []
  if (base.isFile()) {
    await unlinkOwn(tree, names)
    return []
  }
  const left: LeftFile[] = []
  await removeBelow(staging, [], left)
  return left
}

async function removeBelow(staging: Staging, below: Names, left: LeftFile[]): Promise<void> {
  const { tree, names } = staging
  const folder = [...names, ...below]
  const entries = await tree.list(folder)
  await forEachWide(entries, REMOVE_WIDTH, async entry => {
    if (entry.isDirectory()) return
    const inside = [...below, entry.name]
    if (entry.isFile() && staging.holds(inside)) await unlinkOwn(tree, [...names, ...inside])
    else left.push({ path: tree.pathOf([...names, ...inside]), reason: 'no part of this download' })
  })
  for (const entry of entries) if (entry.isDirectory()) await removeBelow(staging, [...below, entry.name], left)
  await tree.removeEmptyFolder(folder)
}

/** Nothing there is fine. */
export async function unlinkOwn(tree: Tree, names: Names): Promise<void> {
  await tree.unlink(names).catch(err => {
    if (!isMissing(err)) throw storeError('cannot remove', tree.pathOf(names), err)
  })
}
