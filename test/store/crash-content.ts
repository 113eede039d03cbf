/**
 * The contents of the kill test, the same in parent and child.
 */

import { type Content, fileContent, folderContent, PIECE } from './fixtures.ts'

export function crashContent(kind: string): Content {
  if (kind === 'file') return fileContent(200 * PIECE + 5, 3)
  // More than enough for the thread that writes whole files, a dozen of them in a piece.
  if (kind === 'folder of many files') {
    return folderContent(
      Object.fromEntries(Array.from({ length: 1500 }, (_, n) => [`d${n % 9}/e${n % 70}/f${n}`, 200 + (n % 2500)])),
      5
    )
  }
  const lengths = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`d${n % 9}/f${n}`, (n * 977) % (PIECE * 2)]))
  return folderContent(lengths, 4)
}
