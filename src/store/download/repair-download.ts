/**
 * Knows again what a download put in place, and takes it back to be mended.
 *
 * Invariant: only files that we made move, by inode and time of birth, whatever their bytes are now; a file
 * that somebody put in their place stays where it is, and so does one behind a link. Called by the node.
 */

import { dirname, resolve } from 'node:path'
import type { HashFunction } from '../../content/hash.ts'
import type { Manifest } from '../../content/manifest.ts'
import { forEachWide, statPath, storeError } from '../disk.ts'
import { Layout } from '../layout.ts'
import { lockOutput } from '../process-lock.ts'
import { type Only, Selection } from '../selection.ts'
import { restPath, stagingPath, transferFolder } from './paths.ts'
import { Placing } from './placing.ts'
import { type FileMark, isOurFile, markOf, readReceipt, receiptOf, writeReceipt } from './receipt.ts'
import { Staging } from './staging.ts'
import { Tree } from './tree.ts'

export interface OwnDownload {
  manifest: Manifest
  output: string
  only?: Only
  stateDir: string
  incompleteDir?: string
  hash: HashFunction
}

/**
 * Moves what is left of a finished download to where its pieces wait, so that opening it again finds the good
 * pieces and fetches the others. Does nothing without a receipt, and while the output is locked. Can be
 * called again after it was cut short. Throws `StoreError`.
 */
export async function takeBackDownload(init: OwnDownload): Promise<void> {
  const { manifest, stateDir, hash } = init
  const output = resolve(init.output)
  const selection = new Selection(new Layout(manifest), init.only)
  const folder = transferFolder(stateDir, manifest, output, selection, hash)
  const receipt = await readReceipt(folder, hash)
  if (receipt === undefined || (await statPath(dirname(output))) === undefined) return
  const lock = await lockOutput(`${output}.part.lock`, output)
  const placing = await Placing.open({ manifest, selection, output, folder, hash })
  const path = await stagingFor(init, output)
  const staging = await Staging.open({ selection, path, folder, restPath: restPath(folder) })
  try {
    await placing.takeBack(staging, (stats, file) => isOurFile(stats, receipt.files[file]))
  } finally {
    await staging.close()
    await placing.close()
    await lock.release()
  }
}

/** Files are moved and not copied: to a folder on another file system they are not. */
async function stagingFor({ manifest, incompleteDir }: OwnDownload, output: string): Promise<string> {
  const beside = stagingPath(output, manifest.root, undefined)
  if (incompleteDir === undefined) return beside
  const [from, to] = await Promise.all([statPath(dirname(output)), statPath(resolve(incompleteDir))])
  return from?.dev === to?.dev ? stagingPath(output, manifest.root, incompleteDir) : beside
}

/**
 * Notes that the content at `output`, just hashed, is ours: somebody made it for this node. Throws
 * `StoreError`.
 */
export async function keepReceipt({ manifest, output, stateDir, hash }: OwnDownload): Promise<void> {
  const selection = new Selection(new Layout(manifest), undefined)
  const { layout } = selection
  const tree = await Tree.open(dirname(output))
  try {
    const base = output.slice(dirname(output).length).replace(/^[/\\]/, '')
    const marks: (FileMark | undefined)[] = layout.files.map(() => undefined)
    await forEachWide(layout.files, 8, async (_, file) => {
      const stats = await tree.look([base, ...layout.namesOf(file)])
      if (stats?.isFile()) marks[file] = markOf(stats)
    })
    const folder = transferFolder(stateDir, manifest, output, selection, hash)
    await writeReceipt(folder, receiptOf(manifest, output, selection, marks, []), hash)
  } catch (err) {
    throw storeError('cannot note that the content is ours', output, err)
  } finally {
    await tree.close()
  }
}
