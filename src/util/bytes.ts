/**
 * Small things about bytes that the runtime-neutral code needs: hex, UTF-8, comparison, concatenation.
 *
 * Pure: works wherever `TextEncoder` exists. Used by content, wire and everything above.
 */

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes of `text`. A lone surrogate becomes U+FFFD; refuse it before where that matters. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The text, or undefined when the bytes are not valid UTF-8. A byte order mark is kept as a character. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

const HEX_DIGITS = encoder.encode('0123456789abcdef')

/**
 * Lower-case hex digits, two per byte. Made in one go: V8 keeps a text that was put together bit by bit as a
 * tree of its parts, 700 bytes for each hash of a manifest.
 */
export function encodeHex(bytes: Uint8Array): string {
  const codes = new Uint8Array(2 * bytes.byteLength)
  for (let i = 0; i < bytes.byteLength; i++) {
    const byte = bytes[i] as number
    codes[2 * i] = HEX_DIGITS[byte >> 4] as number
    codes[2 * i + 1] = HEX_DIGITS[byte & 15] as number
  }
  return decoder.decode(codes)
}

/** The value of one lower-case hex digit by its character code, or -1. */
function digit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 97 && code <= 102) return code - 87
  return -1
}

/**
 * The bytes of lower-case hex, written into `target` at `offset`; false (target partly written) when `text`
 * is anything else.
 */
export function decodeHexInto(text: string, target: Uint8Array, offset = 0): boolean {
  if (text.length % 2 !== 0 || offset + text.length / 2 > target.byteLength) return false
  for (let i = 0; i < text.length; i += 2) {
    const high = digit(text.charCodeAt(i))
    const low = digit(text.charCodeAt(i + 1))
    if (high < 0 || low < 0) return false
    target[offset + i / 2] = high * 16 + low
  }
  return true
}

/** The bytes of lower-case hex, or undefined when `text` is anything else. */
export function decodeHex(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length >> 1)
  return decodeHexInto(text, bytes) ? bytes : undefined
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false
  for (let i = 0; i < a.byteLength; i++) if (a[i] !== b[i]) return false
  return true
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((total, part) => total + part.byteLength, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.byteLength
  }
  return joined
}
