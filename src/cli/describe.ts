/**
 * What every command reports about a content, under the same words and JSON names. Callers: create, info,
 * verify, seed, get.
 */

import type { Manifest } from '../content/manifest.ts'
import { formatBinaryBytes, formatBytes } from '../util/sizes.ts'
import type { Ui } from './ui.ts'

/** The facts that every command reports about a content under the same JSON names. */
export function manifestFields(manifest: Manifest): object {
  return {
    name: manifest.name,
    root: manifest.root,
    bytes: manifest.length,
    pieceLength: manifest.pieceLength,
    pieceCount: pieceCount(manifest),
    fileCount: manifest.files?.length ?? null
  }
}

export function pieceCount(manifest: Manifest): number {
  return Math.ceil(manifest.length / manifest.pieceLength)
}

/** The first lines that `create`, `seed` and `info` print of a content. */
export function describeContent(manifest: Manifest): string[] {
  const { files, length } = manifest
  const of = files === undefined ? '' : ` in ${files.length} file${files.length === 1 ? '' : 's'}`
  const pieces = pieceCount(manifest)
  return [
    `${files === undefined ? 'file    ' : 'folder  '}  ${manifest.name}`,
    `size      ${formatBytes(length)} (${length} bytes)${of}, ${pieces} piece${pieces === 1 ? '' : 's'} of ${formatBinaryBytes(manifest.pieceLength)}`,
    `root      ${manifest.root}`
  ]
}

/** Entries named unless `--verbose` asks for all. */
const SKIPPED_SHOWN = 3

/** Says what a folder holds that is not shared. */
export function reportSkipped(ui: Ui, entries: readonly { path: string; reason: string }[]): void {
  ui.event('skipped', { entries })
  ui.remark(`left out: ${entries.length} ${entries.length === 1 ? 'entry' : 'entries'} that cannot be shared`)
  const shown = ui.verbose ? entries.length : SKIPPED_SHOWN
  for (const { path, reason } of entries.slice(0, shown)) ui.remark(`  ${path} (${reason})`)
  if (entries.length > shown) ui.remark(`  … and ${entries.length - shown} more (--verbose shows all)`)
}
