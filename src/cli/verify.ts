/**
 * `swarm verify <manifest> [path]`: check a file or folder against a manifest and say which pieces and files
 * are bad. Ends with 0 when all is well and 1 when anything is missing or damaged.
 */

import { readManifest, verifyContent } from '../node/manifests.ts'
import { formatBytes, formatDuration, formatRate } from '../util/sizes.ts'
import { manifestFields, pieceCount } from './describe.ts'
import { byteProgress } from './hashing.ts'
import { interruptible } from './interrupt.ts'
import type { CommonFlags } from './options.ts'
import type { Ui } from './ui.ts'

/** Bad files listed unless `--verbose` asks for all of them. */
const FILES_SHOWN = 20

export async function verify(source: string, path: string | undefined, _flags: CommonFlags, ui: Ui): Promise<number> {
  using interrupt = interruptible(ui)
  const manifest = await readManifest(source, { signal: interrupt.signal })
  const target = path ?? manifest.name
  const startedMs = performance.now()
  const report = await verifyContent(manifest, target, {
    signal: interrupt.signal,
    onChecked: byteProgress(ui, 'checking', `checking ${target}`)
  })
  const elapsedMs = performance.now() - startedMs
  ui.clear()
  const { badPieces, badFiles, isIntact } = report
  ui.event('verified', {
    ...manifestFields(manifest),
    path: target,
    ok: isIntact,
    badPieces,
    badFiles,
    elapsedMs: Math.round(elapsedMs)
  })
  if (isIntact) {
    ui.result(
      `${target} is intact: ${formatBytes(manifest.length)}, ${pieceCount(manifest)} pieces, in ${formatDuration(elapsedMs)} (${formatRate((manifest.length / elapsedMs) * 1000)})`
    )
    return 0
  }
  const shown = ui.verbose ? badFiles.length : FILES_SHOWN
  for (const { path: file, fault } of badFiles.slice(0, shown)) ui.result(`  ${fault.padEnd(12)}  ${file}`)
  if (badFiles.length > shown) ui.result(`  … and ${badFiles.length - shown} more files (--verbose shows all)`)
  ui.result(`bad pieces: ${formatRanges(badPieces)} (${badPieces.length} of ${pieceCount(manifest)})`)
  ui.warning(`${target} does not match ${source}; 'swarm get ${source} --output ${target} --force' fetches what is bad`)
  return 1
}

/** Ascending numbers as `0, 3-7, 9`, cut after some ranges. */
export function formatRanges(numbers: readonly number[], most = 50): string {
  if (numbers.length === 0) return 'none'
  const ranges: string[] = []
  let start = numbers[0] as number
  let end = start
  const flush = (): void => void ranges.push(start === end ? `${start}` : `${start}-${end}`)
  for (const number of numbers.slice(1)) {
    if (number === end + 1) {
      end = number
      continue
    }
    flush()
    start = end = number
  }
  flush()
  return ranges.length > most ? `${ranges.slice(0, most).join(', ')}, …` : ranges.join(', ')
}
