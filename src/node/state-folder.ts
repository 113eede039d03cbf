/**
 * The state folder belongs to its user alone: it holds the node's key, and tasks with URLs that are signed.
 *
 * Invariants: the folder is 0700 and what is in it 0600 (folders 0700), also what an earlier version or
 * another umask left; links are not followed. Called before anything in the folder is opened: by the daemon
 * and by each node.
 */

import { closeSync, openSync } from 'node:fs'
import { chmod, lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StoreError } from '../errors.ts'
import { makeFolder } from '../store/disk.ts'

const OTHERS = 0o077
/** Hash cache, resume state and the like are one folder deep; nothing of ours is deeper than this. */
const MAX_DEPTH = 4

/**
 * Makes the folder, or closes the one that is there to others. Throws `StoreError` where that cannot be done.
 */
export async function openStateFolder(path: string): Promise<void> {
  try {
    await makeFolder(path, 0o700)
    // Windows keeps the profile's folders to their user, and has no such bits.
    if (process.platform !== 'win32') await tighten(path, 0)
  } catch (err) {
    if (err instanceof StoreError) throw err
    throw new StoreError('cannot keep the state folder to this user (0700, files 0600); give another --state-dir', path, err)
  }
}

/** Makes the file if it is not there. SQLite would make it 0644, and gives its log the same bits. */
export function createPrivateFile(path: string): void {
  closeSync(openSync(path, 'a', 0o600))
}

async function tighten(path: string, depth: number): Promise<void> {
  const found = await lstat(path).catch(gone)
  if (found === undefined || found.isSymbolicLink()) return
  if ((found.mode & OTHERS) !== 0) await chmod(path, found.mode & 0o700).catch(gone)
  if (!found.isDirectory() || depth >= MAX_DEPTH) return
  for (const name of await readdir(path)) await tighten(join(path, name), depth + 1)
}

/** Another process of this user may delete what it wrote meanwhile. */
function gone(err: NodeJS.ErrnoException): undefined {
  if (err.code !== 'ENOENT') throw err
}
