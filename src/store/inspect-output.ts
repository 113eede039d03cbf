/**
 * Looks at a download's final path before anything is written there. Called by `get` to decide: refuse, go,
 * or done already.
 */

import fs from 'node:fs'
import { resolve } from 'node:path'
import type { HashFunction } from '../content/hash.ts'
import type { Manifest } from '../content/manifest.ts'
import { errnoOf, statPath } from './disk.ts'
import { restPath, transferFolder } from './download/paths.ts'
import { Layout } from './layout.ts'
import { type Only, Selection } from './selection.ts'
import { verifyPieces } from './verify-content.ts'

/**
 * 'absent': nothing would be overwritten by different bytes, and something is still missing. 'matches': every
 * wanted file is there and is what the manifest says. 'differs': something else is in the way, or a file
 * whose bytes cannot be checked.
 */
export type OutputVerdict = 'absent' | 'matches' | 'differs'

export interface InspectOptions {
  hash: HashFunction
  /**
   * As for {@link openFileStore}: with these the border pieces of an earlier partial download can be checked.
   */
  stateDir: string
  only?: Only
  signal?: AbortSignal
  onProgress?: (bytes: number, total: number) => void
}

/**
 * Verifies by hash whatever has the right shape. Throws `StoreError` when it cannot be read, and the signal's
 * reason.
 */
export async function inspectOutput(manifest: Manifest, path: string, options: InspectOptions): Promise<OutputVerdict> {
  const layout = new Layout(manifest)
  const selection = new Selection(layout, options.only)
  const base = resolve(path)
  const found = await statPath(base)
  if (found === undefined) return 'absent'
  if (layout.isFolder ? !found.isDirectory() : !found.isFile()) return 'differs'

  const present: number[] = []
  let isMissingSome = false
  for (const [index, file] of layout.files.entries()) {
    if (!selection.isWantedFile[index]) continue
    const stats = index === 0 && !layout.isFolder ? found : await statPath(layout.pathOf(index, base))
    if (stats === undefined) {
      if (await isInTheWay(layout.pathOf(index, base))) return 'differs'
      isMissingSome = true
    } else if (!stats.isFile() || stats.size !== BigInt(file.length)) return 'differs'
    else present.push(index)
  }
  if (present.length > 0) {
    const relevant = new Set<number>()
    for (const file of present) {
      const range = layout.piecesOfFile(file)
      for (let piece = range?.first ?? 0; piece <= (range?.last ?? -1); piece++) relevant.add(piece)
    }
    const rest = restPath(transferFolder(options.stateDir, manifest, base, selection, options.hash))
    const bad = await verifyPieces({
      manifest,
      layout,
      hash: options.hash,
      pathOf: file => (file === selection.restFile ? rest : layout.pathOf(file, base)),
      slicesOf: piece => selection.slicesOf(piece),
      skip: piece => !relevant.has(piece),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress })
    })
    if (bad.some(piece => relevant.has(piece))) return 'differs'
  }
  return isMissingSome ? 'absent' : 'matches'
}

/**
 * Whether a path that leads to no file is taken all the same: by a dangling link, or by a file where a folder
 * belongs.
 */
async function isInTheWay(path: string): Promise<boolean> {
  return fs.promises.lstat(path).then(
    () => true,
    err => errnoOf(err) === 'ENOTDIR'
  )
}
