/**
 * Opens downloads: takes the lock of the output, finds where the pieces wait, and gives the store that writes
 * them (download-store.ts). Called by the node for every `get`.
 */

import { dirname, resolve } from 'node:path'
import { makeFolder, statPath } from '../disk.ts'
import { Layout } from '../layout.ts'
import { lockOutput } from '../process-lock.ts'
import { Selection } from '../selection.ts'
import type { FileStore, FileStoreInit } from './contract.ts'
import { DownloadStore } from './download-store.ts'
import { restPath, stagingPath, transferFolder } from './paths.ts'
import { Placing } from './placing.ts'
import { Staging } from './staging.ts'
import { forgetOldTransfers } from './transfer-state.ts'

export type { FileStore, FileStoreInit } from './contract.ts'

/**
 * Opens a download: finds again what earlier runs wrote, or starts afresh. When the output is there already
 * and matches, the store is finished at once. An output that differs is left alone until `finish` replaces
 * it: whether that is wanted is the caller's question, see {@link inspectOutput}. Throws `StoreError`
 * (rights, disk, another process downloads there) and `InvalidOptionsError` (`only` selects nothing).
 */
export async function openFileStore(init: FileStoreInit): Promise<FileStore> {
  const path = resolve(init.output)
  const layout = new Layout(init.manifest)
  const selection = new Selection(layout, init.only)
  const folder = transferFolder(init.stateDir, init.manifest, path, selection, init.hash)
  let part = stagingPath(path, init.manifest.root, init.incompleteDir)
  const beside = `${path}.part`
  await makeFolder(dirname(path))
  const lock = await lockOutput(`${beside}.lock`, path)
  let staging: Staging | undefined
  let placing: Placing | undefined
  try {
    await forgetOldTransfers(dirname(folder), Date.now(), init.hash)
    // Killed between the copy home and the rename, or begun before there was a folder for what is incomplete.
    if ((await statPath(part)) === undefined && (await statPath(beside)) !== undefined) part = beside
    staging = await Staging.open({ selection, path: part, folder, restPath: restPath(folder) })
    placing = await Placing.open({ manifest: init.manifest, selection, output: path, folder, hash: init.hash })
    const store = new DownloadStore({ ...init, path, selection, folder, lock, staging, placing })
    await store.open()
    return store
  } catch (err) {
    await staging?.close()
    await placing?.close()
    await lock.release()
    throw err
  }
}
