/**
 * Where a download keeps its things: pieces beside the output or in a folder for what is incomplete, the rest
 * in the state folder.
 */

import { basename, join, resolve } from 'node:path'
import type { HashFunction } from '../../content/hash.ts'
import type { Manifest } from '../../content/manifest.ts'
import { encodeHex, encodeUtf8 } from '../../util/bytes.ts'
import type { Selection } from '../selection.ts'

/** The folder of all downloads' states. */
export function transfersFolder(stateDir: string): string {
  return join(resolve(stateDir), 'transfers')
}

/** Where the state of a download lives. One per root, output and selection. */
export function transferFolder(
  stateDir: string,
  manifest: Manifest,
  output: string,
  selection: Selection,
  hash: HashFunction
): string {
  const wanted = selection.isPartial ? selection.isWantedFile.map(isWanted => (isWanted ? '1' : '0')).join('') : 'all'
  const key = encodeHex(hash(encodeUtf8(`${manifest.root}\n${resolve(output)}\n${wanted}`))).slice(0, 32)
  return join(transfersFolder(stateDir), key)
}

/** The bytes that wanted pieces have of unwanted files; see selection.ts. */
export function restPath(folder: string): string {
  return join(folder, 'rest')
}

/** Where the pieces of a download wait. In a folder for all of them the root keeps equal names apart. */
export function stagingPath(output: string, root: string, incompleteDir: string | undefined): string {
  const path = resolve(output)
  if (incompleteDir === undefined) return `${path}.part`
  const name = basename(path)
  // A name may be as long as file systems allow; then the root alone must do.
  const label = encodeUtf8(name).byteLength > 200 ? '' : `${name}.`
  return join(resolve(incompleteDir), `${label}${root.slice(0, 16)}.part`)
}
