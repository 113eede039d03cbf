/**
 * Looks at the files of a content: many at once by a thread where there is one, and one by one what that
 * could not see.
 */

import type { BigIntStats } from 'node:fs'
import { forEachWide } from '../disk.ts'
import { type Stamp, stampOf } from '../file-stamp.ts'
import type { FileLook } from '../file-thread.ts'
import type { Selection } from '../selection.ts'

/**
 * The regular ones among the files. `lookMany` answers undefined for a file that it did not find, or for
 * all.
 */
export async function lookAtEach(
  files: readonly number[],
  lookMany: (files: readonly number[]) => Promise<readonly (FileLook | undefined)[] | undefined>,
  lookAtOne: (file: number) => Promise<BigIntStats | undefined>
): Promise<Map<number, FileLook>> {
  const looks = new Map<number, FileLook>()
  const unseen: number[] = []
  const many = await lookMany(files)
  for (const [index, file] of files.entries()) {
    const look = many?.[index]
    if (look === undefined) unseen.push(file)
    else looks.set(file, look)
  }
  await forEachWide(unseen, 8, async file => {
    const stats = await lookAtOne(file)
    if (stats?.isFile()) looks.set(file, stats)
  })
  return looks
}

/** Stamps of the wanted files that are regular ones, and of the rest file; of those in `among`, if given. */
export async function stampsOf(
  { isWantedFile, restFile, hasRest }: Selection,
  look: (files: readonly number[]) => Promise<Map<number, FileLook>>,
  among?: ReadonlySet<number>
): Promise<(Stamp | undefined)[]> {
  const stamps: (Stamp | undefined)[] = new Array(restFile + 1).fill(undefined)
  const kept = [...(among ?? stamps.keys())].filter(file => (file === restFile ? hasRest : isWantedFile[file]))
  for (const [file, stats] of await look(kept)) stamps[file] = stampOf(stats)
  return stamps
}
