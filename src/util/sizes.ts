/**
 * Sizes, rates and durations as people write and read them: `5MB`, `256KiB`, `20mbit`, `1h`, and back.
 *
 * Pure. Parsing never throws: text that is not a quantity gives `undefined`, and the caller names the option
 * at fault. `KB`, `MB`, … are powers of 1000; `KiB`, `MiB`, … and the bare letters `K`, `M`, … are powers of
 * 1024 (as curl and dd read them). Upper and lower case mean the same; bits are bits only when the text says
 * so (`bit`, `bps`). Callers: cli, daemon.
 */

const PREFIXES = ['', 'k', 'm', 'g', 't', 'p']
/** Longest text looked at, so that hostile input costs nothing. */
const MAX_TEXT = 40

function split(text: string): { value: number; unit: string } | undefined {
  if (text.length > MAX_TEXT) return undefined
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*(?:\/s)?)$/.exec(text.trim().toLowerCase())
  if (match === null) return undefined
  return { value: Number(match[1]), unit: match[2] as string }
}

/** Bytes that one `unit` of a size stands for ('' and 'b' are bytes). */
function bytesPer(unit: string): number | undefined {
  const match = /^([kmgtp]?)(i?b)?$/.exec(unit)
  if (match === null) return undefined
  const prefix = match[1] as string
  if (prefix === '') return match[2] === 'ib' ? undefined : 1
  return (match[2] === 'b' ? 1000 : 1024) ** PREFIXES.indexOf(prefix)
}

/**
 * A whole, safe number of bytes; anything above zero stays above zero, because zero often means "unlimited".
 */
function wholeBytes(bytes: number): number | undefined {
  const whole = bytes > 0 ? Math.max(1, Math.round(bytes)) : 0
  return Number.isSafeInteger(whole) ? whole : undefined
}

/**
 * `'5MB'` → 5,000,000; `'256KiB'`, `'256K'` → 262,144; `'17'` → 17. Undefined when it is not a size below
 * 2^53 bytes.
 */
export function parseSize(text: string): number | undefined {
  const parts = split(text)
  if (parts === undefined) return undefined
  const unit = bytesPer(parts.unit)
  return unit === undefined ? undefined : wholeBytes(parts.value * unit)
}

/**
 * Bytes per second: a size with or without `/s` (`'5MB'`, `'512KiB/s'`), or bits (`'20mbit'`, `'100Mbps'`,
 * `'1gbit/s'`; always powers of 1000). `'0'`, `'none'` and `'unlimited'` are 0. Undefined when it is none of
 * these.
 */
export function parseRate(text: string): number | undefined {
  const word = text.trim().toLowerCase()
  if (word === 'none' || word === 'unlimited') return 0
  const parts = split(text)
  if (parts === undefined) return undefined
  const bits = /^([kmgt]?)(?:bits?(?:\/s)?|bps)$/.exec(parts.unit)
  if (bits !== null) return wholeBytes((parts.value * 1000 ** PREFIXES.indexOf(bits[1] as string)) / 8)
  const unit = bytesPer(parts.unit.replace(/\/s$/, ''))
  return unit === undefined ? undefined : wholeBytes(parts.value * unit)
}

const DURATIONS: Readonly<Record<string, number>> = {
  ms: 1,
  '': 1000,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000
}

/**
 * Milliseconds: `'500ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`; a bare number is seconds. Undefined when it is
 * not a duration.
 */
export function parseDuration(text: string): number | undefined {
  const parts = split(text)
  if (parts === undefined || !Object.hasOwn(DURATIONS, parts.unit)) return undefined
  return wholeBytes(parts.value * (DURATIONS[parts.unit] as number))
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let power = 0
  while (power < units.length - 1 && value >= base * 0.9995) {
    value /= base
    power++
  }
  const digits = power === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)} ${units[power]}`
}

/** Three significant digits in powers of 1000: `'217 MB'`, `'1.07 GB'`. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'])
}

/** The same in powers of 1024, for piece lengths: `'256 KiB'`. Whole numbers without decimals. */
export function formatBinaryBytes(bytes: number): string {
  return scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']).replace(/\.0+ /, ' ')
}

/** `'104 MB/s'`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}

/** `'850 ms'`, `'12.3 s'`, `'2m 05s'`, `'1h 03m'`, `'3d 04h'`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  const pad = (n: number): string => String(n).padStart(2, '0')
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`
  return `${Math.floor(minutes / 1440)}d ${pad(Math.floor((minutes % 1440) / 60))}h`
}
