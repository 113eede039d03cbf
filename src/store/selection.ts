/**
 * Which files of a folder are wanted, and where the bytes of each wanted piece are kept.
 *
 * A piece on the border of a selected file also holds bytes of files that nobody asked for. Those bytes are
 * kept in one file of the state folder, the rest file, and never in the user's folder; so that such a piece
 * can be verified and served whole. Called by the file store.
 */

import picomatch from 'picomatch'
import { Bitfield } from '../content/bitfield.ts'
import { InvalidOptionsError } from '../errors.ts'
import type { Layout, Slice } from './layout.ts'

/** Globs (a glob that names a folder takes all below it), or a predicate on paths. */
export type Only = readonly string[] | ((path: string) => boolean)

export class Selection {
  readonly layout: Layout
  /** As given; undefined for all files, or when a function chooses. */
  readonly globs: readonly string[] | undefined
  /** Per file of the layout. */
  readonly isWantedFile: readonly boolean[]
  readonly wanted: Bitfield
  /** Bytes of the wanted files. */
  readonly wantedBytes: number
  /** The rest file's number among files: one behind the last. */
  readonly restFile: number
  /** Where each border piece's bytes start in the rest file. */
  readonly #restOffsets = new Map<number, number>()

  /** Throws `InvalidOptionsError` when a glob cannot be read or no file matches. */
  constructor(layout: Layout, only: Only | undefined) {
    this.layout = layout
    this.globs = Array.isArray(only) ? only : undefined
    this.restFile = layout.files.length
    const isWanted = only === undefined || !layout.isFolder ? () => true : predicateOf(only)
    this.isWantedFile = layout.files.map(file => isWanted(file.path))
    if (layout.files.length > 0 && !this.isWantedFile.includes(true)) {
      throw new InvalidOptionsError('no file of the folder matches --only', { only: Array.isArray(only) ? only : undefined })
    }
    this.wanted = new Bitfield(layout.geometry.pieceCount)
    let bytes = 0
    for (const [file, isWantedFile] of this.isWantedFile.entries()) {
      if (!isWantedFile) continue
      bytes += layout.files[file]?.length ?? 0
      const range = layout.piecesOfFile(file)
      for (let piece = range?.first ?? 0; piece <= (range?.last ?? -1); piece++) this.wanted.set(piece)
    }
    this.wantedBytes = bytes
    if (this.isPartial) this.#placeRest()
  }

  /** Whether some file is not wanted. */
  get isPartial(): boolean {
    return this.isWantedFile.includes(false)
  }

  /** Whether some wanted piece has bytes of files that are not. */
  get hasRest(): boolean {
    return this.#restOffsets.size > 0
  }

  /**
   * The piece's slices as they are kept: those of unwanted files point into the rest file, neighbours joined.
   */
  slicesOf(piece: number): Slice[] {
    const slices = this.layout.slicesOf(piece)
    const restOffset = this.#restOffsets.get(piece)
    if (restOffset === undefined) return slices
    const kept: Slice[] = []
    for (const slice of slices) {
      const last = kept.at(-1)
      if (this.isWantedFile[slice.file]) kept.push(slice)
      else if (last?.file === this.restFile) last.bytes += slice.bytes
      else kept.push({ ...slice, file: this.restFile, fileOffset: restOffset + slice.pieceOffset })
    }
    return kept
  }

  #placeRest(): void {
    for (const piece of this.wanted.ones()) {
      if (this.layout.slicesOf(piece).some(slice => !this.isWantedFile[slice.file])) {
        this.#restOffsets.set(piece, this.#restOffsets.size * this.layout.geometry.pieceLength)
      }
    }
  }
}

/** Not by a pattern, which would try each of many slashes as the first of the last ones. */
function withoutSlashes(glob: string): string {
  let end = glob.length
  while (end > 0 && glob[end - 1] === '/') end--
  return glob.slice(0, end)
}

function predicateOf(only: Only): (path: string) => boolean {
  if (typeof only === 'function') return only
  try {
    const globs = only.map(glob => withoutSlashes(glob.replace(/^\.\//, '')))
    const isMatch = picomatch([...globs, ...globs.map(glob => `${glob}/**`)], { dot: true })
    return path => isMatch(path)
  } catch (cause) {
    throw new InvalidOptionsError('--only is not a list of globs', { only }, cause)
  }
}
