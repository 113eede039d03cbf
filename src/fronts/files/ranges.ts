/**
 * Ranges and conditions of RFC 9110, from header text to decisions.
 *
 * Pure. Called by gateway.ts. Where the standard leaves a choice we do as nginx does, so that clients meet
 * nothing new: a malformed `bytes=` set is refused (416), a set that sums to more than the whole is answered
 * with the whole (200).
 */

/** [start, end) in bytes. */
export interface ByteRange {
  start: number
  end: number
}

type RangeChoice =
  /** Send everything: no range asked, a unit that we do not know, or a set that costs more than the whole. */
  { kind: 'whole' } | { kind: 'ranges'; ranges: ByteRange[] } | { kind: 'unsatisfiable' }

/** More ranges than this in one request are refused: each costs a part header and a reader. */
export const MAX_RANGES = 256

/** Longer headers are refused: 256 ranges need less. */
const MAX_RANGE_CHARACTERS = 4096

/** What a `Range` header asks of a representation of `length` bytes (RFC 9110, 14.1.2 and 14.2). */
export function chooseRanges(header: string | undefined, length: number): RangeChoice {
  if (header === undefined) return { kind: 'whole' }
  const set = /^bytes=(.*)$/is.exec(header)?.[1]
  if (set === undefined) return { kind: 'whole' }
  if (header.length > MAX_RANGE_CHARACTERS) return { kind: 'unsatisfiable' }
  const specs = set.split(',')
  if (specs.length > MAX_RANGES) return { kind: 'unsatisfiable' }
  const ranges: ByteRange[] = []
  let sum = 0
  for (const spec of specs) {
    const range = resolveSpec(spec, length)
    if (range === 'invalid') return { kind: 'unsatisfiable' }
    if (range === undefined) continue
    ranges.push(range)
    sum += range.end - range.start
  }
  // An empty representation has no byte to point at; asking for "all from the start" still means all of it.
  if (length === 0 && /^[ \t]*0[ \t]*-[ \t]*$/.test(set)) return { kind: 'whole' }
  if (ranges.length === 0) return { kind: 'unsatisfiable' }
  return sum > length ? { kind: 'whole' } : { kind: 'ranges', ranges }
}

/**
 * `first-[last]` or `-suffix`, with spaces around each. Digits may be of any length; what exceeds 2^53 is
 * behind every content's end anyway.
 */
function resolveSpec(spec: string, length: number): ByteRange | 'invalid' | undefined {
  // Not one pattern for all of it: spaces next to spaces would make it try them in every way.
  const [first, last, ...more] = spec.split('-').map(part => part.trim())
  if (first === undefined || last === undefined || more.length > 0) return 'invalid'
  if (!/^\d*$/.test(first) || !/^\d*$/.test(last) || (first === '' && last === '')) return 'invalid'
  if (first === '') {
    const bytes = Math.min(Number(last), length)
    return bytes === 0 ? undefined : { start: length - bytes, end: length }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return 'invalid'
  const end = last === '' ? length : Math.min(Number(last) + 1, length)
  return start >= length ? undefined : { start, end }
}

/** What a resource is, for conditions. */
interface Validators {
  /** Strong, with its quotes. */
  etag: string
  /** Whole seconds matter only. */
  lastModifiedMs: number
}

interface ConditionHeaders {
  ifMatch?: string | undefined
  ifNoneMatch?: string | undefined
  ifModifiedSince?: string | undefined
  ifUnmodifiedSince?: string | undefined
}

/** The order of RFC 9110, 13.2.2, for GET and HEAD. */
export function evaluateConditions(headers: ConditionHeaders, { etag, lastModifiedMs }: Validators): 'go on' | 304 | 412 {
  const modified = Math.floor(lastModifiedMs / 1000)
  if (headers.ifMatch !== undefined) {
    if (!listHas(headers.ifMatch, etag, 'strong')) return 412
  } else {
    const since = parseHttpDate(headers.ifUnmodifiedSince)
    if (since !== undefined && modified > since) return 412
  }
  if (headers.ifNoneMatch !== undefined) {
    if (listHas(headers.ifNoneMatch, etag, 'weak')) return 304
  } else {
    const since = parseHttpDate(headers.ifModifiedSince)
    if (since !== undefined && modified <= since) return 304
  }
  return 'go on'
}

/** Whether the range still holds (RFC 9110, 13.1.5): a strong tag that is ours, or exactly our date. */
export function ifRangeHolds(header: string | undefined, { etag, lastModifiedMs }: Validators): boolean {
  if (header === undefined) return true
  const text = header.trim()
  if (text.startsWith('"')) return text === etag
  const date = parseHttpDate(text)
  return date !== undefined && date === Math.floor(lastModifiedMs / 1000)
}

function listHas(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true
  for (const match of list.matchAll(/(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g)) {
    if (match[2] === etag && (comparison === 'weak' || match[1] === undefined)) return true
  }
  return false
}

const IMF_FIXDATE =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/

/** Seconds since the epoch; undefined when it is not a date of HTTP, which a recipient must ignore. */
function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !IMF_FIXDATE.test(text.trim())) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms / 1000
}
