/**
 * How a content of `length` bytes divides into pieces: the arithmetic between sizes, pieces and byte ranges.
 *
 * Pure. Every piece is `pieceLength` bytes but the last, which is 1..pieceLength. An empty content has no
 * piece.
 */

/** Smallest and default piece length, in bytes. */
export const MIN_PIECE_LENGTH = 16 * 1024
export const DEFAULT_PIECE_LENGTH = 256 * 1024
/** Largest piece length, in bytes; bounds what one request can cost in memory. */
export const MAX_PIECE_LENGTH = 16 * 1024 * 1024
/** Most pieces that one content may have; bounds bitfields (128 KiB) and piece lists (32 MiB). */
export const MAX_PIECE_COUNT = 1 << 20
/** Longest content: 16 TiB. */
export const MAX_CONTENT_LENGTH = MAX_PIECE_LENGTH * MAX_PIECE_COUNT
/**
 * More pieces than this bring little: with 512 a thousand nodes need 1.02 of the time of endlessly many
 * (docs/SCHEDULING.md), while each piece costs messages, reads and writes (1 GiB from one to one: 4.5 s in
 * pieces of 256 KiB, 2.9 s in pieces of 1 MiB).
 */
const SUFFICIENT_PIECE_COUNT = 512
/**
 * Longest piece that is worth it: beyond it the gain is small, and every transfer at work needs one in
 * memory.
 */
const FAST_PIECE_LENGTH = 1024 * 1024
/**
 * Above this many pieces the default piece length doubles all the same, so that a bitfield stays within 2
 * KiB.
 */
const COMFORTABLE_PIECE_COUNT = 16_384

/**
 * The default piece length for a content of `length` bytes: 256 KiB, doubled until there are at most 512
 * pieces or one has 1 MiB, and further until there are at most 16,384 pieces.
 */
export function defaultPieceLength(length: number): number {
  let pieceLength = DEFAULT_PIECE_LENGTH
  while (pieceLength < FAST_PIECE_LENGTH && length / pieceLength > SUFFICIENT_PIECE_COUNT) pieceLength *= 2
  while (pieceLength < MAX_PIECE_LENGTH && length / pieceLength > COMFORTABLE_PIECE_COUNT) pieceLength *= 2
  return pieceLength
}

/** Whether `value` may be a piece length: a power of two within the bounds. */
export function isPieceLength(value: unknown): value is number {
  return (
    Number.isSafeInteger(value) &&
    (value as number) >= MIN_PIECE_LENGTH &&
    (value as number) <= MAX_PIECE_LENGTH &&
    Number.isInteger(Math.log2(value as number))
  )
}

export class Geometry {
  readonly length: number
  readonly pieceLength: number
  readonly pieceCount: number

  /** Throws `RangeError` when the values are out of bounds; parse untrusted input before. */
  constructor(length: number, pieceLength: number) {
    if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`content length ${length} is not a byte count`)
    if (!isPieceLength(pieceLength)) throw new RangeError(`piece length ${pieceLength} is not a power of two within bounds`)
    const pieceCount = Math.ceil(length / pieceLength)
    if (pieceCount > MAX_PIECE_COUNT) throw new RangeError(`${pieceCount} pieces are more than ${MAX_PIECE_COUNT}`)
    this.length = length
    this.pieceLength = pieceLength
    this.pieceCount = pieceCount
  }

  hasPiece(piece: number): boolean {
    return Number.isInteger(piece) && piece >= 0 && piece < this.pieceCount
  }

  /** Bytes in this piece. */
  pieceBytes(piece: number): number {
    return piece === this.pieceCount - 1 ? this.length - piece * this.pieceLength : this.pieceLength
  }

  /** Where this piece starts in the content, in bytes. */
  pieceOffset(piece: number): number {
    return piece * this.pieceLength
  }

  /**
   * First and last piece (inclusive) that hold bytes of [start, end), or undefined when the range is empty.
   */
  piecesOfRange(start: number, end: number): { first: number; last: number } | undefined {
    if (end <= start) return undefined
    return { first: Math.floor(start / this.pieceLength), last: Math.floor((end - 1) / this.pieceLength) }
  }
}
